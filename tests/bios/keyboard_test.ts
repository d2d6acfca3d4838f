/** IRQ 1 and INT 16h: IBM PS/2 and PC BIOS Interface Technical Reference, "Keyboard". */

import assert from "node:assert/strict";
import { romCode } from "../../bios/rom/rom.ts";
import { BiosBench } from "./bios_bench.ts";

const bench = () => new BiosBench().post();

/** Scan codes as IRQ 1 brings them; the labels where the second half went. */
function scan(b: BiosBench, ...codes: number[]): (string | undefined)[] {
  return codes.map((code) => b.call("int09Key", { eax: code }).next);
}

/** Takes the next key as AH=10h or AH=00h gives it; -1 when the stub is to wait. */
function key(b: BiosBench, eax = 0x1000): number {
  const { ax, next } = b.call("int16", { eax });
  return next === "wait16" ? -1 : ax;
}

Deno.test("IRQ 1 reads the controller's byte for the hook, and nothing when there is none", () => {
  const b = bench();
  assert.equal(b.call("int09").next, "keyNothing");
  b.keyboard.key("a", true);
  b.bench.advance(1e6);
  const { al, next } = b.call("int09");
  assert.deepEqual([al, next], [0x1e, undefined]);
});

Deno.test("keys: letters with Shift, Caps Lock, Ctrl, Alt", () => {
  const b = bench();
  scan(b, 0x1e, 0x9e, 0x2a, 0x1e, 0x9e, 0xaa);
  assert.deepEqual([key(b), key(b), key(b)], [0x1e61, 0x1e41, -1]);
  scan(b, 0x3a, 0xba, 0x1e, 0x02, 0x2a, 0x1e, 0xaa, 0x3a, 0xba);
  assert.deepEqual([key(b), key(b), key(b)], [0x1e41, 0x0231, 0x1e61], "Caps Lock: letters only");
  scan(b, 0x1d, 0x1e, 0x03, 0x02, 0x9d, 0x38, 0x1e, 0x02, 0xb8);
  assert.deepEqual([key(b), key(b), key(b), key(b), key(b)], [0x1e01, 0x0300, 0x1e00, 0x7800, -1]);
});

Deno.test("keys: function keys, Enter, Tab, Backspace and Esc", () => {
  const b = bench();
  scan(b, 0x3b, 0x44, 0x57, 0x1c, 0x0f, 0x0e, 0x01);
  assert.deepEqual(
    Array.from({ length: 7 }, () => key(b)),
    [0x3b00, 0x4400, 0x8500, 0x1c0d, 0x0f09, 0x0e08, 0x011b],
  );
  scan(b, 0x1d, 0x3b, 0x0e, 0x9d, 0x2a, 0x0f, 0xaa);
  assert.deepEqual([key(b), key(b), key(b)], [0x5e00, 0x0e7f, 0x0f00]);
});

Deno.test("keys: the keypad by Num Lock, grey keys with E0h, which AH=00h shows as the old ones", () => {
  const b = bench();
  scan(b, 0x48, 0x45, 0xc5, 0x48, 0x4c);
  assert.deepEqual([key(b), key(b), key(b)], [0x4800, 0x4838, 0x4c35]);
  scan(b, 0xe0, 0x48, 0xe0, 0x1c, 0xe0, 0x35);
  assert.deepEqual([key(b), key(b), key(b)], [0x48e0, 0xe00d, 0xe02f]);
  scan(b, 0xe0, 0x48, 0xe0, 0x1c, 0xe0, 0x35, 0x57, 0x1e);
  assert.deepEqual(
    Array.from({ length: 5 }, () => key(b, 0x0000)),
    [0x4800, 0x1c0d, 0x352f, 0x1e61, -1],
    "F11 is not known to AH=00h",
  );
});

Deno.test("keys: Alt and digits on the keypad give the character of that number", () => {
  const b = bench();
  scan(b, 0x38, 0x4f, 0x47, 0x4c, 0xb8); // 1 7 5
  assert.equal(key(b), 175);
});

Deno.test("flags: AH=02h and 12h tell shift keys and locks", () => {
  const b = bench();
  scan(b, 0x2a, 0xe0, 0x1d, 0x45);
  assert.equal(b.call("int16", { eax: 0x0200 }).al, 0x02 | 0x04 | 0x20);
  const { al, ah } = b.call("int16", { eax: 0x1200 });
  assert.deepEqual([al, ah], [0x26, 0x24], "right Ctrl, Num Lock held");
});

Deno.test("Ctrl-Alt-Del reboots with the warm-boot flag; Ctrl-Break, Pause, Print go their ways", () => {
  const b = bench();
  assert.equal(scan(b, 0x1d, 0x38, 0x53).at(-1), "reboot");
  assert.equal(b.memory.readU16(0x472), 0x1234);
  const c = bench();
  scan(c, 0x1e);
  assert.equal(scan(c, 0x1d, 0xe0, 0x46).at(-1), "keyBreak");
  assert.equal(c.memory.readU8(0x471), 0x80);
  assert.deepEqual([key(c), key(c)], [0, -1], "the buffer is emptied");
  const d = bench();
  assert.deepEqual(scan(d, 0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5).filter(Boolean), ["keyPause"]);
  scan(d, 0x1e);
  assert.equal(d.memory.readU8(0x418) & 8, 0, "any key ends the pause");
  assert.equal(key(d), -1, "and is not seen");
  assert.equal(scan(d, 0xe0, 0x37).at(-1), "keyPrint");
});

Deno.test("the buffer holds fifteen keys; AH=05h says when it is full", () => {
  const b = bench();
  for (let i = 0; i < 15; i++) {
    assert.equal(b.call("int16", { eax: 0x0500, ecx: 0x1e61 + i }).al, 0);
  }
  assert.equal(b.call("int16", { eax: 0x0500, ecx: 1 }).al, 1);
  assert.deepEqual([key(b), key(b)], [0x1e61, 0x1e62]);
});

Deno.test("INT 16h AH=01h peeks with ZF clear, and sets ZF when there is nothing", () => {
  const b = bench();
  assert.equal(b.call("int16", { eax: 0x0100 }).zero, true);
  scan(b, 0x1e);
  const { ax, zero } = b.call("int16", { eax: 0x0100 });
  assert.deepEqual([ax, zero], [0x1e61, false]);
  assert.equal(key(b), 0x1e61, "it is still there");
});

Deno.test("INT 16h halts a program that asks nearly a hundred times within a tick", () => {
  const b = bench();
  const next = () => b.call("int16", { eax: 0x0100 }).next;
  assert.deepEqual(Array.from({ length: 96 }, next).filter(Boolean), []);
  assert.equal(b.fake.ip !== 0, false);
  b.call("int16", { eax: 0x0100 });
  assert.equal(b.fake.ip, romCode().label("idle16"));
  b.memory.writeU16(0x46c, b.memory.readU16(0x46c) + 1);
  b.call("int16", { eax: 0x0100 });
  assert.equal(b.fake.ip, 0, "a new tick, a new count");
});

Deno.test("a data area that a program has destroyed does not hang the keyboard", () => {
  const b = bench();
  for (
    const [head, tail, start, end] of [[0xffff, 0, 0, 0], [0x1e, 0x20, 0xfffe, 0xffff], [
      1,
      2,
      3,
      2,
    ]]
  ) {
    for (const [i, value] of [head, tail].entries()) b.memory.writeU16(0x41a + i * 2, value);
    for (const [i, value] of [start, end].entries()) b.memory.writeU16(0x480 + i * 2, value);
    for (const eax of [0x0000, 0x0100, 0x1000, 0x1100, 0x0500]) b.call("int16", { eax });
    scan(b, 0x1e, 0x1d, 0x46);
  }
});
