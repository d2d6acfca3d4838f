/** The guest of linux_guest.ts in QEMU, on its translator: to compare with, and to talk to. */

import assert from "node:assert/strict";
import { KERNEL } from "../../../hv/linux/packages.ts";
import type { Scratch } from "../hv_process.ts";
import { archive, COMMAND_LINE, kernelFile, LIMIT_MS, PROMPT } from "./linux_guest.ts";

const AT_PROMPT = new RegExp(PROMPT);

/** See above. */
export class QemuGuest implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #output: ReadableStreamDefaultReader<Uint8Array>;
  readonly #decoder = new TextDecoder();
  #text = "";

  private constructor(process: Deno.ChildProcess) {
    this.#process = process;
    this.#input = process.stdin.getWriter();
    this.#output = process.stdout.getReader();
  }

  /** Starts one with kernel modules and more of QEMU's options, and waits for its shell. */
  static async start(
    scratch: Scratch,
    modules: readonly string[],
    options: readonly string[],
  ): Promise<QemuGuest> {
    const initrd = `${scratch.path}/qemu-initrd`;
    Deno.writeFileSync(initrd, archive(KERNEL, modules, []));
    const process = new Deno.Command("qemu-system-x86_64", {
      args: [
        ...["-accel", "tcg", "-m", "256M", "-nographic", "-nodefaults", "-serial", "stdio"],
        ...["-kernel", kernelFile(KERNEL), "-initrd", initrd, "-no-reboot"],
        ...["-append", `console=ttyS0 ${COMMAND_LINE}`],
        ...options,
      ],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const guest = new QemuGuest(process);
    try {
      await guest.#until(AT_PROMPT);
      return guest;
    } catch (error) {
      await guest[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Runs a command; what it printed. A status other than 0 fails the test. */
  async run(command: string): Promise<string> {
    // The terminal shows what is typed, in which the marks do not occur.
    const line = `echo "<""begin>"; ${command}; echo "<""end $?>"\n`;
    await this.#input.write(new TextEncoder().encode(line));
    await this.#until(/<begin>\n/);
    const output = await this.#until(/<end \d+>\n/);
    await this.#until(AT_PROMPT);
    const status = /<end (\d+)>\n$/.exec(output)!;
    assert.equal(status[1], "0", `${command}: ${output}`);
    return output.slice(0, status.index).trimEnd();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.#output.cancel();
    await this.#input.close().catch(() => {});
    await this.#process.status;
  }

  /** Reads up to `mark`, and gives what there was, with it. */
  async #until(mark: RegExp): Promise<string> {
    const late = Promise.withResolvers<never>();
    late.promise.catch(() => {});
    const timer = setTimeout(
      () => late.reject(new Error(`no ${mark} from QEMU's guest: ${this.#text}`)),
      LIMIT_MS,
    );
    try {
      for (;;) {
        const found = mark.exec(this.#text);
        if (found !== null) {
          const end = found.index + found[0].length;
          const text = this.#text.slice(0, end);
          this.#text = this.#text.slice(end);
          return text;
        }
        const { value, done } = await Promise.race([this.#output.read(), late.promise]);
        assert.ok(!done, `QEMU has ended: ${this.#text}`);
        this.#text += this.#decoder.decode(value, { stream: true }).replaceAll("\r", "");
      }
    } finally {
      clearTimeout(timer);
    }
  }
}
