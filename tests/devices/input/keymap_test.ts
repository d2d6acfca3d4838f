import assert from "node:assert/strict";
import { isBreakPrefix, toSet1 } from "../../../devices/input/i8042_translation.ts";
import { EXTENDED, keyNamed, KEYS, parseCombination } from "../../../devices/input/keymap.ts";
import { pressesOf, pressFor } from "../../../devices/input/keymap_us.ts";

Deno.test("keymap: the 8042 translates the set-2 code of every key into its set-1 code", () => {
  for (const [name, [set1, set2]] of Object.entries(KEYS)) {
    assert.equal(set1 & EXTENDED, set2 & EXTENDED, name);
    assert.equal(toSet1(set2 & 0xff, false), set1 & 0xff, name);
    assert.equal(toSet1(set2 & 0xff, true), (set1 & 0xff) | 0x80, name);
  }
});

Deno.test("keymap: no two keys share a code in any set", () => {
  for (const set of [0, 1, 2] as const) {
    const codes = Object.values(KEYS).map((codes) => codes[set]);
    assert.equal(new Set(codes).size, codes.length, `set ${set + 1}`);
    assert.equal(codes.some((code) => isBreakPrefix(code)), false);
  }
});

Deno.test("keymap: the 101 keys of the enhanced keyboard, the 102nd, and three for Windows", () => {
  assert.equal(Object.keys(KEYS).length, 105);
  assert.deepEqual(KEYS.kp_enter, [0x11c, 0x15a, 0x79]);
});

Deno.test("keymap: combinations name keys as QEMU's sendkey does, or by common names", () => {
  assert.deepEqual(parseCombination("ctrl-alt-delete"), ["ctrl", "alt", "delete"]);
  assert.deepEqual(parseCombination("Enter"), ["ret"]);
  assert.equal(keyNamed("sysrq"), "print");
  assert.equal(keyNamed("constructor"), undefined);
  assert.throws(
    () => parseCombination("ctrl-foo"),
    /Cannot press "ctrl-foo": there is no key "foo"/,
  );
});

Deno.test("keymap: all printable ASCII characters have a press of their own on the US layout", () => {
  const seen = new Map<string, string>();
  for (let code = 0x20; code < 0x7f; code++) {
    const char = String.fromCharCode(code);
    const press = pressFor(char)?.join("-");
    assert.ok(press !== undefined, char);
    assert.equal(seen.get(press), undefined, char);
    seen.set(press, char);
  }
});

Deno.test("keymap: text becomes presses; what no key types is reported", () => {
  assert.deepEqual(pressesOf('dir C:\\"~\r\n'), {
    presses: [
      ["d"],
      ["i"],
      ["r"],
      ["spc"],
      ["shift", "c"],
      ["shift", "semicolon"],
      ["backslash"],
      ["shift", "apostrophe"],
      ["shift", "grave_accent"],
      ["ret"],
    ],
    unknown: [],
  });
  assert.deepEqual(pressesOf("é😀é"), { presses: [], unknown: ["é", "😀"] });
  assert.deepEqual(pressesOf("\t\b\x1b\x03\x1c\0").presses, [
    ["tab"],
    ["backspace"],
    ["esc"],
    ["ctrl", "c"],
    ["ctrl", "backslash"],
    ["ctrl", "2"],
  ]);
});
