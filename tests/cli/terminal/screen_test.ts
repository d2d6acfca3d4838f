import assert from "node:assert/strict";
import { toCp437 } from "../../../devices/display/cp437.ts";
import { palette16 } from "../../../devices/display/scanout.ts";
import type { TextScreen } from "../../../devices/display/text_screen.ts";
import { attributeSgr, colorDepth, nearest256 } from "../../../hv/cli/terminal/colors.ts";
import { TerminalScreen, terminalUpdate } from "../../../hv/cli/terminal/screen.ts";
import { seeded } from "../../support/random.ts";
import { VgaBench } from "../../support/vga_bench.ts";

const PALETTE = palette16(new VgaBench().mode(3).vga.state);

function screen(lines: string[], options: Partial<TextScreen> = {}, columns = 10): TextScreen {
  const cells = new Uint16Array(columns * lines.length).fill(0x0720);
  for (const [row, line] of lines.entries()) {
    for (const [i, char] of [...line].entries()) {
      cells[row * columns + i] = 0x0700 | toCp437(char)!;
    }
  }
  return {
    columns,
    rows: lines.length,
    cells,
    cursor: { isVisible: false, column: 0, row: 0, startLine: 13, endLine: 14 },
    cellLines: 16,
    blinks: true,
    palette: PALETTE,
    ...options,
  };
}

const SIZE = { columns: 20, rows: 5, colors: "16" } as const;

/** A terminal that understands what is sent to it and nothing else. */
class FakeTerminal {
  readonly cells: string[][];
  cursor = { row: 0, column: 0, isVisible: false, shape: 0 };
  #sgr = "";

  constructor(columns: number, rows: number) {
    this.cells = Array.from({ length: rows }, () => Array(columns).fill(" "));
  }

  /** Writes; `cells` then hold the SGR parameters and character of each cell. */
  write(output: string): void {
    const visible = output.replaceAll("\x1b", "\u241b");
    for (
      const [whole, csi, final] of visible.matchAll(/\u241b\[([?0-9; ]*)([A-Za-z])|[^\u241b]/gu)
    ) {
      if (final === undefined) this.#put(whole);
      else this.#control(csi, final);
    }
  }

  #put(char: string): void {
    const { row, column } = this.cursor;
    assert.ok(column < this.cells[row].length, "wrote beyond the edge");
    this.cells[row][column] = this.#sgr + char;
    this.cursor.column++;
  }

  #control(csi: string, final: string): void {
    if (final === "H") {
      const [row, column] = csi.split(";").map(Number);
      assert.ok(row >= 1 && row <= this.cells.length && column >= 1);
      Object.assign(this.cursor, { row: row - 1, column: column - 1 });
    } else if (final === "m") this.#sgr = csi === "0" ? "" : csi;
    else if (final === "J") { for (const row of this.cells) row.fill(" "); }
    else if (final === "q") this.cursor.shape = Number(csi);
    else if (csi === "?25" && final === "h") this.cursor.isVisible = true;
    else if (csi === "?25" && final === "l") this.cursor.isVisible = false;
    else assert.fail(`unknown sequence CSI ${csi}${final}`);
  }
}

Deno.test("terminal colours: VGA attribute to SGR, blink or bright background", () => {
  assert.equal(attributeSgr(0x1e, true, PALETTE, "16"), "\x1b[0;93;44m");
  assert.equal(attributeSgr(0x94, true, PALETTE, "16"), "\x1b[0;5;31;44m");
  assert.equal(attributeSgr(0x94, false, PALETTE, "16"), "\x1b[0;31;104m");
  assert.equal(attributeSgr(0x67, true, PALETTE, "256"), "\x1b[0;38;5;248;48;5;130m");
  assert.equal(
    attributeSgr(0x67, true, PALETTE, "truecolor"),
    "\x1b[0;38;2;170;170;170;48;2;170;85;0m",
  );
});

Deno.test("terminal colours: the environment tells the depth; the nearest of 256 is exact where it can be", () => {
  assert.equal(colorDepth({ COLORTERM: "truecolor", TERM: "xterm" }), "truecolor");
  assert.equal(colorDepth({ TERM: "screen-256color" }), "256");
  assert.equal(colorDepth({ TERM: "linux" }), "16");
  assert.equal(colorDepth({}), "16");
  assert.deepEqual([nearest256(0, 0, 0), nearest256(255, 255, 255), nearest256(255, 0, 0)], [
    16,
    231,
    196,
  ]);
  assert.deepEqual([nearest256(95, 135, 175), nearest256(128, 128, 128)], [67, 244]);
});

Deno.test("terminal screen writes everything at first, then only what is new", () => {
  const first = screen(["ab", "", "═☺"]);
  assert.equal(
    terminalUpdate(undefined, first, SIZE),
    "\x1b[?25l\x1b[0m\x1b[2J\x1b[1;1H\x1b[0;37;40mab        \x1b[2;1H          \x1b[3;1H═☺        \x1b[?25l",
  );
  assert.equal(terminalUpdate(first, screen(["ab", "", "═☺"]), SIZE), "");
  assert.equal(
    terminalUpdate(first, screen(["ab", " x", "═☺"]), SIZE),
    "\x1b[?25l\x1b[2;2H\x1b[0;37;40mx\x1b[?25l",
  );
});

Deno.test("terminal screen shows the cursor where the guest has it, as line or block", () => {
  const cursor = { isVisible: true, column: 3, row: 1, startLine: 13, endLine: 14 };
  const off = screen(["", ""]);
  const line = screen(["", ""], { cursor });
  const block = screen(["", ""], { cursor: { ...cursor, startLine: 0, endLine: 15 } });
  assert.equal(terminalUpdate(off, line, SIZE), "\x1b[2;4H\x1b[3 q\x1b[?25h");
  assert.equal(terminalUpdate(line, line, SIZE), "");
  assert.equal(terminalUpdate(line, block, SIZE), "\x1b[2;4H\x1b[1 q\x1b[?25h");
  assert.equal(terminalUpdate(block, off, SIZE), "\x1b[?25l");
});

Deno.test("terminal screen crops to the terminal and keeps the cursor's row in sight", () => {
  const lines = ["one", "two", "three", "four"];
  const cursor = { isVisible: true, column: 1, row: 3, startLine: 13, endLine: 14 };
  const small = new FakeTerminal(2, 2);
  small.write(
    terminalUpdate(undefined, screen(lines, { cursor }), { ...SIZE, columns: 2, rows: 2 }),
  );
  assert.deepEqual(small.cells.map((row) => row.map((cell) => cell.at(-1)).join("")), ["th", "fo"]);
  assert.deepEqual(small.cursor, { row: 1, column: 1, isVisible: true, shape: 3 });
  const top = new FakeTerminal(2, 2);
  top.write(terminalUpdate(undefined, screen(lines), { ...SIZE, columns: 2, rows: 2 }));
  assert.deepEqual(top.cells.map((row) => row.map((cell) => cell.at(-1)).join("")), ["on", "tw"]);
});

Deno.test("terminal screen redraws after a resize, another palette, or a note in its place", () => {
  const terminal = new TerminalScreen(SIZE);
  const text = screen(["ab"]);
  assert.ok(terminal.draw(text).includes("\x1b[2J"));
  assert.equal(terminal.draw(text), "");
  terminal.resize(30, 3);
  assert.ok(terminal.draw(text).includes("\x1b[2J"));
  const palette = PALETTE.slice();
  palette[3] ^= 1;
  assert.ok(terminal.draw(screen(["ab"], { palette })).includes("\x1b[2J"));
  assert.equal(terminal.draw("320x200"), "\x1b[?25l\x1b[0m\x1b[2J\x1b[2;12H320x200");
  assert.equal(terminal.draw("320x200"), "");
  assert.ok(terminal.draw(text).includes("ab"));
  terminal.forget();
  assert.ok(terminal.draw(text).includes("ab"));
});

Deno.test("terminal screen: updates from any screen to any other end at the same picture", () => {
  seeded((random) => {
    const size = { columns: 12, rows: 4, colors: "16" } as const;
    const terminal = new FakeTerminal(size.columns, size.rows);
    let previous: TextScreen | undefined;
    for (let i = 0; i < 300; i++) {
      const cells = previous?.cells.slice() ?? new Uint16Array(14 * 5);
      for (let n = random.below(12); n > 0; n--) cells[random.below(cells.length)] = random.u32();
      const cursor = {
        isVisible: random.chance(50),
        column: random.below(14),
        row: random.below(5),
        startLine: 13,
        endLine: 14,
      };
      const next = { ...screen([], { cells, cursor, rows: 5 }, 14), blinks: i < 200 };
      terminal.write(terminalUpdate(previous, next, size));
      const fresh = new FakeTerminal(size.columns, size.rows);
      fresh.write(terminalUpdate(undefined, next, size));
      assert.deepEqual(terminal.cells, fresh.cells, `update ${i}`);
      assert.equal(terminal.cursor.isVisible, fresh.cursor.isVisible);
      if (terminal.cursor.isVisible) assert.deepEqual(terminal.cursor, fresh.cursor);
      previous = next;
    }
  });
});
