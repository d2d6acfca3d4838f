/**
 * Memory of a machine that works for a long time: Linux with two processors on the software CPU, whose
 * programs come and go, compress, hash, search and sort. The process's resident memory, and what of it
 * is the guest's RAM, minute by minute: whatever grows without end shows. `MINUTES` says how long.
 * Needs the packages that `hv boot` fetches.
 */

import { initramfs } from "../hv/linux/initramfs.ts";
import { BUSYBOX, fetchPackage, KERNEL } from "../hv/linux/packages.ts";
import { figure, machineLine, showTable } from "./support/report.ts";

const MINUTES = Number(Deno.env.get("MINUTES") ?? 10);
const GUEST_MIB = 128;
/** The guest's RAM is followed by ROM and video memory. */
const MOST_DEVICE_MIB = 64;
const ROUND = /^round \d+$/gm;
const INIT = `#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox --install -s /bin
export PATH=/bin
work() {
  cd /tmp/$1
  n=0
  while true; do
    for i in $(seq 40); do true | cat; sh -c : ; done
    sha256sum /bin/busybox > sum
    gzip -c /bin/busybox > packed.gz
    gunzip -c packed.gz | cmp - /bin/busybox || echo wrong
    find / -xdev -type f | sort > names
    head -c 200000 /dev/urandom | od -x | sort | uniq | awk '{ s += NF } END { print s }' > count
    n=$((n + 1))
    echo round $n
  done
}
mkdir -p /tmp/a /tmp/b
work a &
work b
`;

interface Sample {
  readonly minute: number;
  /** Rounds of the guest's work that both of its loops have done. */
  readonly rounds: number;
  readonly residentMib: number;
  readonly guestMib: number;
}

/** Measures and shows the table. */
export async function memoryLong(): Promise<void> {
  console.log(`## Memory over ${MINUTES} minutes of Linux at work\n\n${await machineLine()}\n`);
  const [kernelFolder, busybox] = [await fetchPackage(KERNEL), await fetchPackage(BUSYBOX)];
  const [{ name: release }] = Deno.readDirSync(`${kernelFolder}/lib/modules`);
  const initrd = await Deno.makeTempFile({ prefix: "hv-bench-" });
  try {
    const program = Deno.readFileSync(`${busybox}/bin/busybox`);
    const parts = { release, modules: [], init: INIT, profile: "", busybox: program };
    await Deno.writeFile(initrd, initramfs(parts));
    const samples = await run([
      ...["run", "--allow-all", new URL("../main.ts", import.meta.url).pathname, "run"],
      ...["--accel", "soft", "--cpus", "2", "--memory", `${GUEST_MIB}M`, "--display", "none"],
      ...["--kernel", `${kernelFolder}/boot/vmlinuz-${release}`, "--initrd", initrd],
      ...["--append", "console=ttyS0 quiet"],
    ]);
    showTable([
      ["minute", "rounds of work", "resident, MiB", "of it the guest's RAM", "the rest"],
      ...samples.map(({ minute, rounds, residentMib, guestMib }) => [
        `${minute}`,
        `${rounds}`,
        ...[residentMib, guestMib, residentMib - guestMib].map((mib) => figure(mib, 0)),
      ]),
    ]);
  } finally {
    await Deno.remove(initrd);
  }
}

/** Starts hv and looks at it once a minute. */
async function run(args: readonly string[]): Promise<Sample[]> {
  const hv = new Deno.Command(Deno.execPath(), {
    args: [...args],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  let text = "";
  const reading = (async () => {
    for await (const part of hv.stdout.pipeThrough(new TextDecoderStream())) text += part;
  })();
  const samples: Sample[] = [];
  try {
    for (let minute = 1; minute <= MINUTES; minute++) {
      await new Promise((resolve) => setTimeout(resolve, 60_000));
      const lines = text.replaceAll("\r", "");
      if (lines.includes("wrong")) throw new Error("The guest has packed and unpacked wrongly");
      const rounds = [...lines.matchAll(ROUND)].length;
      samples.push({ minute, rounds, ...await sizes(hv.pid) });
    }
    return samples;
  } finally {
    hv.kill("SIGTERM");
    await hv.status;
    await reading;
  }
}

/** Resident memory of process `pid`, and of the mapping in it that has the size of the guest's RAM. */
async function sizes(pid: number): Promise<{ residentMib: number; guestMib: number }> {
  let [residentMib, guestMib, sizeMib] = [0, 0, 0];
  for (const line of (await Deno.readTextFile(`/proc/${pid}/smaps`)).split("\n")) {
    const [, name, kib] = /^(Size|Rss): +(\d+) kB$/.exec(line) ?? [];
    const mib = Number(kib) / 1024;
    if (name === "Size") sizeMib = mib;
    if (name !== "Rss") continue;
    residentMib += mib;
    if (sizeMib >= GUEST_MIB && sizeMib <= GUEST_MIB + MOST_DEVICE_MIB) guestMib += mib;
  }
  return { residentMib, guestMib };
}

if (import.meta.main) await memoryLong();
