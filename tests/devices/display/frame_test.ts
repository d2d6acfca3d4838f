import assert from "node:assert/strict";
import { type Frame, renderFrame } from "../../../devices/display/frame.ts";
import { encodePng } from "../../../devices/display/png.ts";
import { Random, seed, seeded } from "../../support/random.ts";
import { VgaBench } from "../../support/vga_bench.ts";

/** The colour of a dot as rrggbb. */
const dot = ({ width, rgba }: Frame, x: number, y: number) =>
  [0, 1, 2].map((i) => rgba[(y * width + x) * 4 + i].toString(16).padStart(2, "0")).join("");

/** A part of a picture, a letter for each colour. */
function art(frame: Frame, left: number, width: number, top: number, height: number): string[] {
  const letters: Record<string, string> = {
    "000000": ".",
    aaaaaa: "#",
    ffff55: "Y",
    "0000aa": "b",
  };
  return Array.from(
    { length: height },
    (_, y) =>
      Array.from({ length: width }, (_, x) => letters[dot(frame, left + x, top + y)] ?? "?").join(
        "",
      ),
  );
}

Deno.test("frame of mode 3 is 720x400, its ninth dot going on for line drawing characters", () => {
  const vga = new VgaBench().mode(3);
  vga.print(0, 0, "H\xc4");
  vga.print(2, 0, "\xb3", 0x1e);
  vga.set(0x3d4, 0x0f, 3);
  const frame = renderFrame(vga.vga);
  assert.deepEqual([frame.width, frame.height], [720, 400]);
  assert.deepEqual(art(frame, 0, 36, 2, 14), [
    "..................bbbYYbbbb.........",
    ".#.....#..........bbbYYbbbb.........",
    ".#.....#..........bbbYYbbbb.........",
    ".#.....#..........bbbYYbbbb.........",
    ".#.....#..........bbbYYbbbb.........",
    ".#######.#########bbbYYbbbb.........",
    ".#.....#..........bbbYYbbbb.........",
    ".#.....#..........bbbYYbbbb.........",
    ".#.....#..........bbbYYbbbb.........",
    ".#.....#..........bbbYYbbbb.........",
    "..................bbbYYbbbb.........",
    "..................bbbYYbbbb#########",
    "..................bbbYYbbbb#########",
    "..................bbbYYbbbb.........",
  ]);
  const hidden = renderFrame(vga.vga, { cursor: false });
  assert.equal(dot(hidden, 27, 13), "000000");
});

Deno.test("frame hides blinking text in its dark phase, and background is bright without blink", () => {
  const vga = new VgaBench().mode(3);
  vga.print(0, 0, "\xdb", 0x9e);
  assert.equal(dot(renderFrame(vga.vga), 0, 0), "ffff55");
  assert.equal(dot(renderFrame(vga.vga, { text: false }), 0, 0), "0000aa");
  vga.in(0x3da);
  vga.out(0x3c0, 0x30);
  vga.out(0x3c0, 0x04);
  vga.print(0, 0, " ", 0x9e);
  assert.equal(dot(renderFrame(vga.vga, { text: false }), 0, 0), "5555ff");
});

Deno.test("frame is black while the screen is off", () => {
  const vga = new VgaBench().mode(0x13);
  vga.write(0xa0000, 1, 15);
  assert.equal(dot(renderFrame(vga.vga), 0, 0), "ffffff");
  vga.set(0x3c4, 1, 0x21);
  assert.equal(dot(renderFrame(vga.vga), 0, 0), "000000");
  assert.equal(renderFrame(vga.vga).rgba[3], 255);
});

Deno.test("frame of mode 12h is 640x480 of four maps", () => {
  const vga = new VgaBench().mode(0x12);
  vga.set(0x3c4, 2, 0x0e);
  vga.write(0xa0000 + 479 * 80 + 79, 1, 0x01);
  const frame = renderFrame(vga.vga);
  assert.deepEqual([frame.width, frame.height], [640, 480]);
  assert.deepEqual([dot(frame, 638, 479), dot(frame, 639, 479)], ["000000", "ffff55"]);
});

Deno.test("frame of mode 13h is 320x200, a byte a dot, also when mapped", () => {
  const vga = new VgaBench().mode(0x13);
  assert.notEqual(vga.mapped, undefined);
  vga.write(0xa0000 + 199 * 320 + 317, 1, 40);
  vga.write(0xa0000 + 60000, 1, 14);
  const frame = renderFrame(vga.vga);
  assert.deepEqual([frame.width, frame.height], [320, 200]);
  assert.equal(dot(frame, 317, 199), "ff0000");
  assert.equal(dot(frame, 60000 % 320, Math.floor(60000 / 320)), "ffff55");
});

Deno.test("frame of mode X: 320x240 unchained, byte addresses, maps take turns", () => {
  const vga = new VgaBench().mode(0x13);
  vga.out(0x3c2, 0xe3);
  vga.set(0x3c4, 4, 0x06);
  const crtc = [[0x11, 0x0c], [0x06, 0x0d], [0x07, 0x3e], [0x09, 0x41], [0x10, 0xea], [0x12, 0xdf]];
  for (const [index, value] of [...crtc, [0x14, 0x00], [0x15, 0xe7], [0x16, 0x06], [0x17, 0xe3]]) {
    vga.set(0x3d4, index, value);
  }
  vga.set(0x3c4, 2, 0x0f);
  for (let at = 0; at < 0x10000; at += 4) vga.write(0xa0000 + at, 4, 0);
  vga.set(0x3c4, 2, 0x04);
  vga.write(0xa0000 + 239 * 80 + 3, 1, 40);
  const frame = renderFrame(vga.vga);
  assert.deepEqual([frame.width, frame.height], [320, 240]);
  assert.equal(dot(frame, 3 * 4 + 2, 239), "ff0000");
  assert.equal(dot(frame, 3 * 4 + 1, 239), "000000");
});

Deno.test("frame of mode 4 takes odd lines 8 KiB on, two bits a dot; of mode 6 one bit", () => {
  const vga = new VgaBench().mode(4);
  vga.write(0xb8000, 1, 0b00_01_10_11);
  vga.write(0xb8000 + 0x2000 + 79, 1, 0b11_00_00_10);
  const frame = renderFrame(vga.vga);
  assert.deepEqual([frame.width, frame.height], [320, 200]);
  assert.deepEqual([0, 1, 2, 3].map((x) => dot(frame, x, 0)), [
    "000000",
    "55ffff",
    "ff55ff",
    "ffffff",
  ]);
  assert.deepEqual([dot(frame, 316, 1), dot(frame, 319, 1)], ["ffffff", "ff55ff"]);
  vga.mode(6);
  vga.write(0xb8000 + 0x2000 + 79, 1, 0x01);
  const fine = renderFrame(vga.vga);
  assert.deepEqual([fine.width, fine.height], [640, 200]);
  assert.deepEqual([dot(fine, 638, 1), dot(fine, 639, 1)], ["000000", "ffffff"]);
});

Deno.test("frame of the other modes has their size", () => {
  const sizes = [
    [0x00, 360, 400],
    [0x07, 720, 400],
    [0x0d, 320, 200],
    [0x0e, 640, 200],
    [
      0x0f,
      640,
      350,
    ],
    [0x10, 640, 350],
    [0x11, 640, 480],
  ];
  for (const [number, width, height] of sizes) {
    const frame = renderFrame(new VgaBench().mode(number).vga);
    assert.deepEqual([number, frame.width, frame.height], [number, width, height]);
  }
});

Deno.test("frame scrolls by dots: panning in 8-dot and 9-dot characters, preset row scan", () => {
  const vga = new VgaBench().mode(3);
  vga.print(1, 0, "\xdb");
  vga.set(0x3d4, 0x08, 0x0f);
  vga.in(0x3da);
  vga.out(0x3c0, 0x33);
  vga.out(0x3c0, 0x02);
  const frame = renderFrame(vga.vga, { cursor: false });
  assert.deepEqual([dot(frame, 5, 0), dot(frame, 6, 0)], ["000000", "aaaaaa"]);
  assert.deepEqual([dot(frame, 6, 1)], ["000000"], "one line of the row is left");
});

Deno.test("frame bears any registers and stays within 2304x1024", () => {
  seeded((random) => {
    const vga = new VgaBench().mode(3);
    const { state } = vga.vga;
    for (let i = 0; i < 40; i++) {
      for (const registers of [state.crtc, state.graphics, state.attribute, state.sequencer]) {
        if (random.chance(70)) registers[random.below(registers.length)] = random.u32();
      }
      state.sequencer[0] = 3;
      state.layout = random.below(2);
      const { width, height, rgba } = renderFrame(vga.vga);
      assert.ok(width <= 2304 && height >= 1 && height <= 1024);
      assert.equal(rgba.length, width * height * 4);
    }
  });
});

/** The picture in a PNG file. */
async function decoded(png: Uint8Array) {
  const { decode } = await import("npm:fast-png@8.0.0");
  const { width, height, channels, data } = decode(png, { checkCrc: true });
  return { size: [width, height], channels, data };
}

Deno.test("PNG of a frame has the signature, the size and the dots", async () => {
  const vga = new VgaBench().mode(0x13);
  vga.write(0xa0001, 1, 14);
  const png = await encodePng(renderFrame(vga.vga));
  assert.deepEqual([...png.subarray(0, 8)], [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const { size, data } = await decoded(png);
  assert.deepEqual(size, [320, 200]);
  assert.deepEqual([...data.subarray(0, 8)], [0, 0, 0, 255, 255, 255, 85, 255]);
});

Deno.test("PNG of random pictures is read back as the picture", async () => {
  const random = new Random(seed());
  for (const [width, height] of [[1, 1], [3, 1], [1, 5], [17, 9], [320, 200]]) {
    const rgba = Uint8Array.from({ length: width * height * 4 }, () => random.below(256));
    const { size, channels, data } = await decoded(await encodePng({ width, height, rgba }));
    assert.deepEqual([size, channels], [[width, height], 4]);
    assert.deepEqual([...data], [...rgba], `HV_SEED=${seed()}`);
  }
});
