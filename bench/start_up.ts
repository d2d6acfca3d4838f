/**
 * From the start of the process to the guest's first instructions, which end it (isa-debug-exit), to
 * the end of the process: hv against QEMU with the same board, and a Deno program that does nothing,
 * in turn. Then where hv's time goes, as the library sees it from within.
 */

import { exitRom } from "./support/payload.ts";
import { bundle, bundledMain } from "../hv/release/bundle.ts";
import { buildSelfContained } from "../hv/release/self_contained.ts";
import { HV, hvBundled, hvFile, type Program, qemu } from "./support/programs.ts";
import { type Measured, median, medianRatio, timeInTurn, timeOnce } from "./support/measure.ts";
import { figure, machineLine, showTable } from "./support/report.ts";
import { STAGES, type StageTimes } from "./support/start_up_stages.ts";

const ROUNDS = Number(Deno.env.get("ROUNDS") ?? 15);
const STAGES_SCRIPT = new URL("./support/start_up_stages.ts", import.meta.url).pathname;

/** Measures and shows the tables. */
export async function startUp(): Promise<void> {
  console.log(`## Start to first instruction to end\n\n${await machineLine()}; ${ROUNDS} rounds\n`);
  const directory = await Deno.makeTempDir({ prefix: "hv-bench-" });
  try {
    const rom = `${directory}/exit.rom`;
    await Deno.writeFile(rom, exitRom());
    await showWhole(rom, directory);
    await showStages(rom);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

async function showWhole(rom: string, directory: string): Promise<void> {
  const empty = `${directory}/empty.ts`;
  await Deno.writeTextFile(empty, "export {};\n");
  const other = await qemu();
  await bundle(`${directory}/modules`);
  const bundled = hvBundled(bundledMain(`${directory}/modules`));
  const file = await oneFile(directory);
  const measured: Measured[] = [
    { name: "hv", command: HV.command(rom) },
    { name: bundled.name, command: bundled.command(rom) },
    ...(file === undefined ? [] : [{ name: file.name, command: file.command(rom) }]),
    ...(other === undefined ? [] : [{ name: other.name, command: other.command(rom) }]),
    { name: "empty Deno program", command: [Deno.execPath(), "run", empty], status: 0 },
  ];
  if (file !== undefined) {
    const { wallMs } = await timeOnce({ name: file.name, command: file.command(rom) });
    console.log(`First start of the one file, which unpacks it: ${figure(wallMs, 0)} ms\n`);
  }
  const times = await timeInTurn(measured, ROUNDS);
  const rows = [["program", "wall, ms", "least, ms", "processor time, ms", "hv / this"]];
  for (const [i, { name }] of measured.entries()) {
    const wall = times[i].map(({ wallMs }) => wallMs);
    rows.push([
      name,
      figure(median(wall), 0),
      figure(Math.min(...wall), 0),
      figure(median(times[i].map(({ cpuMs }) => cpuMs)), 0),
      figure(medianRatio(times[0].map(({ wallMs }) => wallMs), wall), 2),
    ]);
  }
  showTable(rows);
}

/** The self-contained file, made of the bundle in `directory`; undefined, and why, where it cannot be. */
async function oneFile(directory: string): Promise<Program | undefined> {
  const [folder, output] = [`${directory}/modules`, `${directory}/hv`];
  try {
    await buildSelfContained({ folder, main: bundledMain(folder), output, level: 1 });
    return hvFile(output, `${directory}/cache`);
  } catch (error) {
    console.log(`without the one file: ${(error as Error).message}\n`);
    return undefined;
  }
}

async function showStages(rom: string): Promise<void> {
  const runs: StageTimes[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const startedMs = performance.timeOrigin + performance.now();
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--allow-all", STAGES_SCRIPT, rom, `${startedMs}`],
      stdin: "null",
    }).output();
    if (!success) throw new Error(`Cannot measure: ${new TextDecoder().decode(stderr)}`);
    runs.push(JSON.parse(new TextDecoder().decode(stdout)));
  }
  const rows = [["stage", "median, ms", "least, ms"]];
  for (const stage of STAGES) {
    const times = runs.map((run) => run[stage]);
    rows.push([stage, figure(median(times), 1), figure(Math.min(...times), 1)]);
  }
  showTable(rows);
}

if (import.meta.main) await startUp();
