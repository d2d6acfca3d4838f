/**
 * Memory that a machine takes beside its guest's RAM: resident and proportional size of the whole
 * process while the guest is halted. The guest has touched no page of its 64 MiB of RAM, so that all of
 * it is the program's own; hv against QEMU, with one and two virtual processors.
 */

import { haltRom } from "./support/payload.ts";
import { HV, type Program, qemu } from "./support/programs.ts";
import { median } from "./support/measure.ts";
import { figure, machineLine, showTable } from "./support/report.ts";

const ROUNDS = Number(Deno.env.get("ROUNDS") ?? 5);
/** How long a program gets to come to rest, ms. */
const SETTLE_MS = 2500;

interface Sizes {
  readonly rssMib: number;
  readonly pssMib: number;
  readonly threads: number;
}

/** Measures and shows the table. */
export async function memory(): Promise<void> {
  console.log(`## Memory beyond the guest's\n\n${await machineLine()}; ${ROUNDS} rounds\n`);
  const directory = await Deno.makeTempDir({ prefix: "hv-bench-" });
  try {
    const rom = `${directory}/halt.rom`;
    await Deno.writeFile(rom, haltRom());
    const other = await qemu();
    const rows = [["program", "processors", "resident, MiB", "proportional, MiB", "threads"]];
    for (const program of [HV, other]) {
      if (program === undefined) continue;
      for (const cpus of [1, 2]) {
        const sizes: Sizes[] = [];
        for (let i = 0; i < ROUNDS; i++) sizes.push(await measure(program, rom, cpus));
        rows.push([
          program.name,
          `${cpus}`,
          figure(median(sizes.map(({ rssMib }) => rssMib)), 1),
          figure(median(sizes.map(({ pssMib }) => pssMib)), 1),
          figure(median(sizes.map(({ threads }) => threads)), 0),
        ]);
      }
    }
    showTable(rows);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

async function measure(program: Program, rom: string, cpus: number): Promise<Sizes> {
  const [path, ...args] = program.command(rom, cpus);
  const process = new Deno.Command(path, { args, stdin: "null", stdout: "null", stderr: "null" })
    .spawn();
  try {
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    const rollup = await Deno.readTextFile(`/proc/${process.pid}/smaps_rollup`);
    const status = await Deno.readTextFile(`/proc/${process.pid}/status`);
    return {
      rssMib: field(rollup, "Rss") / 1024,
      pssMib: field(rollup, "Pss") / 1024,
      threads: field(status, "Threads"),
    };
  } finally {
    process.kill("SIGTERM");
    await process.status;
  }
}

function field(text: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s*(\\d+)`, "m").exec(text)?.[1]);
}

if (import.meta.main) await memory();
