import assert from "node:assert/strict";
import { TERMINAL_HELP, TerminalCommands } from "../../../hv/cli/terminal/commands.ts";
import { TerminalKeys, type TypedKey } from "../../../hv/cli/terminal/keys.ts";
import { seeded } from "../../support/random.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const keys = (text: string) => new TerminalKeys().feed(bytes(text));

/** Key presses as short words: `text`, `C-c`, `M-S-up`. */
const words = (presses: TypedKey[]) =>
  presses.map((press) =>
    "text" in press
      ? `'${press.text}'`
      : `${press.ctrl ? "C-" : ""}${press.alt ? "M-" : ""}${press.shift ? "S-" : ""}${press.key}`
  ).join(" ");

Deno.test("terminal keys: printable characters are text, in UTF-8", () => {
  assert.deepEqual(keys("aZ é€𝄞"), [..."aZ é€𝄞"].map((text) => ({ text })));
});

Deno.test("terminal keys: control characters are the keys that make them", () => {
  assert.equal(words(keys("\r\n\t\x7f\x08")), "ret ret tab backspace backspace");
  assert.equal(
    words(keys("\x01\x03\x1a\x1c\x1d\x1f\x00")),
    "C-a C-c C-z C-backslash C-bracket_right C-minus C-2",
  );
});

Deno.test("terminal keys: cursor and editing keys of xterm, rxvt and the Linux console", () => {
  assert.equal(words(keys("\x1b[A\x1b[B\x1b[C\x1b[D\x1b[H\x1b[F")), "up down right left home end");
  assert.equal(words(keys("\x1bOA\x1bOH\x1bOP\x1bOS")), "up home f1 f4");
  assert.equal(
    words(keys("\x1b[1~\x1b[2~\x1b[3~\x1b[4~\x1b[5~\x1b[6~\x1b[7~\x1b[8~")),
    "home insert delete end pgup pgdn home end",
  );
  assert.equal(
    words(keys("\x1b[11~\x1b[15~\x1b[17~\x1b[21~\x1b[23~\x1b[24~\x1b[29~")),
    "f1 f5 f6 f10 f11 f12 menu",
  );
  assert.equal(words(keys("\x1b[[A\x1b[[E")), "f1 f5");
  assert.equal(words(keys("\x1b[Z\x1b[5^\x1b[5@\x1b[a\x1bOa")), "S-tab C-pgup C-S-pgup S-up C-up");
  assert.equal(words(keys("\x1bOM\x1bOk\x1bOp\x1bOy")), "kp_enter kp_add kp_0 kp_9");
});

Deno.test("terminal keys: xterm modifiers, modifyOtherKeys and CSI u", () => {
  assert.equal(
    words(keys("\x1b[1;2A\x1b[1;3B\x1b[1;5C\x1b[1;8D\x1b[3;5~\x1b[1;5P")),
    "S-up M-down C-right C-M-S-left C-delete C-f1",
  );
  assert.equal(words(keys("\x1b[27;5;105~\x1b[27;6;65~\x1b[27;2;63~")), "C-i C-S-a '?'");
  assert.equal(
    words(keys("\x1b[99;5u\x1b[97;3u\x1b[13;2u\x1b[27u\x1b[97;1:3u\x1b[233;1u")),
    "C-c M-a S-ret esc 'é'",
  );
});

Deno.test("terminal keys: ESC before a character is Alt, with shift where the layout needs it", () => {
  assert.equal(
    words(keys("\x1bx\x1bX\x1b1\x1b!\x1b\r\x1b\x03\x1b\x7f")),
    "M-x M-S-x M-1 M-S-1 M-ret C-M-c M-backspace",
  );
  assert.equal(words(keys("\x1bé")), "'é'");
  assert.equal(words(keys("\x1b\x1b[A\x1b\x1bx")), "M-up esc M-x");
});

Deno.test("terminal keys: what is no key is dropped: answers, focus, paste marks, mouse, rubbish", () => {
  assert.equal(words(keys("\x1b[?1;2c\x1b[I\x1b[O\x1b[12;40R\x1b[<0;3;4M")), "");
  assert.equal(words(keys("\x1b[200~ab\x1b[201~")), "'a' 'b'");
  assert.deepEqual(new TerminalKeys().feed(Uint8Array.of(0xff, 0xc0, 0x80, 0xe2, 0x41, 0xf5)), [{
    text: "A",
  }]);
  assert.deepEqual(
    new TerminalKeys().feed(Uint8Array.of(0xed, 0xa0, 0x80, 0x42)),
    [{ text: "B" }],
    "surrogate",
  );
  assert.equal(words(keys("\x1b[1;\x03a")), "C-c 'a'");
  assert.equal(
    words(keys("\x1b[99999999999u\x1b[u\x1b[99999;9999A")),
    "C-2",
    "an empty code is NUL",
  );
});

Deno.test("terminal keys: a sequence cut anywhere means the same", () => {
  const input = bytes("a\x1b[1;5Aé\x1bOP\x1b[24~\x1b[27;5;105~€\x1bx\x1b\x1b[B𝄞\x1b[[Cz");
  const whole = words(new TerminalKeys().feed(input));
  for (let cut = 0; cut <= input.length; cut++) {
    const parser = new TerminalKeys();
    const presses = [...parser.feed(input.subarray(0, cut)), ...parser.feed(input.subarray(cut))];
    assert.equal(words(presses), whole, `cut at ${cut}`);
    assert.ok(!parser.isPending);
  }
  const parser = new TerminalKeys();
  assert.equal(words([...input].flatMap((byte) => parser.feed(Uint8Array.of(byte)))), whole);
});

Deno.test("terminal keys: after a pause a lone ESC is the key, ESC [ is Alt-[, the rest is dropped", () => {
  const after = (text: string) => {
    const parser = new TerminalKeys();
    assert.deepEqual(parser.feed(bytes(text)), []);
    assert.ok(parser.isPending);
    const presses = words(parser.flush());
    assert.ok(!parser.isPending);
    return presses;
  };
  assert.equal(after("\x1b"), "esc");
  assert.equal(after("\x1b["), "M-bracket_left");
  assert.equal(after("\x1bO"), "M-S-o");
  assert.equal(after("\x1b\x1b"), "esc esc");
  assert.equal(after("\x1b[1;5"), "");
  assert.deepEqual(new TerminalKeys().flush(), []);
});

Deno.test("terminal keys: any bytes are borne, and what waits stays small", () => {
  seeded((random) => {
    const parser = new TerminalKeys();
    for (let i = 0; i < 3000; i++) {
      const chunk = Uint8Array.from(
        { length: random.below(20) },
        () => random.chance(50) ? random.pick([...bytes("\x1b[O;1523~AuM")]) : random.below(256),
      );
      parser.feed(chunk);
      if (random.chance(5)) parser.flush();
    }
    parser.flush();
    parser.feed(bytes(`\x1b[${"1".repeat(100_000)}`));
    parser.flush();
    assert.equal(words(parser.feed(bytes("q"))), "'q'");
  });
});

Deno.test("Ctrl-A: X quits, H helps, C switches, A and Ctrl-A are sent, all else helps", () => {
  const after = (char: string) => new TerminalCommands().ofBytes(bytes(`\x01${char}`));
  for (const char of ["x", "X"]) assert.deepEqual(after(char), ["quit"]);
  for (const char of ["h", "?", "z", "\r", "\x1b"]) assert.deepEqual(after(char), ["help"]);
  assert.deepEqual(after("c"), ["switch"]);
  for (const char of ["a", "A", "\x01"]) assert.deepEqual(after(char), [Uint8Array.of(1)]);
  assert.ok(TERMINAL_HELP.length >= 4);
});

Deno.test("Ctrl-A works across chunks and keeps the order of input and commands", () => {
  const commands = new TerminalCommands();
  assert.deepEqual(commands.ofBytes(bytes("ls\r\x01")), [bytes("ls\r")]);
  assert.deepEqual(commands.ofBytes(bytes("ab\x01hc\x01x")), [
    Uint8Array.of(1, 0x62),
    "help",
    bytes("c"),
    "quit",
  ]);
});

Deno.test("Ctrl-A works on key presses: Ctrl-A X quits, with a cursor key it helps", () => {
  const commands = new TerminalCommands();
  const typed = (text: string) => commands.ofKeys(keys(text));
  assert.deepEqual(typed("a\x01"), [{ text: "a" }]);
  assert.deepEqual(typed("xb"), ["quit", { text: "b" }]);
  assert.deepEqual(typed("\x01\x1b[A"), ["help"]);
  assert.deepEqual(typed("\x01a\x01\x01"), [{ key: "a", ctrl: true }, { key: "a", ctrl: true }]);
  assert.deepEqual(typed("\x1b[97;5ux"), ["quit"]);
});
