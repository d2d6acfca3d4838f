/**
 * Speed of the software CPU on loops of a few kinds, in 32-bit protected mode without paging, against
 * QEMU's TCG and, where the npm registry can be reached, v86.
 *
 * Instructions a second are those of N turns over t(N) - t(0) of whole runs in turn, so that start-up
 * does not count. All three translate what is hot.
 */

import { WORK, workRom } from "./support/payload.ts";
import { HV_SOFT, type Program, qemu, V86 } from "./support/programs.ts";
import { median, timeInTurn, timeOnce } from "./support/measure.ts";
import { figure, machineLine, showTable } from "./support/report.ts";

const ROUNDS = Number(Deno.env.get("ROUNDS") ?? 5);
/** How long the turns of one run should take, ms: long beside the noise of a process's start. */
const RUN_MS = 1000;
const SAMPLE_TURNS = 5_000_000;

/** Measures and shows the table. */
export async function softCpu(): Promise<void> {
  console.log(`## The software CPU on loops\n\n${await machineLine()}; ${ROUNDS} rounds\n`);
  const directory = await Deno.makeTempDir({ prefix: "hv-bench-" });
  try {
    const write = async (turn: readonly number[], count: number) => {
      const path = `${directory}/${count}.rom`;
      await Deno.writeFile(path, workRom(turn, count));
      return path;
    };
    const time = async ({ name, command }: Program, rom: string) =>
      (await timeOnce({ name, command: command(rom) })).wallMs;
    const empty = await write([], 0);
    const rivals = [await qemu("tcg"), await v86(empty)].filter((one) => one !== undefined);
    const programs = [HV_SOFT, ...rivals];
    const rows = [[
      "loop",
      ...programs.map(({ name }) => `${name}, M/s`),
      ...rivals.map(({ name }) => `hv / ${name}`),
    ]];
    for (const [loop, { turn, instructions }] of Object.entries(WORK)) {
      const turns = new Map<Program, number>();
      for (const program of programs) {
        const sample = await time(program, await write(turn, SAMPLE_TURNS));
        const turnMs = Math.max(1e-7, (sample - await time(program, empty)) / SAMPLE_TURNS);
        turns.set(program, Math.min(0xffff_ffff, Math.round(RUN_MS / turnMs)));
      }
      const runs = [];
      for (const { name, command } of programs) {
        const program = programs.find((one) => one.name === name)!;
        const full = await write(turn, turns.get(program)!);
        runs.push({ name, command: command(empty) }, { name, command: command(full) });
      }
      const times = await timeInTurn(runs, ROUNDS);
      const speeds = programs.map((program, i) => {
        const [start, whole] = [times[i * 2], times[i * 2 + 1]].map((list) =>
          median(list.map(({ wallMs }) => wallMs))
        );
        return turns.get(program)! * instructions / (whole - start) / 1000;
      });
      rows.push([
        loop,
        ...speeds.map((speed) => figure(speed, 0)),
        ...speeds.slice(1).map((speed) => figure(speeds[0] / speed, 2)),
      ]);
    }
    showTable(rows);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** v86 where it can be had; undefined, with the reason printed, where it cannot. */
async function v86(rom: string): Promise<Program | undefined> {
  try {
    await timeOnce({ name: V86.name, command: V86.command(rom) });
    return V86;
  } catch (error) {
    console.log(`without v86: ${(error as Error).message}`);
    return undefined;
  }
}

if (import.meta.main) await softCpu();
