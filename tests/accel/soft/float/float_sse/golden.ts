/**
 * Answers of a real processor (AMD Zen 4), for hosts without a C compiler: golden.txt has a line for
 * each case: operation, MXCSR, operands, result, flags, whether #XM came. Run this file to write it
 * anew: `deno run -A tests/accel/soft/float/float_sse/golden.ts`.
 */

import { Random } from "../float80/operands.ts";
import { Oracle } from "../float80/oracle.ts";
import { fillRequests, SSE_ORACLE } from "./compare.ts";
import { BATCH, createDriver, REPLY, REPLY_BYTES, REQUEST, REQUEST_BYTES } from "./driver.ts";
import { OPERATIONS } from "./operations.ts";

const GOLDEN = new URL("./golden.txt", import.meta.url);
/** Cases of one operation, and of those that report the same. */
const MOST = 24;
const MOST_ALIKE = 2;

/** See above; numbers as they lie in requests and replies. */
export interface GoldenCase {
  readonly operation: number;
  readonly mxcsr: number;
  readonly a: bigint;
  readonly b: bigint;
  readonly result: bigint;
  readonly flags: number;
  readonly trapped: number;
}

/** Reads golden.txt. */
export function readGolden(): GoldenCase[] {
  return Deno.readTextFileSync(GOLDEN).trimEnd().split("\n").map((line) => {
    const [operation, mxcsr, a, b, result, flags, trapped] = line.split(" ");
    const hex = (text: string) => BigInt(`0x${text}`);
    return {
      operation: Number(operation),
      mxcsr: Number(hex(mxcsr)),
      a: hex(a),
      b: hex(b),
      result: hex(result),
      flags: Number(hex(flags)),
      trapped: Number(trapped),
    };
  });
}

async function write(): Promise<void> {
  const oracle = await Oracle.start(SSE_ORACLE);
  if (typeof oracle === "string") throw new Error(`Cannot make golden.txt: ${oracle}`);
  using _oracle = oracle;
  const driver = createDriver();
  const random = new Random(128);
  const lines: string[] = [];
  for (const operation of OPERATIONS) {
    fillRequests(driver.requests, operation, BATCH, random);
    const replies = await oracle.run(driver.requests, BATCH * REPLY_BYTES);
    const [request, reply] = [driver.requests, replies].map((bytes) =>
      new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    );
    const seen = new Map<string, number>();
    let count = 0;
    for (let i = 0; i < BATCH && count < MOST; i++) {
      const [q, r] = [i * REQUEST_BYTES, i * REPLY_BYTES];
      const mxcsr = request.getUint32(q + REQUEST.mxcsr, true);
      const flags = reply.getUint32(r + REPLY.flags, true);
      const kind = `${flags} ${mxcsr & 0xe040}`;
      const alike = seen.get(kind) ?? 0;
      if (alike >= MOST_ALIKE) continue;
      seen.set(kind, alike + 1);
      count++;
      lines.push([
        operation.number,
        mxcsr.toString(16),
        request.getBigUint64(q + REQUEST.a, true).toString(16),
        request.getBigUint64(q + REQUEST.b, true).toString(16),
        reply.getBigUint64(r + REPLY.result, true).toString(16),
        flags.toString(16),
        reply.getUint32(r + REPLY.trapped, true),
      ].join(" "));
    }
  }
  Deno.writeTextFileSync(GOLDEN, lines.join("\n") + "\n");
}

if (import.meta.main) await write();
