import assert from "node:assert/strict";
import { CP437, toCp437 } from "../../../devices/display/cp437.ts";
import { ScreenWatch } from "../../../devices/display/screen_watch.ts";
import { textLines, textScreen } from "../../../devices/display/text_screen.ts";
import { seeded } from "../../support/random.ts";
import { VgaBench } from "../../support/vga_bench.ts";

const lines = (vga: VgaBench) => textLines(textScreen(vga.vga)!);

Deno.test("code page 437 has 256 characters and finds each again", () => {
  assert.equal(CP437.length, 256);
  assert.deepEqual(
    [0x00, 0x01, 0x1f, 0x41, 0x7f, 0x80, 0xb3, 0xdb, 0xe1, 0xfe].map((n) => CP437[n]).join(""),
    " ☺▼A⌂Ç│█ß■",
  );
  assert.equal(toCp437("A"), 0x41);
  assert.equal(toCp437("╬"), 0xce);
  assert.equal(toCp437("€"), undefined);
  for (let code = 1; code < 255; code++) assert.equal(toCp437(CP437[code]), code);
});

Deno.test("text screen gives characters, attributes, cursor and colours of mode 3", () => {
  const vga = new VgaBench().mode(3);
  vga.print(2, 1, "h\x82\xcd", 0x9e);
  vga.set(0x3d4, 0x0e, 0x00);
  vga.set(0x3d4, 0x0f, 80 + 5);
  const screen = textScreen(vga.vga)!;
  assert.deepEqual([screen.columns, screen.rows, screen.cellLines], [80, 25, 16]);
  assert.equal(textLines(screen)[1], "  hé═");
  assert.equal(screen.cells[80 + 2], 0x9e68);
  assert.ok(screen.blinks);
  assert.deepEqual(screen.cursor, {
    isVisible: true,
    column: 5,
    row: 1,
    startLine: 13,
    endLine: 14,
  });
  assert.deepEqual([...screen.palette.subarray(18, 24)], [0xaa, 0x55, 0x00, 0xaa, 0xaa, 0xaa]);
});

Deno.test("text screen has 40 columns in mode 1, is at B0000h in mode 7, and none in mode 13h", () => {
  const narrow = new VgaBench().mode(1);
  narrow.print(0, 2, "forty", 7, 40);
  assert.equal(lines(narrow)[2], "forty");
  assert.equal(textScreen(narrow.vga)!.columns, 40);
  const mono = new VgaBench().mode(7);
  mono.write(0xb0000, 2, 0x074d);
  assert.equal(lines(mono)[0], "M");
  assert.equal(textScreen(new VgaBench().mode(0x13).vga), undefined);
});

Deno.test("text screen follows the start address, and the line compare splits it", () => {
  const vga = new VgaBench().mode(3);
  vga.print(0, 0, "status");
  vga.print(0, 10, "page");
  vga.set(0x3d4, 0x0c, (10 * 80) >> 8);
  vga.set(0x3d4, 0x0d, (10 * 80) & 0xff);
  assert.deepEqual(lines(vga).slice(0, 2), ["page", ""]);
  assert.equal(lines(vga)[20], "");
  // Rows 0 to 19 from the start address, 20 to 24 from address 0.
  vga.set(0x3d4, 0x11, 0x0e);
  vga.set(0x3d4, 0x07, 0x0f);
  vga.set(0x3d4, 0x09, 0x0f);
  vga.set(0x3d4, 0x18, 0x3f);
  vga.set(0x3d4, 0x07, 0x1f);
  assert.equal(lines(vga)[20], "status");
  assert.equal(lines(vga)[0], "page");
});

Deno.test("text screen hides the cursor that is off, upside down or out of sight", () => {
  const vga = new VgaBench().mode(3);
  const isVisible = () => textScreen(vga.vga)!.cursor.isVisible;
  assert.ok(isVisible());
  vga.set(0x3d4, 0x0a, 0x2d);
  assert.ok(!isVisible());
  vga.set(0x3d4, 0x0a, 0x0f);
  vga.set(0x3d4, 0x0b, 0x0e);
  assert.ok(!isVisible());
  vga.set(0x3d4, 0x0a, 0x00);
  assert.ok(isVisible());
  vga.set(0x3d4, 0x0e, 0x20);
  assert.ok(!isVisible());
});

Deno.test("text screen is the same from a window mapped as RAM, and after 256 colours", () => {
  const vga = new VgaBench().mode(3);
  for (let i = 0; i < 300; i++) vga.print(0, 0, "x");
  assert.notEqual(vga.mapped, undefined);
  vga.print(0, 3, "from RAM");
  assert.equal(lines(vga)[3], "from RAM");
  vga.mode(0x13);
  assert.equal(vga.vga.state.layout, 1);
  vga.mode(3);
  vga.print(0, 4, "back");
  assert.equal(lines(vga)[4], "back");
});

Deno.test("text screen bears any registers", () => {
  seeded((random) => {
    const vga = new VgaBench().mode(3);
    for (let i = 0; i < 300; i++) {
      vga.vga.state.crtc[random.below(0x19)] = random.u32();
      const screen = textScreen(vga.vga)!;
      assert.ok(screen.rows >= 1 && screen.rows <= 1024);
      assert.equal(screen.cells.length, screen.rows * screen.columns);
    }
  });
});

Deno.test("screen watch tells of registers, memory and a mapped window, and of nothing else", () => {
  const vga = new VgaBench().mode(3);
  vga.unmap();
  const watch = new ScreenWatch(vga.vga);
  assert.ok(watch.changed());
  assert.ok(!watch.changed());
  vga.in(0x3da);
  vga.read(0xb8000);
  assert.ok(!watch.changed());
  vga.write(0xb8000, 1, 0x41);
  assert.ok(watch.changed());
  for (let i = 0; i < 300; i++) vga.read(0xb8000);
  assert.notEqual(vga.mapped, undefined);
  watch.changed();
  assert.ok(!watch.changed());
  vga.write(0xbfffe, 1, 0x5a);
  assert.ok(watch.changed());
  assert.ok(!watch.changed());
});
