import assert from "node:assert/strict";
import { Ps2Mouse, Ps2MouseState } from "../../../devices/input/ps2_mouse.ts";
import { deviceContract } from "../../support/contract.ts";
import { TestBench } from "../../support/test_bench.ts";
import { asPort, drain } from "./ps2_bench.ts";

function start() {
  const mouse = new Ps2Mouse(new TestBench().state(Ps2MouseState));
  mouse.reset();
  const ask = (...bytes: number[]) => {
    for (const byte of bytes) mouse.send(byte);
    return drain(mouse);
  };
  return { mouse, ask, drain: () => drain(mouse) };
}

deviceContract("ps2 mouse", (bench) => {
  const device = new Ps2Mouse(bench.state(Ps2MouseState));
  return {
    device,
    ports: [{ handler: asPort(device), length: 1, sizes: [1] }],
    events: [
      (random) =>
        device.move(random.below(1000) - 500, random.below(1000) - 500, random.below(30) - 15, 0),
      (random) => device.move(0, 0, 0, random.below(32)),
    ],
    likely: [{ port: 0, offset: 0, size: 1, values: [0xf4, 0xe7, 0xf3, 200, 100, 80, 0xeb, 0xec] }],
  };
});

Deno.test("ps2 mouse FFh: acknowledge, self-test passed, identifier 0 (command FFh)", () => {
  const { ask } = start();
  assert.deepEqual(ask(0xff), [0xfa, 0xaa, 0x00]);
});

Deno.test("ps2 mouse says nothing until F4h, then sends packets (stream mode)", () => {
  const { mouse, ask, drain } = start();
  assert.equal(mouse.move(5, 0, 0, 0), false);
  assert.deepEqual(ask(0xf4), [0xfa]);
  assert.deepEqual(drain(), [], "what went before is forgotten");
  assert.equal(mouse.move(5, 3, 0, 0), true);
  assert.deepEqual(drain(), [0x28, 5, 0xfd], "down on the screen is negative");
  mouse.move(-1, 0, 0, 1);
  assert.deepEqual(drain(), [0x19, 0xff, 0]);
});

Deno.test("ps2 mouse gathers movement until the last packet was fetched; no click is lost", () => {
  const { mouse, ask, drain } = start();
  ask(0xf4);
  for (let i = 0; i < 10; i++) mouse.move(1, 0, 0, 0);
  mouse.move(0, 0, 0, 1);
  mouse.move(0, 0, 0, 0);
  assert.deepEqual(drain(), [0x08, 1, 0, 0x09, 9, 0, 0x08, 0, 0]);
});

Deno.test("ps2 mouse splits a long way into packets of at most 255 counts", () => {
  const { mouse, ask, drain } = start();
  ask(0xf4);
  mouse.move(300, 0, 0, 0);
  assert.deepEqual(drain(), [0x08, 255, 0, 0x08, 45, 0]);
});

Deno.test("ps2 mouse becomes an IntelliMouse by the rates 200, 100, 80 (IntelliMouse)", () => {
  const { mouse, ask, drain } = start();
  assert.deepEqual(ask(0xf2), [0xfa, 0]);
  assert.deepEqual(ask(0xf3, 200, 0xf3, 100, 0xf3, 80).length, 6);
  assert.deepEqual(ask(0xf2), [0xfa, 3]);
  ask(0xf4);
  mouse.move(0, 0, 1, 0);
  assert.deepEqual(drain(), [0x08, 0, 0, 1]);
  mouse.move(0, 0, -1, 0);
  assert.deepEqual(drain(), [0x08, 0, 0, 0xff]);
});

Deno.test("ps2 mouse has five buttons after 200, 200, 80 as well (IntelliMouse Explorer)", () => {
  const { mouse, ask, drain } = start();
  ask(0xf3, 200, 0xf3, 100, 0xf3, 80, 0xf3, 200, 0xf3, 200, 0xf3, 80);
  assert.deepEqual(ask(0xf2), [0xfa, 4]);
  ask(0xf4);
  mouse.move(0, 0, -1, 0x18);
  assert.deepEqual(drain(), [0x08, 0, 0, 0x3f]);
  assert.deepEqual(ask(0xff), [0xfa, 0xaa, 0], "a reset makes it a standard mouse again");
  assert.deepEqual(ask(0xf2), [0xfa, 0]);
});

Deno.test("ps2 mouse in remote mode sends when asked (commands F0h, EBh)", () => {
  const { mouse, ask, drain } = start();
  ask(0xf0);
  mouse.move(7, 0, 0, 2);
  assert.deepEqual(drain(), []);
  assert.deepEqual(ask(0xeb), [0xfa, 0x0a, 7, 0]);
  assert.deepEqual(ask(0xeb), [0xfa, 0x0a, 0, 0]);
});

Deno.test("ps2 mouse in wrap mode echoes all but ECh and FFh (commands EEh, ECh)", () => {
  const { ask } = start();
  assert.deepEqual(ask(0xee), [0xfa]);
  assert.deepEqual(ask(0xf2, 0x12), [0xf2, 0x12]);
  assert.deepEqual(ask(0xec), [0xfa]);
  assert.deepEqual(ask(0xf2), [0xfa, 0]);
});

Deno.test("ps2 mouse tells its status, resolution and rate (command E9h)", () => {
  const { mouse, ask } = start();
  assert.deepEqual(ask(0xe9), [0xfa, 0x00, 2, 100]);
  ask(0xe8, 3, 0xf3, 40, 0xe7, 0xf4);
  mouse.move(0, 0, 0, 5);
  assert.deepEqual(ask(0xe9), [0xfa, 0x36, 3, 40]);
  assert.deepEqual(ask(0xe8, 4), [0xfa, 0xfe], "there are four resolutions");
  assert.deepEqual(ask(0xf6, 0xe9), [0xfa, 0xfa, 0x06, 2, 100]);
});

Deno.test("ps2 mouse with 2:1 scaling keeps small movements and doubles large (command E7h)", () => {
  const { mouse, ask, drain } = start();
  ask(0xe7, 0xf4);
  mouse.move(3, -6, 0, 0);
  assert.deepEqual(drain(), [0x08, 3, 12]);
  mouse.move(2, 0, 0, 0);
  assert.deepEqual(drain(), [0x08, 1, 0]);
});
