import assert from "node:assert/strict";
import { agree, compareBatch, nearlyAgree, type Outcome } from "./compare.ts";
import { createDriver, REPLY, REPLY_BYTES, REQUEST } from "./driver.ts";
import { GOLDEN, readGolden, TRANSCENDENTAL } from "./golden.ts";
import { Random } from "./operands.ts";
import { OPERATIONS } from "./operations.ts";
import { Oracle, X87_ORACLE } from "./oracle.ts";

const SEED = 8087;
const BATCHES = 2;
const byNumber = new Map(OPERATIONS.map((operation) => [operation.number, operation]));

const view = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

Deno.test("80-bit arithmetic gives what a real FPU gave (SDM volume 1, chapter 8)", () => {
  const driver = createDriver();
  const cases = readGolden(GOLDEN);
  assert.equal(new Set(cases.map(({ number }) => number)).size, OPERATIONS.length);
  for (const { number, request, reply } of cases) {
    const operation = byNumber.get(number)!;
    driver.requests.set(request);
    driver.run(operation, 1);
    const control = view(request).getUint16(REQUEST.control, true);
    const actual = driver.replies.slice(0, REPLY_BYTES);
    assert.ok(
      agree(operation, control, view(reply), view(actual)) ||
        operation.transcendental && nearlyAgree(operation, view(reply), view(actual)),
      `${operation.name}: ${request.toHex()} gave ${actual.toHex()} instead of ${reply.toHex()}`,
    );
  }
});

Deno.test("transcendental results are the correctly rounded ones, with C1 (SDM volume 1, 8.3.10)", () => {
  const driver = createDriver();
  const cases = readGolden(TRANSCENDENTAL);
  const atResult = (name: string) => name === "FPTAN" ? REPLY.st1 : REPLY.st0;
  for (const { number, request, reply } of cases) {
    const operation = byNumber.get(number)!;
    driver.requests.set(request);
    driver.run(operation, 1);
    const at = atResult(operation.name);
    assert.deepEqual(
      [driver.replies.slice(0, 2).toHex(), driver.replies.slice(at, at + 10).toHex()],
      [reply.slice(0, 2).toHex(), reply.slice(REPLY.st0, REPLY.st0 + 10).toHex()],
      `${operation.name}: ${request.toHex()}`,
    );
  }
  assert.equal(new Set(cases.map(({ number }) => number)).size, 7);
});

Deno.test("80-bit arithmetic agrees with this machine's FPU on random operands", async () => {
  const oracle = await Oracle.start(X87_ORACLE);
  if (typeof oracle === "string") {
    console.log(`skipped: no comparison with the FPU: ${oracle}`);
    return;
  }
  using _oracle = oracle;
  const driver = createDriver();
  const random = new Random(SEED);
  for (const operation of OPERATIONS) {
    const outcome: Outcome = { cases: 0, failures: 0, near: 0, examples: [] };
    for (let i = 0; i < BATCHES; i++) {
      await compareBatch(driver, oracle, operation, random, outcome);
    }
    assert.equal(outcome.failures, 0, `seed ${SEED}:\n${outcome.examples.join("\n")}`);
  }
});
