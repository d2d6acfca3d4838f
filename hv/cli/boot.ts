/** `hv boot`: as `hv run`, but for whoever names nothing to start, a Linux to try. */

import { linuxToTry, PackageError, type TerminalSize } from "../linux/mod.ts";
import type { RunRequest } from "./parse.ts";
import { run } from "./run.ts";
import { say } from "./say.ts";

const MIB = 2 ** 20;
const CLEAR_LINE = "\r\x1b[K";

/** Runs what was named or, where nothing was, Linux; where that cannot be had, the ROM monitor. */
export async function boot(request: RunRequest): Promise<number> {
  if (namesSomething(request)) return await run(request);
  const line = new ProgressLine();
  try {
    const linux = await linuxToTry({
      progress: (name, bytes, total) => line.show(name, bytes, total),
      size: terminalSize(request),
    });
    line.end();
    const { append = "" } = request.options;
    const options = { ...request.options, ...linux, append: `${linux.append} ${append}`.trim() };
    return await run({ ...request, options });
  } catch (error) {
    line.end();
    if (!(error instanceof PackageError)) throw error;
    say(`hv: no Linux to try: ${error.message}`);
    say("hv: the ROM monitor starts; give hv something else to start: hv run IMAGE");
    return await run(request);
  }
}

function namesSomething({ image, options }: RunRequest): boolean {
  const { kernel, floppy, disk, cdrom, bios } = options;
  return [image, kernel, floppy, disk, cdrom, bios].some((named) => named !== undefined);
}

/** Of the terminal that the guest's console will be on. */
function terminalSize({ serial, display }: RunRequest): TerminalSize | undefined {
  const elsewhere = display === "text" || (serial !== undefined && serial[0].kind !== "stdio");
  return elsewhere || !Deno.stdout.isTerminal() ? undefined : Deno.consoleSize();
}

/** How a download comes along: a line that grows on a terminal, else one line a package. */
class ProgressLine {
  readonly #live = Deno.stderr.isTerminal();
  #name = "";

  show(name: string, bytes: number, total: number): void {
    const mib = (n: number) => (n / MIB).toFixed(1);
    const size = total === 0 ? "" : ` (${mib(total)} MiB)`;
    if (this.#live) {
      const done = `hv: fetching Debian's package ${name}: ${mib(bytes)} of ${mib(total)} MiB`;
      this.#write(CLEAR_LINE + done);
    } else if (name !== this.#name) {
      say(`hv: fetching Debian's package ${name}${size}`);
    }
    this.#name = name;
  }

  /** Takes the line away. */
  end(): void {
    if (this.#live && this.#name !== "") this.#write(CLEAR_LINE);
    this.#name = "";
  }

  #write(text: string): void {
    try {
      Deno.stderr.writeSync(new TextEncoder().encode(text));
    } catch {
      // Nobody can be told.
    }
  }
}
