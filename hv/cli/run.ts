/** `hv run`: a machine, connected to this terminal, from its start to its end. */

import { DEFAULT_MEMORY, type MachineOptions } from "../options/config.ts";
import { UsageError } from "../errors.ts";
import type { ExitStatus } from "../machine/exit_status.ts";
import { describeFilled } from "../machine/filled_text.ts";
import { Machine } from "../machine/machine.ts";
import { parseMemory, showBytes } from "../options/sizes.ts";
import { type ConnectedEnd, connectEnd } from "./character_end.ts";
import { ExitCode } from "./words/option_table.ts";
import type { CharacterEnd, RunRequest } from "./words/parse.ts";
import { Progress } from "./progress_line.ts";
import { HeldGuest } from "./queued_output.ts";
import { say } from "./say.ts";
import { checkScreenshot, saveScreenshot } from "./screenshot.ts";
import { onEndSignals } from "./signals.ts";
import { VIRTIO_CONSOLE } from "../pc/board_config.ts";
import { TerminalSession } from "./terminal/session.ts";

/** How long whoever reads the output may take for what is left of it when time is up, ms. */
const PATIENCE_MS = 5000;
/** From when on a start is so long that it is shown how far it is, ms. */
const NOTE_MS = 1000;

/** Runs a machine until it ends, time is up or the user ends it; gives the exit code. */
export async function run(request: RunRequest): Promise<number> {
  const options = await optionsOf(request);
  if (request.screenshot !== undefined) checkScreenshot(request.screenshot);
  const { display, ends } = endsOf(request, options);
  const onWarning = (line: string) => say(`hv: ${line}`);
  const machine = await create({ ...options, onWarning });
  try {
    const line = startLine(machine, options);
    return await live(machine, { request, display, ends, line });
  } finally {
    await machine[Symbol.asyncDispose]();
  }
}

/** Makes the machine; who waits long for its threads is shown how far they are. */
async function create(options: MachineOptions): Promise<Machine> {
  const progress = new Progress();
  const startedAtMs = performance.now();
  const onStarting = (up: number, of: number) => {
    if (performance.now() - startedAtMs < NOTE_MS) return;
    progress.show(`starting ${of} processors`, up / of);
  };
  try {
    return await Machine.create({ ...options, onStarting });
  } finally {
    progress.end();
  }
}

/** The machine's options, with the image that was named alone as what it is. */
async function optionsOf({ image, options }: RunRequest): Promise<MachineOptions> {
  if (image === undefined) return options;
  const { withImage } = await import("./image_kind.ts");
  return withImage(options, image);
}

/** What is on the terminal: the screen unless a kernel was given, whose console is serial. */
function endsOf(request: RunRequest, options: MachineOptions) {
  const wanted = [...request.serial ?? [], ...request.console ? [request.console] : []];
  const serialWanted = wanted.some(({ kind }) => kind === "stdio");
  const display = request.display ??
    (serialWanted || options.kernel !== undefined || !Deno.stdout.isTerminal() ? "none" : "text");
  const terminal: CharacterEnd = { kind: display === "text" ? "null" : "stdio" };
  const isVirtio = options.console === "virtio";
  const serial = request.serial ?? (isVirtio ? [] : [terminal]);
  const ends = new Map(serial.map((end, i) => [`com${i + 1}`, end]));
  if (isVirtio) ends.set(VIRTIO_CONSOLE, request.console ?? terminal);
  for (const [name, end] of request.ports) ends.set(name, end);
  ends.set("debugcon", request.debugConsole);
  refuseOneFileForTwo(ends);
  return { display, ends } as const;
}

/** Where the firmware's ROM monitor takes what is typed, but for the keyboard. */
const FIRMWARE_CONSOLE = "com1";

/** May somebody come by a socket? */
const hasClients = (ends: ReadonlyMap<string, CharacterEnd>): boolean =>
  ends.get(FIRMWARE_CONSOLE)?.kind === "unix";

/** @throws {UsageError} When two would write over each other's bytes; a device keeps both's. */
function refuseOneFileForTwo(ends: ReadonlyMap<string, CharacterEnd>): void {
  const writers = new Map<string, string>();
  for (const [name, end] of ends) {
    if (end.kind !== "file" || end.path.startsWith("/dev/")) continue;
    const other = writers.get(end.path);
    if (other !== undefined) {
      throw new UsageError(
        `Cannot write ${other} and ${name} to ${end.path}: they would overwrite each other; ` +
          "name two files",
      );
    }
    writers.set(end.path, name);
  }
}

function startLine(machine: Machine, { memory, cpus = 1 }: MachineOptions): string {
  const ram = showBytes(parseMemory(memory ?? DEFAULT_MEMORY));
  const disks = machine.diskEngines.length === 0
    ? ""
    : `; disks by ${machine.diskEngines.join(" and ")}`;
  const processors = `${cpus} processor${cpus === 1 ? "" : "s"}`;
  return `${processors}, ${ram} of memory; ${machine.accelerator}${disks}`;
}

interface Session {
  readonly request: RunRequest;
  readonly display: "none" | "text";
  /** By the name of the console. */
  readonly ends: ReadonlyMap<string, CharacterEnd>;
  /** What to tell the user when the guest starts. */
  readonly line: string;
}

async function live(
  machine: Machine,
  { request, display, ends, line }: Session,
): Promise<number> {
  const connected: ConnectedEnd[] = [];
  const held = new HeldGuest(machine);
  // What is typed goes to the first.
  const consoles = [machine.console, ...machine.consoles.filter((one) => one !== machine.console)]
    .filter(({ name }) => ends.get(name)?.kind === "stdio");
  const { inputAfter } = request;
  const session = new TerminalSession(machine, { display, held, inputAfter, consoles });
  const canBeTyped = display === "text" || consoles[0]?.name === FIRMWARE_CONSOLE;
  machine.attended = canBeTyped || hasClients(ends);
  let timeout: ReturnType<typeof setTimeout> | undefined;
  const cut = Promise.withResolvers<number>();
  const interrupted = Promise.withResolvers<void>();
  let patience: ReturnType<typeof setTimeout> | undefined;
  let signals: Disposable | undefined;
  try {
    signals = onEndSignals(() => {
      cut.resolve(ExitCode.interrupted);
      interrupted.resolve();
    });
    if (request.timeoutMs !== undefined) {
      timeout = setTimeout(() => cut.resolve(ExitCode.timeout), request.timeoutMs);
    }
    const connect = async () => {
      for (const console of machine.consoles) {
        const end = ends.get(console.name);
        if (end !== undefined) connected.push(await connectEnd(console, end, held));
      }
    };
    const connecting = connect();
    // Whoever has interrupted it does not want to hear more of it.
    connecting.catch(() => {});
    const goOn = async () => {
      // Now that everything is connected, nothing of the guest's output is lost.
      say(`hv: ${line}`);
      session.start();
      await machine.resume();
      session.quit.then(() => cut.resolve(ExitCode.ok));
      session.inputEnd.then(() => machine.attended = hasClients(ends));
      return await Promise.race([machine.exited, cut.promise]);
    };
    const ended = await Promise.race([connecting, cut.promise]) ?? await goOn();
    session.stop();
    const isCut = typeof ended === "number";
    if (isCut) await cutShort(machine, ended, request.timeoutMs);
    // A reader that takes nothing keeps the guest's end waiting, a time limit for a while, no signal.
    const patient = new Promise<void>((resolve) => {
      if (isCut) patience = setTimeout(resolve, PATIENCE_MS);
    });
    const flushed = Promise.all([session.flush(), ...connected.map((end) => end.flush?.())]);
    await Promise.race([flushed, patient, interrupted.promise]);
    if (request.screenshot !== undefined) await saveScreenshot(machine, request.screenshot);
    sayFilled(machine);
    return isCut ? ended : ending(ended);
  } finally {
    clearTimeout(timeout);
    clearTimeout(patience);
    session.stop();
    signals?.[Symbol.dispose]();
    for (const end of connected) await end.close();
  }
}

/** What KVM's gaps have cost, where that is worth a word. */
function sayFilled({ filledInstructions: filled }: Machine): void {
  if (filled !== undefined && filled.spentNs > 1e9) say(`hv: ${describeFilled(filled)}`);
}

async function cutShort(machine: Machine, code: number, timeoutMs = 0): Promise<void> {
  if (code === ExitCode.timeout) {
    say(`hv: the machine was ended after its time limit of ${timeoutMs / 1000} s`);
    say(await machine.describe());
  } else if (code === ExitCode.interrupted) {
    say("hv: interrupted");
  }
}

function ending({ reason, code, message }: ExitStatus): number {
  switch (reason) {
    case "debug-exit":
      return code;
    case "triple-fault":
      say(`hv: ${message}`);
      return ExitCode.tripleFault;
    case "failed":
      say(`hv: ${message}`);
      return ExitCode.guestFailed;
    default:
      return ExitCode.ok;
  }
}
