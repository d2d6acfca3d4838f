import assert from "node:assert/strict";
import { ROM_BYTES, romCode, romImage, VECTORS } from "../../bios/rom/rom.ts";
import { FIRMWARE_PORT } from "../../bios/rom/stub_names.ts";

const image = romImage();
const data = new DataView(image.buffer);

/** Where the near jump at a fixed entry leads. */
function target(at: number): number {
  assert.equal(image[at], 0xe9, `a jump at ${at.toString(16)}h`);
  return (at + 3 + data.getInt16(at + 1, true)) & 0xffff;
}

const sum = (bytes: Uint8Array) => bytes.reduce((total, byte) => total + byte, 0) & 0xff;

const find = (signature: string): number[] => {
  const text = new TextDecoder("latin1").decode(image);
  const found: number[] = [];
  for (let at = text.indexOf(signature); at >= 0; at = text.indexOf(signature, at + 1)) {
    found.push(at);
  }
  return found;
};

Deno.test("rom begins at the reset vector with a far jump to FE05Bh", () => {
  assert.equal(image.length, ROM_BYTES);
  assert.deepEqual([...image.subarray(0xfff0, 0xfff5)], [0xea, 0x5b, 0xe0, 0x00, 0xf0]);
  assert.equal(image[0xfffe], 0xfc, "model byte of a PC/AT");
  assert.match(new TextDecoder().decode(image.subarray(0xfff5, 0xfffd)), /^\d\d\/\d\d\/\d\d$/);
});

Deno.test("rom has the entry points that programs know by address", () => {
  const entries = [
    [0xe05b, "reset"],
    [0xe3fe, "int13"],
    [0xe6f2, "int19"],
    [0xe739, "int14"],
    [0xe82e, "int16"],
    [0xe987, "int09"],
    [0xec59, "int13"],
    [0xef57, "int0e"],
    [0xefd2, "int17"],
    [0xf065, "int10"],
    [0xf841, "int12"],
    [0xf84d, "int11"],
    [0xf859, "int15"],
    [0xfe6e, "int1a"],
    [0xfea5, "int08"],
  ] as const;
  for (const [at, label] of entries) assert.equal(target(at), romCode().vector(label), label);
  assert.equal(image[0xff53], 0xcf, "dummy IRET");
});

Deno.test("rom's configuration and diskette tables are those of the technical reference", () => {
  assert.deepEqual([...image.subarray(0xe6f5, 0xe6fb)], [8, 0, 0xfc, 0x01, 0x00, 0x74]);
  // 512 bytes a sector, 18 sectors a track, fill F6h.
  assert.deepEqual([image[0xefca], image[0xefcb], image[0xefcf]], [2, 18, 0xf6]);
});

Deno.test("rom's stubs call the port with OUT imm8 and each address means one service", () => {
  const { services } = romCode();
  for (const [at] of services) {
    assert.deepEqual([image[at], image[at + 1]], [0xe6, FIRMWARE_PORT]);
    assert.equal(services.get(at + 2), undefined, "the address behind is unambiguous");
  }
  assert.equal(services.get(romCode().vector("int13")), "int13");
});

Deno.test("rom's BIOS32 directory and $PIR lie on paragraphs and add up to zero", () => {
  const [bios32] = find("_32_").filter((at) => at % 16 === 0);
  assert.equal(sum(image.subarray(bios32, bios32 + 16)), 0);
  assert.equal(data.getUint32(bios32 + 4, true), 0xf0000 + romCode().vector("bios32"));
  const [pir] = find("$PIR").filter((at) => at % 16 === 0);
  const length = data.getUint16(pir + 6, true);
  assert.equal(sum(image.subarray(pir, pir + length)), 0);
  assert.equal((length - 32) % 16, 0);
  // Slot of device 3: INTA goes to PIRQC (62h).
  const slot = pir + 32 + 2 * 16;
  assert.deepEqual([...image.subarray(slot, slot + 3)], [0, 3 << 3, 0x62]);
});

Deno.test("rom's fonts show a glyph for A in all three heights", () => {
  for (const [at, height] of [[0xc000, 16], [0xd000, 14], [0xfa6e, 8]]) {
    const glyph = image.subarray(at + 0x41 * height, at + 0x42 * height);
    assert.ok(glyph.some((row) => row !== 0), `${height} lines`);
  }
});

Deno.test("rom takes tables of others and refuses to have its code overwritten", () => {
  const table = romImage([{ address: 0xf0010, bytes: new Uint8Array([1, 2, 3]) }]);
  assert.deepEqual([...table.subarray(0x10, 0x13)], [1, 2, 3]);
  const bytes = new Uint8Array(16);
  assert.throws(() => romImage([{ address: 0xf9bf8, bytes }]), /F9BFFh/);
  assert.deepEqual(romImage([{ address: 0x7fff000, bytes }]), image, "what is in RAM is POST's");
});

Deno.test("rom's vectors all lead into the ROM", () => {
  for (const [vector, at] of VECTORS) {
    const offset = romCode().vector(at);
    assert.ok(offset >= 0xa000 && offset < 0x10000, vector.toString(16));
  }
});
