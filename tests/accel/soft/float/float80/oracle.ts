/** The real processor, through a small C program and a C compiler. */

/** Runs x87 instructions. */
export const X87_ORACLE = new URL("./oracle.c", import.meta.url);

/** See above. */
export class Oracle implements Disposable {
  readonly #directory: string;
  readonly #process: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #reader: ReadableStreamBYOBReader;

  private constructor(directory: string) {
    this.#directory = directory;
    this.#process = new Deno.Command(`${directory}/oracle`, { stdin: "piped", stdout: "piped" })
      .spawn();
    this.#writer = this.#process.stdin.getWriter();
    this.#reader = this.#process.stdout.getReader({ mode: "byob" });
  }

  /** Compiles and starts a program, or says why not. */
  static async start(source: URL): Promise<Oracle | string> {
    if (Deno.build.arch !== "x86_64") return "the host is no x86-64";
    const directory = Deno.makeTempDirSync({ prefix: "hv-float80-" });
    try {
      const { success, stderr } = await new Deno.Command("gcc", {
        args: ["-O1", "-mno-red-zone", "-o", `${directory}/oracle`, source.pathname],
      }).output();
      if (success) return new Oracle(directory);
      Deno.removeSync(directory, { recursive: true });
      return `gcc failed: ${new TextDecoder().decode(stderr)}`;
    } catch (error) {
      Deno.removeSync(directory, { recursive: true });
      if (error instanceof Deno.errors.NotFound) return "there is no gcc";
      throw error;
    }
  }

  /** Runs a full batch of requests. */
  async run(requests: Uint8Array, replyBytes: number): Promise<Uint8Array> {
    const written = this.#writer.write(new Uint8Array(requests));
    const { value } = await this.#reader.read(new Uint8Array(replyBytes), { min: replyBytes });
    await written;
    if (value?.length !== replyBytes) throw new Error("Cannot read from the oracle: it has ended");
    return value;
  }

  [Symbol.dispose](): void {
    this.#writer.abort().catch(() => {});
    this.#reader.cancel().catch(() => {});
    try {
      this.#process.kill();
    } catch {
      // It has ended by itself.
    }
    Deno.removeSync(this.#directory, { recursive: true });
  }
}
