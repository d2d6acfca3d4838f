/** hv as a user runs it: a process with arguments, whose output and exit code are looked at. */

import assert from "node:assert/strict";
import type { Reachable } from "./reachable.ts";

const MAIN = new URL("../../main.ts", import.meta.url).pathname;
/** No command here takes longer, unless it hangs, ms: guests of Linux among them, on the busiest host. */
const LIMIT_MS = 600_000;
/** How many run at once that have nothing in common. */
const AT_ONCE = 3;

/** How hv ended. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** How to start it. */
export interface StartOptions {
  /** Words before it, such as `setpriv` and its options. */
  readonly prefix?: readonly string[];
  readonly cwd?: string;
  readonly env?: Record<string, string>;
  /** Bytes for its standard input; default: none. */
  readonly stdin?: string;
  /** Runs this copy of Deno and hv, with its caches; default: the checkout's own. */
  readonly copy?: Reachable;
}

/** The words of a command that runs hv, or a copy of it, with `args`. */
export function hvCommand(args: readonly string[], copy?: Reachable): string[] {
  const [deno, main] = copy === undefined
    ? [Deno.execPath(), MAIN]
    : [copy.deno, `${copy.root}/main.ts`];
  return [deno, "run", "--no-check", "--allow-all", main, ...args];
}

/** Starts hv; the caller waits for it. */
export function startHv(args: readonly string[], options: StartOptions = {}): Deno.ChildProcess {
  const { prefix = [], cwd, env, stdin, copy } = options;
  const [program, ...words] = [...prefix, ...hvCommand(args, copy)];
  return new Deno.Command(program, {
    args: words,
    cwd,
    env: { ...copy?.env, ...env },
    stdin: stdin === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** What a process that was started with `startHv` gives; it is killed, and the test fails, if it hangs. */
export async function outcome(process: Deno.ChildProcess): Promise<Outcome> {
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    process.kill("SIGKILL");
  }, LIMIT_MS);
  const { code, stdout, stderr } = await process.output();
  clearTimeout(timer);
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  const result = { code, stdout: text(stdout), stderr: text(stderr) };
  assert.ok(!isLate, `hv hangs: ${JSON.stringify(result)}`);
  return result;
}

/** Reads `stream` until `text` has come; all that has, which may be more. What follows stays unread. */
export async function until(stream: ReadableStream<Uint8Array>, text: string): Promise<string> {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let got = "";
  while (!got.includes(text)) {
    const { value, done } = await reader.read();
    assert.ok(!done, `ended before "${text}": ${got}`);
    got += decoder.decode(value, { stream: true });
  }
  reader.releaseLock();
  return got;
}

/** Runs hv to its end. */
export async function hv(args: readonly string[], options: StartOptions = {}): Promise<Outcome> {
  const process = startHv(args, options);
  if (options.stdin !== undefined) {
    const writer = process.stdin.getWriter();
    await writer.write(new TextEncoder().encode(options.stdin));
    await writer.close();
  }
  return await outcome(process);
}

/** Arguments that hv refuses, the exit code, and what its one line says. */
export type Refusal = readonly [args: string, code: number, line: RegExp, options?: StartOptions];

/**
 * Runs hv with each of `refusals`: one clear line and the code, nothing else. Several at once where they
 * are given no directory: in one they open the same images, and are in each other's way.
 */
export async function allRefused(refusals: readonly Refusal[], common?: StartOptions) {
  const queue = [...refusals];
  const failures: string[] = [];
  const work = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const [args, code, line, options] = next;
      const words = args.split(" ").filter((word) => word !== "").map((word) =>
        word.replaceAll("␣", " ")
      );
      const got = await hv(words, { ...common, ...options });
      const lines = got.stderr.split("\n");
      const isClear = lines.length === 2 && lines[1] === "" && lines[0].startsWith("hv: ") &&
        line.test(lines[0]) && got.stdout === "" && got.code === code &&
        !/\(os error|internal error|Error:/.test(lines[0]);
      if (!isClear) {
        failures.push(`hv ${args}\n  wanted ${code} and ${line}\n  got ${JSON.stringify(got)}`);
      }
    }
  };
  await Promise.all(Array.from({ length: common?.cwd === undefined ? AT_ONCE : 1 }, work));
  assert.equal(failures.join("\n"), "");
}

/** A directory that goes with this object. */
export class Scratch implements Disposable {
  readonly path: string;

  /** @param dir Where it is; default: where temporary files are. */
  constructor(dir?: string) {
    this.path = Deno.makeTempDirSync({ dir, prefix: "hv-test-" });
  }

  /** A file of `size` bytes, sparse, beginning with `head`; gives its path. */
  file(name: string, size: number, head: Uint8Array | string = ""): string {
    const path = `${this.path}/${name}`;
    Deno.writeFileSync(path, typeof head === "string" ? new TextEncoder().encode(head) : head);
    Deno.truncateSync(path, size);
    return path;
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}
