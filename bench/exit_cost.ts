/**
 * What an exit costs: a port access, an access to memory where nobody answers, string output, and a
 * register of a device (COM1's line status), in a guest that does nothing else; hv against a C program
 * with the least possible loop around KVM_RUN, and against QEMU.
 *
 * The time of one turn is (t(N) - t(0)) / N of whole runs in turn, so that start-up does not count. It
 * includes the loop's own two instructions, the same for all. Two tables: medians of the wall clock, and
 * the least processor time, which other work on the machine disturbs least, as it only ever adds.
 */

import { loopRom, stringRom, TURNS } from "./support/payload.ts";
import { cLoop, HV, type Program, qemu } from "./support/programs.ts";
import { median, timeInTurn, timeOnce, type Times } from "./support/measure.ts";
import { figure, machineLine, showTable } from "./support/report.ts";

const ROUNDS = Number(Deno.env.get("ROUNDS") ?? 7);
/** How long the turns of one run should take, ms: long beside the noise of a process's start. */
const RUN_MS = 700;
const STRING_BYTES = 60_000;

interface Case {
  readonly name: string;
  /** The guest with `count` turns. */
  readonly rom: (count: number) => Uint8Array<ArrayBuffer>;
  readonly most?: number;
}

const CASES: readonly Case[] = [
  { name: "port write (80h)", rom: (n) => loopRom(TURNS.portWrite, n) },
  { name: "port read (80h)", rom: (n) => loopRom(TURNS.portRead, n) },
  { name: "MMIO write (E0000000h)", rom: (n) => loopRom(TURNS.memoryWrite, n) },
  { name: "MMIO read (E0000000h)", rom: (n) => loopRom(TURNS.memoryRead, n) },
  { name: "COM1 line status read", rom: (n) => loopRom(TURNS.lineStatus, n) },
  { name: "rep outsb, a byte", rom: stringRom, most: STRING_BYTES },
];

/** Turns for a run of about `RUN_MS`, found with `program`. */
async function calibrate(program: Program, rom: Case, write: WriteRom): Promise<number> {
  const time = async (count: number) =>
    (await timeOnce({ name: program.name, command: program.command(await write(rom, count)) }))
      .wallMs;
  const most = rom.most ?? 2 ** 31;
  const sample = Math.min(20_000, most);
  const turnMs = Math.max(1e-5, (await time(sample) - await time(0)) / sample);
  return Math.min(most, Math.round(RUN_MS / turnMs));
}

type WriteRom = (rom: Case, count: number) => Promise<string>;

/** Measures and shows the table. */
export async function exitCost(): Promise<void> {
  console.log(`## Cost of an exit\n\n${await machineLine()}; ${ROUNDS} rounds\n`);
  const directory = await Deno.makeTempDir({ prefix: "hv-bench-" });
  try {
    const write: WriteRom = async (rom, count) => {
      const path = `${directory}/${count}.rom`;
      await Deno.writeFile(path, rom.rom(count));
      return path;
    };
    const c = await cLoop(directory);
    const other = await qemu();
    const programs = [HV, c, other].filter((program) => program !== undefined);
    const heading = ["exit", "hv, µs", "C, µs", "QEMU, µs", "hv / C", "hv / QEMU"];
    const wall = [heading];
    const cpu = [heading];
    for (const rom of CASES) {
      const count = await calibrate(c ?? HV, rom, write);
      const empty = await write(rom, 0);
      const full = await write(rom, count);
      const times = await timeInTurn(
        programs.flatMap(({ name, command }) => [
          { name, command: command(empty) },
          { name, command: command(full) },
        ]),
        ROUNDS,
      );
      const row = (of: (times: Times) => number, pick: (values: number[]) => number) => {
        const us = [HV, c, other].map((program) => {
          const i = programs.findIndex((other) => other === program);
          if (i < 0) return undefined;
          const [startMs, wholeMs] = [times[i * 2], times[i * 2 + 1]].map((t) => pick(t.map(of)));
          return (wholeMs - startMs) * 1000 / count;
        });
        const [hv, ...rivals] = us;
        return [
          rom.name,
          ...us.map((value) => figure(value, 2)),
          ...rivals.map((value) => figure(value && hv! / value, 2)),
        ];
      };
      wall.push(row(({ wallMs }) => wallMs, median));
      cpu.push(row(({ cpuMs }) => cpuMs, (values) => Math.min(...values)));
    }
    console.log("Wall clock, medians:\n");
    showTable(wall);
    console.log("Processor time, least:\n");
    showTable(cpu);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

if (import.meta.main) await exitCost();
