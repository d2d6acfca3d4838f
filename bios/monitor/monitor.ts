/**
 * The ROM monitor: what runs when nothing can be booted, as the first PCs started BASIC. It works on
 * the screen and keyboard, and on the first serial port where that is a console.
 *
 * Where nobody is there to type, it ends the machine when it has found nothing typed for a while.
 *
 * Its state is in the EBDA: the line being typed, and the command under way when that needs several
 * calls (`cpu`, for which the guest executes CPUID). Between keys the guest halts.
 */

import { Ebda } from "../bda.ts";
import type { Console } from "./console.ts";
import type { Guest } from "../guest.ts";
import { COMMANDS } from "./commands.ts";
import { showCpuid } from "./cpuid.ts";

/** What the monitor is doing. */
const State = { start: 0, edit: 1, cpuid: 2 } as const;
const LINE_BYTES = 120;
const BACKSPACE = 8;
const RETURN = 13;
/** What ends a line that comes from a pipe; behind a return it is of the same line's end. */
const LINE_FEED = 10;
const CANCEL = [3, 21, 27];
const DELETE = 127;
const PROMPT = "> ";
/** Keys handled in one call; more of them wait for the next. */
const KEYS_AT_ONCE = 64;
/**
 * So many calls without a key, half a second of timer ticks, are the end where nobody is there: keys that
 * were typed before may still be on their way.
 */
const IDLE_CALLS = 8;

/** Serves one call of the monitor's stub. */
export function monitor(guest: Guest, console: Console): void {
  const { memory } = guest.host;
  switch (memory.readU8(Ebda.monitorState)) {
    case State.start:
      console.print("\nROM monitor. Type help for the commands.\n");
      return prompt(guest, console);
    case State.cpuid:
      if (showCpuid(guest, console)) return;
      return prompt(guest, console);
  }
  for (let i = 0; i < KEYS_AT_ONCE; i++) {
    const key = console.read();
    if (key < 0) return i === 0 ? idle(guest) : undefined;
    memory.writeU8(Ebda.monitorIdle, 0);
    if (edit(guest, console, key)) return;
  }
}

/** Nothing was typed since the last call. */
function idle({ host }: Guest): void {
  if (host.boot.attended) return;
  const calls = host.memory.readU8(Ebda.monitorIdle) + 1;
  host.memory.writeU8(Ebda.monitorIdle, Math.min(calls, IDLE_CALLS));
  if (calls >= IDLE_CALLS) host.giveUp();
}

function prompt(guest: Guest, console: Console): void {
  const { memory } = guest.host;
  memory.writeU8(Ebda.monitorState, State.edit);
  memory.writeU8(Ebda.monitorLength, 0);
  console.print(PROMPT);
}

/** Takes a key; true when a command has been carried out, or begun. */
function edit(guest: Guest, console: Console, key: number): boolean {
  const { memory } = guest.host;
  const length = Math.min(memory.readU8(Ebda.monitorLength), LINE_BYTES);
  if (key === RETURN || (key === LINE_FEED && length > 0)) {
    console.print("\n");
    run(guest, console, text(guest, length));
    return true;
  }
  if (key === BACKSPACE || key === DELETE) {
    if (length > 0) erase(guest, console, length, 1);
  } else if (CANCEL.includes(key)) erase(guest, console, length, length);
  else if (key >= 0x20 && key < 0x7f && length < LINE_BYTES) {
    memory.writeU8(Ebda.monitorLine + length, key);
    memory.writeU8(Ebda.monitorLength, length + 1);
    console.print(String.fromCharCode(key));
  }
  return false;
}

function erase(guest: Guest, console: Console, length: number, count: number): void {
  console.print("\b \b".repeat(count));
  guest.host.memory.writeU8(Ebda.monitorLength, length - count);
}

function text(guest: Guest, length: number): string {
  const bytes = guest.host.memory.view(Ebda.monitorLine, length);
  return bytes === undefined ? "" : String.fromCharCode(...bytes);
}

function run(guest: Guest, console: Console, line: string): void {
  const [name, ...words] = line.trim().toLowerCase().split(/\s+/);
  // A command that sends the guest elsewhere finds the prompt when it comes back.
  guest.host.memory.writeU8(Ebda.monitorState, State.edit);
  guest.host.memory.writeU8(Ebda.monitorLength, 0);
  if (name === "cpu") {
    guest.host.memory.writeU8(Ebda.monitorState, State.cpuid);
    guest.host.memory.writeU32(Ebda.monitorArgument, 0xffff_ffff);
    showCpuid(guest, console);
    return;
  }
  const command = COMMANDS.find((candidate) => candidate.name === name);
  if (command === undefined) {
    if (name !== "") {
      console.print(`There is no command "${name}"; type help for those there are.\n`);
    }
    return prompt(guest, console);
  }
  if (command.run(guest, console, words) === "gone") return;
  prompt(guest, console);
}
