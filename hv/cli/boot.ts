/** `hv boot`: as `hv run`, but for whoever names nothing to start, a Linux to try. */

import {
  type LinuxOptions,
  type LinuxToTry,
  linuxToTry,
  PackageError,
  type TerminalSize,
} from "../linux/mod.ts";
import { ExitCode } from "./words/option_table.ts";
import type { RunRequest } from "./words/parse.ts";
import { run } from "./run.ts";
import { say } from "./say.ts";
import { onEndSignals } from "./signals.ts";
import { terminalSize } from "./terminal/session.ts";

const MIB = 2 ** 20;
const CLEAR_LINE = "\r\x1b[K";

/** Runs what was named or, where nothing was, Linux; where that cannot be had, the ROM monitor. */
export async function boot(request: RunRequest): Promise<number> {
  if (namesSomething(request)) return await run(request);
  const stop = new AbortController();
  const line = new ProgressLine();
  const { options } = request;
  const { append, ...given } = options;
  // Who tries a Linux wants to reach something with it; --net none leaves it out.
  const others = { network: { end: "user" } as const, ...defined(given) };
  let linux: LinuxToTry | undefined;
  try {
    using _ = onEndSignals(() => stop.abort());
    linux = await linuxToTry({
      progress: (what, done) => line.show(what, done),
      signal: stop.signal,
      console: linuxConsole(request),
      size: consoleSize(request),
      isScripted: !Deno.stdin.isTerminal(),
      hasShares: options.share !== undefined && [options.share].flat().length > 0,
    });
    line.end();
  } catch (error) {
    line.end();
    if (stop.signal.aborted) {
      say("hv: interrupted");
      return ExitCode.interrupted;
    }
    if (!(error instanceof PackageError)) throw error;
    say(`hv: no Linux to try: ${error.message}`);
    say("hv: the ROM monitor starts; give hv something else to start: hv boot IMAGE");
  }
  if (linux === undefined) return await run({ ...request, options: given });
  const more = append === undefined ? "" : ` ${append}`;
  const { kernel, initrd, prompt: inputAfter } = linux;
  const started = { ...others, kernel, initrd, append: linux.append + more };
  return await run({ ...request, options: started, inputAfter });
}

/** Without what is there as undefined only. */
const defined = <T extends object>(options: T): T =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;

function namesSomething({ image, options }: RunRequest): boolean {
  const { kernel, initrd, floppy, disk, cdrom, bios } = options;
  return [image, kernel, initrd, floppy, disk, cdrom, bios].some((named) => named !== undefined);
}

function linuxConsole({ display, options }: RunRequest): LinuxOptions["console"] {
  if (display === "text") return "tty0";
  return options.console === "virtio" ? "hvc0" : "ttyS0";
}

/** Of the terminal that the guest's serial console will be on. */
function consoleSize({ serial, console, options, display }: RunRequest): TerminalSize | undefined {
  const end = options.console === "virtio" ? console : serial?.[0];
  const elsewhere = display === "text" || (end !== undefined && end.kind !== "stdio");
  return elsewhere || !Deno.stdout.isTerminal() ? undefined : terminalSize();
}

/** What is being done: on a terminal a line that changes, else one line for each step. */
class ProgressLine {
  readonly #live = Deno.stderr.isTerminal();
  #last = "";

  show(what: string, done?: { bytes: number; total: number }): void {
    const mib = (bytes: number) => (bytes / MIB).toFixed(1);
    if (this.#live) {
      const far = done === undefined ? "" : `: ${mib(done.bytes)} of ${mib(done.total)} MiB`;
      this.#write(`${CLEAR_LINE}hv: ${what}${far}`);
    } else if (what !== this.#last) {
      say(`hv: ${what}${done === undefined ? "" : ` (${mib(done.total)} MiB)`}`);
    }
    this.#last = what;
  }

  /** Takes the line away. */
  end(): void {
    if (this.#live && this.#last !== "") this.#write(CLEAR_LINE);
    this.#last = "";
  }

  #write(text: string): void {
    try {
      Deno.stderr.writeSync(new TextEncoder().encode(text));
    } catch {
      // Nobody can be told.
    }
  }
}
