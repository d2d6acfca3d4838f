import assert from "node:assert/strict";
import { KEYS } from "../../../devices/input/keymap.ts";
import type { KeyCode } from "../../../devices/input/keymap.ts";
import { Ps2Keyboard, Ps2KeyboardState } from "../../../devices/input/ps2_keyboard.ts";
import { deviceContract } from "../../support/contract.ts";
import { TestBench } from "../../support/test_bench.ts";
import { asPort, drain } from "./ps2_bench.ts";

const NAMES = Object.keys(KEYS) as KeyCode[];

function start() {
  const keyboard = new Ps2Keyboard(new TestBench().state(Ps2KeyboardState));
  keyboard.reset();
  const ask = (...bytes: number[]) => {
    for (const byte of bytes) keyboard.send(byte);
    return drain(keyboard);
  };
  const press = (...keys: KeyCode[]) => {
    for (const key of keys) keyboard.key(key, true);
    for (const key of keys.toReversed()) keyboard.key(key, false);
    return drain(keyboard);
  };
  return { keyboard, ask, press };
}

deviceContract("ps2 keyboard", (bench) => {
  const device = new Ps2Keyboard(bench.state(Ps2KeyboardState));
  return {
    device,
    ports: [{ handler: asPort(device), length: 1, sizes: [1] }],
    events: [(random) => device.key(random.pick(NAMES), random.chance(50))],
    likely: [{ port: 0, offset: 0, size: 1, values: [0xf0, 1, 2, 3, 0xf4, 0xfa, 0xfc, 0xff] }],
  };
});

Deno.test("ps2 keyboard sends set 2 after power-on, E0h and F0h where they belong (set 2)", () => {
  const { press } = start();
  assert.deepEqual(press("a"), [0x1c, 0xf0, 0x1c]);
  assert.deepEqual(press("kp_enter"), [0xe0, 0x5a, 0xe0, 0xf0, 0x5a]);
});

Deno.test("ps2 keyboard Print Screen and Pause have sequences of their own (set 2)", () => {
  const { press } = start();
  assert.deepEqual(
    press("print"),
    [0xe0, 0x12, 0xe0, 0x7c, 0xe0, 0xf0, 0x7c, 0xe0, 0xf0, 0x12],
  );
  assert.deepEqual(press("shift", "print"), [0x12, 0xe0, 0x7c, 0xe0, 0xf0, 0x7c, 0xf0, 0x12]);
  assert.deepEqual(press("alt", "print"), [0x11, 0x84, 0xf0, 0x84, 0xf0, 0x11]);
  assert.deepEqual(press("pause"), [0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77]);
  assert.deepEqual(press("ctrl", "pause"), [0x14, 0xe0, 0x7e, 0xe0, 0xf0, 0x7e, 0xf0, 0x14]);
});

Deno.test("ps2 keyboard selects and tells its scan-code set (command F0h)", () => {
  const { ask, press } = start();
  assert.deepEqual(ask(0xf0, 0), [0xfa, 0xfa, 2]);
  assert.deepEqual(ask(0xf0, 1), [0xfa, 0xfa]);
  assert.deepEqual(press("f7"), [0x41, 0xc1]);
  assert.deepEqual(press("up"), [0xe0, 0x48, 0xe0, 0xc8]);
  assert.deepEqual(ask(0xf0, 3, 0xf0, 0), [0xfa, 0xfa, 0xfa, 0xfa, 3]);
  assert.deepEqual(ask(0xf0, 4), [0xfa, 0xfe], "there are three");
});

Deno.test("ps2 keyboard in set 3 sends a break for the keys told to (commands F7h-FDh)", () => {
  const { ask, press } = start();
  ask(0xf0, 3);
  assert.deepEqual(press("up"), [0x63], "by default only modifiers do");
  assert.deepEqual(press("shift"), [0x12, 0xf0, 0x12]);
  assert.deepEqual(ask(0xf8), [0xfa]);
  assert.deepEqual(press("up"), [0x63, 0xf0, 0x63]);
  assert.deepEqual(ask(0xf7, 0xfc, 0x1c), [0xfa, 0xfa, 0xfa]);
  assert.deepEqual(press("a"), [0x1c, 0xf0, 0x1c]);
  assert.deepEqual(press("b"), [0x32]);
  assert.deepEqual(ask(0xf6), [0xfa], "a command ends the list");
});

Deno.test("ps2 keyboard answers EDh, EEh, F2h, F3h, FEh", () => {
  const { keyboard, ask } = start();
  assert.deepEqual(ask(0xed, 0x02), [0xfa, 0xfa]);
  assert.equal(keyboard.leds, 2);
  assert.deepEqual(ask(0xee), [0xee]);
  assert.deepEqual(ask(0xfe), [0xee], "the last byte again");
  assert.deepEqual(ask(0xf2), [0xfa, 0xab, 0x83]);
  assert.deepEqual(ask(0xf3, 0x00), [0xfa, 0xfa]);
  assert.deepEqual(ask(0x01), [0xfe], "no such command");
  assert.deepEqual(ask(0xed, 0xee), [0xfa, 0xee], "a command in place of the argument");
});

Deno.test("ps2 keyboard is silent from F5h to F4h, and FFh tests it (commands F4h, F5h, FFh)", () => {
  const { keyboard, ask, press } = start();
  keyboard.key("a", true);
  assert.deepEqual(ask(0xf5), [0xfa], "what waited is forgotten");
  assert.equal(keyboard.key("a", false), false);
  assert.deepEqual(press("b"), []);
  assert.deepEqual(ask(0xf4), [0xfa]);
  assert.deepEqual(press("b"), [0x32, 0xf0, 0x32]);
  ask(0xf5);
  assert.deepEqual(ask(0xff), [0xfa, 0xaa]);
  assert.deepEqual(press("b"), [0x32, 0xf0, 0x32]);
});

Deno.test("ps2 keyboard answers before it sends keys that wait", () => {
  const { keyboard, ask } = start();
  keyboard.key("a", true);
  assert.deepEqual(ask(0xed), [0xfa, 0x1c]);
});

Deno.test("ps2 keyboard reports an overrun once and drops whole keys (keyboard buffer)", () => {
  const { keyboard } = start();
  for (let i = 0; i < 15; i++) assert.equal(keyboard.key("up", true), true);
  assert.equal(keyboard.idle, false);
  assert.equal(keyboard.key("up", true), false);
  assert.equal(keyboard.key("up", true), false);
  const bytes = drain(keyboard);
  assert.equal(bytes.length, 31);
  assert.deepEqual(bytes.slice(-3), [0xe0, 0x75, 0x00]);
  assert.equal(keyboard.idle, true);
});
