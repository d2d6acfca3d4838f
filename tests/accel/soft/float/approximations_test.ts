/** RCPPS and RSQRTPS, which are approximate (Intel SDM volume 2). */

import assert from "node:assert/strict";
import { softVm } from "../support/soft_vm.ts";
import { Random } from "../../../support/random.ts";
import { UserMachine } from "../support/user_machine.ts";

const RCPPS = [0x0f, 0x53, 0xc1]; // xmm0, xmm1
const RSQRTPS = [0x0f, 0x52, 0xc1];
/** Where `UserMachine` stores the registers. */
const VECTORS_AFTER = 0x2f00;
const MOST_ERROR = 1.5 * 2 ** -12;
const ROUNDS = 500;

/** Four operands to four results. */
function approximator(code: number[]): (operands: readonly number[]) => number[] {
  const machine = new UserMachine((memory) => softVm({ memory, cpus: 1 }));
  const vectors = new Uint8Array(256);
  const registers = Array.from({ length: 16 }, () => 0n);
  return (operands) => {
    new Float32Array(vectors.buffer, 16, 4).set(operands);
    machine.run({ bytes: code, registers, flags: 2, vectors });
    return [...new Float32Array(machine.data.slice(VECTORS_AFTER, VECTORS_AFTER + 16).buffer)];
  };
}

for (
  const [name, code, exact] of [
    ["RCPPS", RCPPS, (x: number) => 1 / x],
    ["RSQRTPS", RSQRTPS, (x: number) => 1 / Math.sqrt(x)],
  ] as const
) {
  Deno.test(`${name} is wrong by no more than 1.5 * 2^-12 of the value`, () => {
    const run = approximator(code);
    const random = new Random(1);
    for (let i = 0; i < ROUNDS; i++) {
      const operands = [
        ...new Float32Array(4).map(() =>
          (1 + random.u32() / 2 ** 32) * 2 ** (random.below(240) - 120)
        ),
      ];
      run(operands).forEach((result, n) => {
        const right = exact(operands[n]);
        assert.ok(Math.abs(result / right - 1) <= MOST_ERROR, `${operands[n]} gave ${result}`);
      });
    }
  });
}

Deno.test("RCPPS of zeros and denormals is infinite, of infinity 0, of a NaN a NaN", () => {
  assert.deepEqual(approximator(RCPPS)([0, -0, -1e-40, -Infinity]), [
    Infinity,
    -Infinity,
    -Infinity,
    -0,
  ]);
  // The reciprocal of 2^127 is denormal: 0.
  assert.deepEqual(approximator(RCPPS)([NaN, 2 ** 127, 1, -2]), [NaN, 0, 1, -0.5]);
});

Deno.test("RSQRTPS of a negative number is a NaN, of a negative zero or denormal -infinity", () => {
  assert.deepEqual(approximator(RSQRTPS)([-1, -0, -1e-40, Infinity]), [
    NaN,
    -Infinity,
    -Infinity,
    0,
  ]);
  assert.deepEqual(approximator(RSQRTPS)([0, 1e-40, 4, NaN]), [Infinity, Infinity, 0.5, NaN]);
});
