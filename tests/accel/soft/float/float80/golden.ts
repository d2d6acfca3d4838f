/**
 * Answers of a real FPU (AMD Zen 4; with some results that the SDM leaves undefined), for hosts without a C compiler: golden.txt has a line for each
 * case: operation, control word, operands, status word, ST0, ST1, memory operand. Run this file to
 * write it anew: `deno run -A tests/accel/soft/float/float80/golden.ts`.
 */

import { BATCH, createDriver, REPLY, REPLY_BYTES, REQUEST, REQUEST_BYTES } from "./driver.ts";
import { fillRequests, Random } from "./operands.ts";
import { OPERATIONS } from "./operations.ts";
import { Oracle, X87_ORACLE } from "./oracle.ts";

export const GOLDEN = new URL("./golden.txt", import.meta.url);
/** Cases of one operation, and of those that report the same. */
const MOST = 20;
const MOST_ALIKE = 2;

const hex = (bytes: Uint8Array) => bytes.toReversed().toHex();

/** A request and its reply, as bytes. */
export interface GoldenCase {
  readonly number: number;
  readonly request: Uint8Array;
  readonly reply: Uint8Array;
}

/**
 * Results of transcendental instructions, rounded correctly from 800 bits (computed with mpmath). The
 * FPU itself is up to 1.1 units of the last place off. Lines as in golden.txt, up to the result.
 */
export const TRANSCENDENTAL = new URL("./transcendental.txt", import.meta.url);

/** Reads a file of cases. */
export function readGolden(file: URL): GoldenCase[] {
  return Deno.readTextFileSync(file).trimEnd().split("\n").map((line) => {
    const fields = line.split(" ");
    const request = new Uint8Array(REQUEST_BYTES);
    const reply = new Uint8Array(REPLY_BYTES);
    const put = (to: Uint8Array, at: number, text: string) =>
      to.set(Uint8Array.fromHex(text).reverse(), at);
    const number = Number(fields[0]);
    request[REQUEST.operation] = number;
    put(request, REQUEST.control, fields[1]);
    put(request, REQUEST.a, fields[2]);
    put(request, REQUEST.b, fields[3]);
    put(reply, REPLY.status, fields[4]);
    put(reply, REPLY.st0, fields[5]);
    put(reply, REPLY.st1, fields[6] ?? "");
    put(reply, REPLY.memory, fields[7] ?? "");
    return { number, request, reply };
  });
}

async function write(): Promise<void> {
  const oracle = await Oracle.start(X87_ORACLE);
  if (typeof oracle === "string") throw new Error(`Cannot make golden.txt: ${oracle}`);
  using _oracle = oracle;
  const driver = createDriver();
  const random = new Random(80);
  const lines: string[] = [];
  for (const operation of OPERATIONS) {
    fillRequests(driver.requests, operation, BATCH, random);
    const replies = await oracle.run(driver.requests, BATCH * REPLY_BYTES);
    const seen = new Map<string, number>();
    let count = 0;
    for (let i = 0; i < BATCH && count < MOST; i++) {
      const q = driver.requests.subarray(i * REQUEST_BYTES, (i + 1) * REQUEST_BYTES);
      const r = replies.subarray(i * REPLY_BYTES, (i + 1) * REPLY_BYTES);
      const kind = `${hex(r.slice(0, 2))} ${q[3] & 0xc}`;
      const alike = seen.get(kind) ?? 0;
      if (alike >= MOST_ALIKE) continue;
      seen.set(kind, alike + 1);
      count++;
      lines.push([
        operation.number,
        hex(q.slice(REQUEST.control, REQUEST.control + 2)),
        hex(q.slice(REQUEST.a, REQUEST.a + 10)),
        hex(q.slice(REQUEST.b, REQUEST.b + 10)),
        hex(r.slice(REPLY.status, REPLY.status + 2)),
        hex(r.slice(REPLY.st0, REPLY.st0 + 10)),
        hex(r.slice(REPLY.st1, REPLY.st1 + 10)),
        hex(r.slice(REPLY.memory, REPLY.memory + 10)),
      ].join(" "));
    }
  }
  Deno.writeTextFileSync(GOLDEN, lines.join("\n") + "\n");
}

if (import.meta.main) await write();
