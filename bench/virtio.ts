/**
 * Virtio devices at work: disk and network, driven through their rings by a bare guest that polls in
 * user mode (bench/virtio/payload.c), where this machine's KVM runs it on the processor itself. hv and
 * QEMU, each with KVM and with its software CPU, in turn in one run.
 *
 * `deno run -A bench/virtio.ts [disk|net]`; needs gcc. Each figure is the median of `ROUNDS` runs.
 */

import { median } from "./support/measure.ts";
import { figure, machineLine, showTable } from "./support/report.ts";

const ROUNDS = Number(Deno.env.get("ROUNDS") ?? 5);
const PROJECT = new URL("..", import.meta.url).pathname;
const SOURCES = new URL("virtio/", import.meta.url).pathname;
const DISK_BYTES = 256 << 20;
const RUN_MS = 120_000;
/** How isa-debug-exit ends a payload that is done. */
const DONE = 3;

/** A run of the payload: its command line for a number of turns. */
interface Work {
  readonly name: string;
  readonly device: "disk" | "net";
  /** Turns on KVM, and on software CPUs, which are slower: a second or two, to be warm for most of it. */
  readonly counts: readonly [kvm: number, soft: number];
  readonly line: (count: number) => string;
  /** What a turn is, for the table's figure. */
  readonly unit: (perSecond: number) => string;
}

const thousands = (perSecond: number) => `${figure(perSecond / 1000, 1)} k/s`;
const FRAME_BYTES = 1514;

const WORK: readonly Work[] = [
  ...(["read", "write"] as const).flatMap((way) =>
    (["seq", "rand"] as const).flatMap((order) =>
      [1, 32].map((depth): Work => ({
        name: `${way} ${order === "seq" ? "in sequence" : "at random"}, depth ${depth}`,
        device: "disk",
        counts: depth === 1 ? [100_000, 50_000] : [1_000_000, 300_000],
        line: (count) => `blk ${way} ${order} ${depth} ${count}`,
        unit: thousands,
      }))
    )
  ),
  {
    name: `send frames of ${FRAME_BYTES} bytes`,
    device: "net",
    counts: [1_000_000, 300_000],
    line: (count) => `net send 64 ${count} ${FRAME_BYTES}`,
    unit: (perSecond) => `${figure(perSecond * FRAME_BYTES * 8 / 1e9, 2)} Gbit/s`,
  },
  {
    name: "round trip of a frame of 64 bytes",
    device: "net",
    counts: [100_000, 30_000],
    line: (count) => `net echo ${count} 64`,
    unit: (perSecond) => `${figure(1e6 / perSecond, 1)} µs`,
  },
];

/** What runs the payload. */
interface Host {
  readonly name: string;
  readonly soft: boolean;
  command(payload: string, work: Work, line: string, file: string): string[];
}

const hv = (accelerator: "kvm" | "soft"): Host => ({
  name: `hv, ${accelerator}`,
  soft: accelerator === "soft",
  command: (payload, { device }, line, file) => [
    ...[Deno.execPath(), "run", "--allow-all", `${PROJECT}main.ts`, "run"],
    ...["--accel", accelerator, "--memory", "64M", "--display", "none", "--serial", "stdio"],
    ...["--kernel", payload, "--append", line],
    ...device === "disk"
      ? ["--disk", `${file},format=raw,if=virtio`]
      : ["--net", `socket=${file},model=virtio`],
  ],
});

const qemu = (accelerator: "kvm" | "tcg"): Host => ({
  name: `QEMU, ${accelerator}`,
  soft: accelerator === "tcg",
  command: (payload, { device }, line, file) => [
    ...["qemu-system-x86_64", "-M", "pc", "-accel", accelerator, "-m", "64", "-nodefaults"],
    ...["-display", "none", "-serial", "stdio", "-kernel", payload, "-append", line],
    ...["-device", "isa-debug-exit,iobase=0xf4,iosize=4"],
    ...device === "disk"
      ? [
        ...["-drive", `file=${file},format=raw,if=none,id=x`],
        ...["-device", "virtio-blk-pci,drive=x,disable-legacy=on"],
      ]
      : [
        ...["-netdev", `stream,id=x,server=off,addr.type=unix,addr.path=${file}`],
        ...["-device", "virtio-net-pci,netdev=x,disable-legacy=on"],
      ],
  ],
});

const HOSTS: readonly Host[] = [hv("kvm"), qemu("kvm"), hv("soft"), qemu("tcg")];

async function run([program, ...args]: string[]): Promise<string> {
  const process = new Deno.Command(program, {
    args,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
  const child = process.spawn();
  const limit = setTimeout(() => child.kill("SIGKILL"), RUN_MS);
  const { code, stdout, stderr } = await child.output();
  clearTimeout(limit);
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  if (code === 0 || code === DONE) return out;
  throw new Error(`${program} ended with ${code}: ${out} ${err}`);
}

/** Compiles what is in bench/virtio into `directory`. */
async function compile(directory: string): Promise<{ payload: string; peer: string }> {
  const files = { payload: `${directory}/payload`, peer: `${directory}/peer` };
  await run([
    ...["gcc", "-m64", "-O2", "-ffreestanding", "-fno-pic", "-no-pie", "-fno-stack-protector"],
    ...["-mgeneral-regs-only", "-mno-red-zone", "-nostdlib", "-static", "-Wl,--build-id=none"],
    ...["-Wl,--no-warn-rwx-segments", "-Wl,--oformat=binary", `-Wl,-T,${SOURCES}payload.ld`],
    ...["-o", files.payload, `${SOURCES}boot.S`, `${SOURCES}payload.c`],
  ]);
  await run(["gcc", "-O2", "-o", files.peer, `${SOURCES}peer.c`]);
  return files;
}

/** Turns a second of one run. */
async function measure(
  host: Host,
  work: Work,
  { payload, peer, directory }: { payload: string; peer: string; directory: string },
): Promise<number> {
  const line = work.line(work.counts[host.soft ? 1 : 0]);
  let file = `${directory}/disk.img`;
  let other: Deno.ChildProcess | undefined;
  if (work.device === "net") {
    file = `${directory}/${crypto.randomUUID()}`;
    const args = work.line(1).includes("echo") ? [file, "echo"] : [file];
    other = new Deno.Command(peer, { args, stdout: "piped" }).spawn();
    const reader = other.stdout.getReader();
    await reader.read(); // it listens
    await reader.cancel();
  }
  try {
    const output = await run(host.command(payload, work, line, file));
    const found = /result (\d+) (\d+)/.exec(output);
    if (found === null) throw new Error(`${host.name}, ${work.name}: ${output}`);
    return Number(found[1]) / Number(found[2]) * 1e6;
  } finally {
    if (other !== undefined) {
      try {
        other.kill();
      } catch {
        // It has ended with its client.
      }
      await other.status;
    }
  }
}

/** Measures and shows the tables. */
export async function virtio(which?: string): Promise<void> {
  console.log(`## Virtio\n\n${await machineLine()}; ${ROUNDS} rounds\n`);
  const directory = await Deno.makeTempDir({ prefix: "hv-bench-" });
  try {
    const files = { ...await compile(directory), directory };
    const disk = Deno.openSync(`${directory}/disk.img`, { write: true, createNew: true });
    const piece = crypto.getRandomValues(new Uint8Array(65536));
    for (let at = 0; at < DISK_BYTES; at += piece.length) await disk.write(piece);
    disk.close();
    const rows = [["work", ...HOSTS.map(({ name }) => name), "hv / QEMU, kvm", "soft / tcg"]];
    for (const work of WORK.filter(({ device }) => which === undefined || device === which)) {
      const speeds: number[][] = HOSTS.map(() => []);
      for (let round = 0; round < ROUNDS; round++) {
        for (const [i, host] of HOSTS.entries()) speeds[i].push(await measure(host, work, files));
      }
      const medians = speeds.map(median);
      rows.push([
        work.name,
        ...medians.map(work.unit),
        figure(medians[0] / medians[1], 2),
        figure(medians[2] / medians[3], 2),
      ]);
    }
    showTable(rows);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

if (import.meta.main) await virtio(Deno.args[0]);
