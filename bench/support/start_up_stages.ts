/**
 * Starts and ends one machine and tells as JSON when it got how far; a program of its own, so that
 * nothing is loaded before it starts. Arguments: the ROM, and when the process was started (Unix time
 * in ms).
 */

/** What is told apart, in order. */
export const STAGES = [
  "Deno starts",
  "modules load",
  "threads start, VM and board are made",
  "the guest runs to its end",
  "the machine is disposed of",
] as const;

/** Milliseconds of each. */
export type StageTimes = Record<typeof STAGES[number], number>;

if (import.meta.main) {
  const [bios, startedMs] = Deno.args;
  const marks = [Number(startedMs)];
  const mark = () => marks.push(performance.timeOrigin + performance.now());
  mark();
  const { Machine } = await import("../../hv/machine/machine.ts");
  mark();
  const machine = await Machine.create({ accelerator: "kvm", bios, memory: "64M" });
  mark();
  await machine.resume();
  await machine.exited;
  mark();
  await machine[Symbol.asyncDispose]();
  mark();
  const times = STAGES.map((stage, i) => [stage, marks[i + 1] - marks[i]]);
  console.log(JSON.stringify(Object.fromEntries(times)));
}
