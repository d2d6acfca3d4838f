import assert from "node:assert/strict";
import { Random } from "../float80/operands.ts";
import { Oracle } from "../float80/oracle.ts";
import { compareBatch, type Outcome, SSE_ORACLE } from "./compare.ts";
import { createDriver, REPLY, REQUEST } from "./driver.ts";
import { readGolden } from "./golden.ts";
import { OPERATIONS } from "./operations.ts";

const SEED = 1999;

Deno.test("SSE arithmetic gives what a real processor gave (SDM volume 1, 11.5)", () => {
  const driver = createDriver();
  const cases = readGolden();
  assert.equal(new Set(cases.map(({ operation }) => operation)).size, OPERATIONS.length);
  const { requests, replies } = driver;
  const request = new DataView(requests.buffer, requests.byteOffset);
  const reply = new DataView(replies.buffer, replies.byteOffset);
  for (const one of cases) {
    const operation = OPERATIONS.find(({ number }) => number === one.operation)!;
    request.setUint32(REQUEST.mxcsr, one.mxcsr, true);
    request.setBigUint64(REQUEST.a, one.a, true);
    request.setBigUint64(REQUEST.b, one.b, true);
    driver.run(operation, 1);
    const result = reply.getBigUint64(REPLY.result, true);
    const cut = (bits: bigint) => one.trapped ? 0n : BigInt.asUintN(operation.resultBits, bits);
    assert.deepEqual(
      [cut(result), reply.getUint32(REPLY.flags, true), reply.getUint32(REPLY.trapped, true)],
      [cut(one.result), one.flags, one.trapped],
      `${operation.name} ${one.a.toString(16)} ${one.b.toString(16)}, ${one.mxcsr.toString(16)}`,
    );
  }
});

Deno.test("SSE arithmetic agrees with this machine's on random operands", async () => {
  const oracle = await Oracle.start(SSE_ORACLE);
  if (typeof oracle === "string") {
    console.log(`skipped: no comparison with the processor: ${oracle}`);
    return;
  }
  using _oracle = oracle;
  const driver = createDriver();
  const random = new Random(SEED);
  for (const operation of OPERATIONS) {
    const outcome: Outcome = { cases: 0, failures: 0, examples: [] };
    await compareBatch(driver, oracle, operation, random, outcome);
    assert.equal(outcome.failures, 0, `seed ${SEED}:\n${outcome.examples.join("\n")}`);
  }
});
