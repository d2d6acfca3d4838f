/** Real-mode INT n with n ≥ 80h, at which KVM's instruction emulator hangs (high_interrupts.ts). */

import assert from "node:assert/strict";
import { Exit } from "../../../hv/accel/mod.ts";
import { accessValue, kvmTest, START, TestMachine } from "./test_machine.ts";

const HANDLER = 0x2000;
const DONE = 0xd0;
/** Where the handler leaves IP, CS and FLAGS of the frame that it found. */
const FRAME = 0x3000;

/** Counts in BX, keeps the frame, returns. */
const HANDLER_CODE = [
  0x43, // inc bx
  ...[0x55, 0x89, 0xe5], // push bp; mov bp, sp
  ...[0x8b, 0x46, 0x02, 0xa3, 0x00, 0x30], // mov ax, [bp+2]; mov [3000h], ax: IP
  ...[0x8b, 0x46, 0x04, 0xa3, 0x02, 0x30], // CS
  ...[0x8b, 0x46, 0x06, 0xa3, 0x04, 0x30], // FLAGS
  ...[0x5d, 0xcf], // pop bp; iret
];

/** Runs until the program writes to port `DONE`; gives AX as written there. */
function runToEnd(machine: TestMachine): number {
  for (let i = 0; i < 10_000; i++) {
    const exit = machine.vcpu.run();
    if (exit === Exit.interrupted) continue;
    assert.equal(exit, Exit.port, exit === Exit.failed ? machine.vcpu.failure() : `exit ${exit}`);
    assert.equal(machine.vcpu.access.address, DONE);
    return accessValue(machine.vcpu);
  }
  throw new Error("the program did not come to its end");
}

function withHandler(vectors: readonly number[]): TestMachine {
  const machine = new TestMachine();
  machine.bytes.set(HANDLER_CODE, HANDLER);
  for (const vector of vectors) machine.bytes.set([0x00, 0x20, 0x00, 0x00], vector * 4);
  return machine;
}

kvmTest("real-mode INT 80h and above reach their handlers and return (SDM vol. 2, INT n)", () => {
  const vectors = [0x7f, 0x80, 0x81, 0xc3, 0xff];
  using machine = withHandler(vectors);
  const program = [0x31, 0xdb, 0xfb, 0xf9]; // xor bx, bx; sti; stc
  for (const vector of vectors) program.push(0xcd, vector);
  const next = START + program.length;
  program.push(0x89, 0xd8, 0xe7, DONE); // mov ax, bx; out DONE, ax
  machine.start(program);
  assert.equal(runToEnd(machine), vectors.length);
  const frame = new DataView(machine.bytes.buffer, FRAME);
  assert.equal(frame.getUint16(0, true), next, "IP of the frame is that of the next instruction");
  assert.equal(frame.getUint16(2, true), 0);
  assert.equal(frame.getUint16(4, true) & 0x201, 0x201, "FLAGS of the frame have IF and CF");
});

kvmTest("real-mode INT 80h in a loop, at more places than there are breakpoints", () => {
  using machine = withHandler([0x80]);
  const PLACES = 6;
  const ROUNDS = 50;
  const calls = Array.from({ length: PLACES }, () => [0xcd, 0x80]).flat();
  machine.start([
    ...[0x31, 0xdb, 0xb9, ROUNDS, 0], // xor bx, bx; mov cx, ROUNDS
    ...calls,
    ...[0xe2, 256 - calls.length - 2], // loop
    ...[0x89, 0xd8, 0xe7, DONE],
  ]);
  assert.equal(runToEnd(machine), PLACES * ROUNDS);
});

kvmTest("other code at the place of an earlier INT 80h runs as it is", () => {
  using machine = withHandler([0x80]);
  machine.start([0x31, 0xdb, 0xcd, 0x80, 0x89, 0xd8, 0xe7, DONE]);
  assert.equal(runToEnd(machine), 1);
  machine.start([0x31, 0xdb, 0x43, 0x43, 0x89, 0xd8, 0xe7, DONE]); // inc bx; inc bx
  assert.equal(runToEnd(machine), 2);
});
