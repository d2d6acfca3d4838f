import assert from "node:assert/strict";
import { VgaPlain } from "../../../devices/vga/registers.ts";
import { type Random, seeded } from "../../support/random.ts";
import { VgaBench } from "../../support/vga_bench.ts";

/** Mode 12h: four maps at A0000h, sequential. */
const planar = () => new VgaBench().mode(0x12);
const maps = (vga: VgaBench, address: number) => [0, 1, 2, 3].map((n) => vga.plane(n, address));

Deno.test("VGA write mode 0 rotates, substitutes set/reset and honours the map mask", () => {
  const vga = planar();
  vga.set(0x3ce, 3, 0x01);
  vga.write(0xa0000, 1, 0x81);
  assert.deepEqual(maps(vga, 0), [0xc0, 0xc0, 0xc0, 0xc0]);
  vga.set(0x3ce, 3, 0x00);
  vga.set(0x3ce, 0, 0x05);
  vga.set(0x3ce, 1, 0x03);
  vga.set(0x3c4, 2, 0x07);
  vga.write(0xa0000, 1, 0x12);
  assert.deepEqual(maps(vga, 0), [0xff, 0x00, 0x12, 0xc0]);
});

Deno.test("VGA bit mask keeps the latches' bits, and the function joins data with latches", () => {
  const vga = planar();
  vga.write(0xa0000, 1, 0b1100_1100);
  vga.read(0xa0000);
  vga.set(0x3ce, 8, 0x0f);
  vga.write(0xa0001, 1, 0b1010_1010);
  assert.equal(vga.plane(0, 1), 0b1100_1010);
  vga.set(0x3ce, 8, 0xff);
  const results = [1, 2, 3].map((operation) => {
    vga.set(0x3ce, 3, operation << 3);
    vga.write(0xa0002, 1, 0b1010_1010);
    return vga.plane(3, 2);
  });
  assert.deepEqual(results, [0b1000_1000, 0b1110_1110, 0b0110_0110]);
});

Deno.test("VGA write mode 1 copies the latches, so that a byte moves four maps", () => {
  const vga = planar();
  for (let plane = 0; plane < 4; plane++) {
    vga.set(0x3c4, 2, 1 << plane);
    vga.write(0xa0010, 1, 0x11 * (plane + 1));
  }
  vga.set(0x3c4, 2, 0x0f);
  vga.set(0x3ce, 5, 0x01);
  vga.read(0xa0010);
  vga.write(0xa0020, 1, 0xee);
  assert.deepEqual(maps(vga, 0x20), [0x11, 0x22, 0x33, 0x44]);
});

Deno.test("VGA write mode 2 spreads a colour over the maps under the bit mask", () => {
  const vga = planar();
  vga.set(0x3ce, 5, 0x02);
  vga.set(0x3ce, 8, 0x80);
  vga.read(0xa0000);
  vga.write(0xa0000, 1, 0x0a);
  assert.deepEqual(maps(vga, 0), [0x00, 0x80, 0x00, 0x80]);
});

Deno.test("VGA write mode 3 uses the rotated data and the bit mask as mask of set/reset", () => {
  const vga = planar();
  vga.write(0xa0000, 1, 0xff);
  vga.read(0xa0000);
  vga.set(0x3ce, 5, 0x03);
  vga.set(0x3ce, 0, 0x06);
  vga.set(0x3ce, 3, 0x04);
  vga.set(0x3ce, 8, 0x3c);
  vga.write(0xa0000, 1, 0xf0);
  assert.deepEqual(maps(vga, 0), [0xf3, 0xff, 0xff, 0xf3]);
});

Deno.test("VGA read mode 0 gives the selected map, read mode 1 compares colours", () => {
  const vga = planar();
  for (const [plane, value] of [0b1111_0000, 0b1100_1100, 0b1010_1010, 0x00].entries()) {
    vga.set(0x3c4, 2, 1 << plane);
    vga.write(0xa0000, 1, value);
  }
  vga.set(0x3ce, 4, 0x02);
  assert.equal(vga.read(0xa0000), 0b1010_1010);
  vga.set(0x3ce, 5, 0x08);
  vga.set(0x3ce, 2, 0x05);
  vga.set(0x3ce, 7, 0x0f);
  assert.equal(vga.read(0xa0000), 0b0010_0000, "colour 5 in dot 2");
  vga.set(0x3ce, 7, 0x01);
  assert.equal(vga.read(0xa0000), 0b1111_0000, "only map 0 matters");
  vga.set(0x3ce, 7, 0x00);
  assert.equal(vga.read(0xa0000), 0xff, "no map matters");
});

Deno.test("VGA memory map select moves the window; elsewhere nothing answers", () => {
  const vga = planar();
  const answers = [0, 1, 2, 3].map((select) => {
    vga.set(0x3ce, 6, 0x01 | (select << 2));
    return [0xa0000, 0xaffff, 0xb0000, 0xb7fff, 0xb8000, 0xbffff].map((address) =>
      vga.read(address) === 0xff ? "-" : "x"
    ).join("");
  });
  assert.deepEqual(answers, ["xxxxxx", "xx----", "--xx--", "----xx"]);
});

Deno.test("VGA odd/even puts characters at even addresses of map 0, attributes of map 1", () => {
  const vga = new VgaBench().mode(3);
  vga.print(1, 0, "A", 0x1e);
  assert.deepEqual(maps(vga, 2), [0x41, 0x1e, vga.plane(2, 2), 0]);
  assert.equal(vga.read(0xb8002, 2), 0x1e41);
});

Deno.test("VGA 128 KiB window: A16 takes the place of A0 when odd/even is chained", () => {
  const vga = new VgaBench().mode(3);
  vga.set(0x3ce, 6, 0x02);
  vga.write(0xa0004, 2, 0x2211);
  vga.write(0xb0004, 2, 0x4433);
  assert.deepEqual([vga.plane(0, 4), vga.plane(1, 4)], [0x11, 0x22]);
  assert.deepEqual([vga.plane(0, 5), vga.plane(1, 5)], [0x33, 0x44]);
});

Deno.test("VGA chain 4 picks the map by A1:A0 and leaves them out of the address", () => {
  const vga = new VgaBench().mode(0x13);
  vga.write(0xa0004, 4, 0x4433_2211);
  assert.deepEqual(maps(vga, 4), [0x11, 0x22, 0x33, 0x44]);
  assert.equal(vga.read(0xa0006, 1), 0x33);
  vga.set(0x3c4, 2, 0x0e);
  vga.write(0xa0004, 1, 0xff);
  assert.equal(vga.plane(0, 4), 0x11, "the map mask holds");
});

Deno.test("VGA fonts load into map 2 from character x 32, blocks in their own order", () => {
  const vga = new VgaBench().mode(3);
  const rows = Array.from({ length: 16 }, (_, row) => vga.plane(2, 0x48 * 32 + row));
  assert.deepEqual(rows.slice(3, 12), [0x41, 0x41, 0x41, 0x41, 0x7f, 0x41, 0x41, 0x41, 0x41]);
  assert.equal(vga.read(0xb8000, 2), 0x0720, "the text is as it was");
});

/** One guest access, drawn so that plain modes, their ends and everything else come up. */
function randomAccess(random: Random): (vga: VgaBench) => number {
  if (random.below(1000) < 3) {
    const [port, index, values] = random.pick([
      [0x3c4, 2, [0x0f, 0x03, 0x01, 0x0c]],
      [0x3c4, 4, [0x02, 0x06, 0x0e]],
      [0x3ce, 1, [0x00, 0x00, 0x05]],
      [0x3ce, 3, [0x00, 0x00, 0x18]],
      [0x3ce, 4, [0x00, 0x03]],
      [0x3ce, 5, [0x10, 0x10, 0x40, 0x00, 0x01, 0x08]],
      [0x3ce, 6, [0x0e, 0x02, 0x05, 0x06]],
      [0x3ce, 8, [0xff, 0xff, 0x0f]],
    ] as [number, number, number[]][]);
    const value = random.pick(values);
    return (vga) => {
      vga.set(port, index, value);
      return 0;
    };
  }
  if (random.below(1000) < 3) {
    const isText = random.chance(50);
    return (vga) => {
      vga.set(0x3c4, 2, isText ? 0x03 : 0x0f);
      vga.set(0x3c4, 4, isText ? 0x02 : 0x0e);
      for (
        const [index, value] of [0, 0, 0, 0, 0, isText ? 0x10 : 0x40, isText ? 0x0e : 0x05, 0, 0xff]
          .entries()
      ) {
        vga.set(0x3ce, index, value);
      }
      return 0;
    };
  }
  const base = random.pick([0xa0000, 0xa0000, 0xb0000, 0xb8000]);
  const address = base + random.below(random.chance(80) ? 64 : 0x7ffc);
  const size = random.pick([1, 2, 4]);
  if (random.chance(50)) return (vga) => vga.read(address, size);
  const value = random.u32();
  return (vga) => {
    vga.write(address, size, value);
    return 0;
  };
}

Deno.test("VGA: a guest cannot tell a mapped window from one whose accesses are carried out", () => {
  seeded((random) => {
    const mapping = new VgaBench().mode(3);
    const plain = new VgaBench().mode(3);
    for (const vga of [mapping, plain]) vga.unmap();
    let mappings = 0;
    for (let i = 0; i < 60_000; i++) {
      const access = randomAccess(random);
      // The second never maps: it does not know that it could. Latches are not part of the promise.
      plain.vga.state.plain = VgaPlain.no;
      plain.vga.state.latches = mapping.vga.state.latches;
      const before = mapping.mapped;
      assert.equal(access(mapping), access(plain), `access ${i}`);
      if (before === undefined && mapping.mapped !== undefined) mappings++;
    }
    assert.equal(plain.mapped, undefined);
    assert.equal(plain.vga.state.mapped, false);
    assert.ok(mappings > 20, `${mappings} mappings`);
    for (let address = 0; address < 0x10000; address++) {
      for (let n = 0; n < 4; n++) {
        if (mapping.plane(n, address) !== plain.plane(n, address)) {
          assert.fail(`map ${n}, address ${address.toString(16)}h`);
        }
      }
    }
  });
});
