import assert from "node:assert/strict";
import { I8042, I8042State } from "../../../devices/input/i8042.ts";
import { type KeyCode, KEYS } from "../../../devices/input/keymap.ts";
import { Ps2Keyboard, Ps2KeyboardState } from "../../../devices/input/ps2_keyboard.ts";
import { Ps2Mouse, Ps2MouseState } from "../../../devices/input/ps2_mouse.ts";
import { deviceContract } from "../../support/contract.ts";
import { TestBench } from "../../support/test_bench.ts";

const OBF = 0x01;
const AUX = 0x20;
/** Longer than a byte takes on the cable, ns. */
const BYTE_TIME = 800_000;

function build(bench: TestBench) {
  const keyboard = new Ps2Keyboard(bench.state(Ps2KeyboardState));
  const mouse = new Ps2Mouse(bench.state(Ps2MouseState));
  const irq1 = bench.irq("irq1");
  const irq12 = bench.irq("irq12");
  const calls: string[] = [];
  const i8042 = new I8042(bench.state(I8042State), {
    keyboard,
    mouse,
    keyboardIrq: irq1,
    mouseIrq: irq12,
    clock: bench.clock,
    timer: bench.timer(),
    a20: (on) => calls.push(on ? "a20 on" : "a20 off"),
    requestReset: () => calls.push("reset"),
  });
  return { bench, keyboard, mouse, irq1, irq12, i8042, calls };
}

function start() {
  const setup = build(new TestBench());
  const { i8042, bench } = setup;
  i8042.reset();
  const status = () => i8042.command.read(0, 1);
  const read = () => i8042.data.read(0, 1);
  const command = (value: number) => i8042.command.write(0, 1, value);
  const data = (value: number) => i8042.data.write(0, 1, value);
  command(0x60);
  data(0x03); // both interrupts, no translation
  /** Reads all that comes, as a driver that polls. */
  const poll = () => {
    const bytes: number[] = [];
    for (let i = 0; i < 40; i++) {
      if (status() & OBF) bytes.push(read());
      bench.advance(BYTE_TIME);
    }
    return bytes;
  };
  return { ...setup, status, read, command, data, poll };
}

deviceContract("i8042", (bench) => {
  const { i8042, keyboard, mouse } = build(bench);
  const names = Object.keys(KEYS) as KeyCode[];
  return {
    device: i8042,
    ports: [
      { handler: i8042.data, length: 1, sizes: [1] },
      { handler: i8042.command, length: 1, sizes: [1] },
    ],
    events: [
      (random) => keyboard.key(random.pick(names), random.chance(50)),
      (random) => mouse.move(random.below(100) - 50, random.below(100) - 50, 0, random.below(8)),
    ],
    likely: [
      {
        port: 1,
        offset: 0,
        size: 1,
        values: [0x20, 0x60, 0xaa, 0xa7, 0xa8, 0xad, 0xae, 0xd0, 0xd1, 0xd2, 0xd3, 0xd4, 0xfe],
      },
      { port: 0, offset: 0, size: 1, values: [0x43, 0x47, 0xf4, 0xf3, 0xff, 0xdd, 0xdf] },
    ],
  };
});

Deno.test("i8042 self-test and port tests pass (commands AAh, ABh, A9h)", () => {
  const { command, read, status } = start();
  assert.equal(status() & ~0x08, 0x10);
  command(0xaa);
  assert.equal(status(), 0x10 | 0x08 | 0x04 | OBF, "and the system flag is set");
  assert.equal(read(), 0x55);
  command(0xab);
  assert.equal(read(), 0x00);
  command(0xa9);
  assert.equal(read(), 0x00);
  assert.equal(status() & OBF, 0);
});

Deno.test("i8042 reads and writes its command byte and RAM (commands 20h-3Fh, 60h-7Fh)", () => {
  const { command, data, read, status } = start();
  command(0x60);
  data(0x65);
  assert.equal(status() & 0x08, 0, "the last write was data");
  command(0x20);
  assert.equal(read(), 0x65);
  command(0x7f);
  data(0xa5);
  command(0x3f);
  assert.equal(read(), 0xa5);
});

Deno.test("i8042 closes and opens its ports in the command byte (commands A7h, A8h, ADh, AEh)", () => {
  const { command, data, read } = start();
  command(0x60);
  data(0x00);
  const after = (value: number) => {
    command(value);
    command(0x20);
    return read();
  };
  assert.deepEqual([0xa7, 0xad, 0xa8, 0xae].map(after), [0x20, 0x30, 0x10, 0x00]);
});

Deno.test("i8042 passes commands to the keyboard, opening its port (data without a command)", () => {
  const { command, data, poll, read } = start();
  command(0xad);
  data(0xf2);
  assert.deepEqual(poll(), [0xfa, 0xab, 0x83]);
  command(0x20);
  assert.equal(read() & 0x10, 0);
});

Deno.test("i8042 raises no interrupt before firmware has asked for it (power-on)", () => {
  const { i8042, command, keyboard, irq1, read } = start();
  i8042.reset();
  const before = irq1.raised;
  command(0xaa);
  assert.equal(read(), 0x55);
  keyboard.key("a", true);
  assert.equal(irq1.raised, before);
});

Deno.test("i8042 gives each byte an edge of IRQ 1 and a time of its own", () => {
  const { bench, keyboard, irq1, read, status } = start();
  keyboard.key("a", true);
  keyboard.key("a", false);
  assert.equal(irq1.level, true);
  assert.equal(read(), 0x1c);
  assert.equal(irq1.level, false);
  assert.equal(status() & OBF, 0);
  assert.equal(read(), 0x1c, "the handler behind a hook reads the same byte");
  bench.advance(BYTE_TIME);
  assert.equal(irq1.raised, 2);
  assert.equal(read(), 0xf0);
  bench.advance(BYTE_TIME);
  assert.equal(read(), 0x1c);
  assert.equal(irq1.raised, 3);
  bench.advance(BYTE_TIME);
  assert.equal(irq1.level, false);
});

Deno.test("i8042 brings the acknowledgement of a command at once, even after another byte", () => {
  const { keyboard, data, read, status } = start();
  keyboard.key("a", true);
  read();
  data(0xed);
  assert.equal(status() & OBF, OBF);
  assert.equal(read(), 0xfa);
  data(0x07);
  assert.equal(status() & OBF, OBF);
  assert.equal(read(), 0xfa);
});

Deno.test("i8042 translates set 2 to set 1 when told to (command byte, bit 6)", () => {
  const { keyboard, command, data, poll } = start();
  command(0x60);
  data(0x41);
  keyboard.key("a", true);
  keyboard.key("a", false);
  assert.deepEqual(poll(), [0x1e, 0x9e]);
  keyboard.key("delete", true);
  keyboard.key("delete", false);
  assert.deepEqual(poll(), [0xe0, 0x53, 0xe0, 0xd3]);
  keyboard.key("pause", true);
  assert.deepEqual(poll(), [0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5]);
  data(0xf2);
  assert.deepEqual(poll(), [0xfa, 0xab, 0x41], "answers are translated as well");
});

Deno.test("i8042 keeps keys while the port is closed and raises no interrupt (command ADh)", () => {
  const { keyboard, irq1, command, read, status } = start();
  command(0xad);
  keyboard.key("b", true);
  assert.equal(status() & OBF, 0);
  command(0x20);
  assert.equal(irq1.level, false, "for answers neither");
  read();
  command(0xae);
  assert.equal(irq1.level, true);
  assert.equal(read(), 0x32);
});

Deno.test("i8042 talks to the mouse with D4h and marks its bytes (command D4h, status bit 5)", () => {
  const { bench, mouse, irq1, irq12, command, data, read, status } = start();
  command(0xd4);
  data(0xf4);
  assert.equal(status() & (OBF | AUX), OBF | AUX);
  assert.equal(irq12.level, true);
  assert.equal(irq1.level, false);
  assert.equal(read(), 0xfa);
  assert.equal(status() & AUX, 0);
  bench.advance(BYTE_TIME);
  mouse.move(1, 0, 0, 0);
  assert.equal(read(), 0x08);
  bench.advance(BYTE_TIME);
  assert.equal(read(), 1);
  bench.advance(BYTE_TIME);
  assert.equal(read(), 0);
  assert.equal(irq12.raised, 4);
});

Deno.test("i8042 keeps the order when a packet follows the one whose last byte it takes", () => {
  const { mouse, command, data, poll } = start();
  command(0xd4);
  data(0xf4);
  poll();
  mouse.move(300, 0, 0, 0);
  assert.deepEqual(poll(), [0x08, 255, 0, 0x08, 45, 0]);
});

Deno.test("i8042 echoes into either buffer, as Linux tries its multiplexer (commands D2h, D3h)", () => {
  const { irq1, irq12, command, data, read, status } = start();
  command(0xd3);
  data(0x5a);
  assert.equal(status() & (OBF | AUX), OBF | AUX);
  assert.equal(irq12.raised, 1);
  assert.equal(read(), 0x5a);
  command(0xd2);
  data(0xa5);
  assert.equal(status() & (OBF | AUX), OBF);
  assert.equal(irq1.raised, 1);
  assert.equal(read(), 0xa5);
});

Deno.test("i8042 drives A20 and the reset line (commands D0h, D1h, DDh, DFh, F0h-FFh)", () => {
  const { command, data, read, calls } = start();
  assert.deepEqual(calls.splice(0), ["a20 on"]);
  command(0xd1);
  data(0xdd);
  command(0xd0);
  assert.equal(read() & 0x03, 0x01);
  command(0xdf);
  command(0xd0);
  assert.equal(read() & 0x03, 0x03);
  command(0xdd);
  command(0xff);
  assert.deepEqual(calls.splice(0), ["a20 off", "a20 on", "a20 off"], "FFh pulses nothing");
  command(0xfe);
  command(0xd1);
  data(0x02);
  assert.deepEqual(calls, ["reset", "a20 on", "reset"]);
});

Deno.test("i8042 input port and test inputs show an unlocked, idle keyboard (C0h, E0h)", () => {
  const { command, read } = start();
  command(0xc0);
  assert.equal(read() & 0x80, 0x80);
  command(0xe0);
  assert.equal(read(), 0x03);
  command(0xad);
  command(0xe0);
  assert.equal(read(), 0x02);
});

Deno.test("i8042 serves a driver that answers nothing without growing", () => {
  const { command, data, keyboard } = start();
  for (let i = 0; i < 1000; i++) {
    command(0x20);
    data(0xf2);
    keyboard.key("a", true);
  }
});
