import assert from "node:assert/strict";
import type { BoardDescription } from "../../bios/tables/board_description.ts";
import { describeBoard } from "../../hv/pc/firmware/firmware_tables.ts";
import { buildSmbios, EntryPointOffset, placeSmbios } from "../../bios/tables/smbios.ts";

const MIB = 1 << 20;
const small = describeBoard({ cpus: 2, lowRamBytes: 128 * MIB, highRamBytes: 0 });
const large = describeBoard({ cpus: 1, lowRamBytes: 3072 * MIB, highRamBytes: 17_408 * MIB });
const identity = {
  version: "1.2.3",
  uuid: Uint8Array.from({ length: 16 }, (_, i) => 0x10 + i),
};
const sum = (bytes: Uint8Array) => bytes.reduce((total, byte) => (total + byte) & 0xff, 0);

interface Parsed {
  readonly type: number;
  readonly handle: number;
  readonly view: DataView;
  readonly strings: string[];
}

/** The structures as a reader takes them apart (6.1). */
function parse(board: BoardDescription): Parsed[] {
  const { structures, entryPoint } = buildSmbios(board, identity);
  const found: Parsed[] = [];
  for (let at = 0; at < structures.length;) {
    const length = structures[at + 1];
    const view = new DataView(structures.buffer, at, length);
    let end = at + length;
    while (structures[end] !== 0 || structures[end + 1] !== 0) end++;
    const text = new TextDecoder().decode(structures.subarray(at + length, end));
    const strings = text === "" ? [] : text.split("\0");
    found.push({ type: structures[at], handle: view.getUint16(2, true), view, strings });
    at = end + 2;
  }
  const count = new DataView(entryPoint.buffer).getUint16(EntryPointOffset.STRUCTURE_COUNT, true);
  assert.equal(found.length, count);
  return found;
}

Deno.test("SMBIOS: the entry point has both checksums and says where the structures are (DSP0134 2.8, 5.2.1)", () => {
  const tables = buildSmbios(small, identity);
  const placed = placeSmbios(tables, 0x000e_1230);
  const view = new DataView(placed.buffer);
  assert.equal(placed.length, 31);
  assert.equal(new TextDecoder().decode(placed.subarray(0, 4)), "_SM_");
  assert.equal(new TextDecoder().decode(placed.subarray(16, 21)), "_DMI_");
  assert.equal(sum(placed), 0);
  assert.equal(sum(placed.subarray(16)), 0);
  assert.deepEqual([placed[6], placed[7], placed[30]], [2, 8, 0x28]);
  assert.equal(view.getUint32(EntryPointOffset.TABLE_ADDRESS, true), 0x000e_1230);
  assert.equal(view.getUint16(EntryPointOffset.TABLE_LENGTH, true), tables.structures.length);
  assert.equal(sum(tables.entryPoint), 0, "before it is placed, too");
});

Deno.test("SMBIOS: the structures that are required, with their lengths of 2.8 (DSP0134 2.8, 6.2, 7)", () => {
  const lengths = (board: BoardDescription) =>
    parse(board).map(({ type, view }) => [type, view.byteLength]);
  const start = [[0, 24], [1, 27], [3, 22]];
  assert.deepEqual(lengths(small), [
    ...start,
    ...[[4, 42], [4, 42], [16, 23], [17, 40], [19, 31], [32, 11], [127, 4]],
  ]);
  assert.deepEqual(lengths(large), [
    ...start,
    ...[[4, 42], [16, 23], [17, 40], [17, 40], [19, 31], [19, 31], [32, 11], [127, 4]],
  ]);
  const handles = parse(large).map(({ handle }) => handle);
  assert.equal(new Set(handles).size, handles.length, "handles are unique (6.1.2)");
});

Deno.test("SMBIOS: every string number has its string (DSP0134 2.8, 6.1.3)", () => {
  const numbers: Record<number, number[]> = { 0: [4, 5, 8], 1: [4, 5, 6], 3: [4], 4: [4, 7] };
  for (const { type, view, strings } of parse(small)) {
    for (const at of numbers[type] ?? []) {
      assert.ok(strings[view.getUint8(at) - 1] !== undefined, `type ${type}, offset ${at}`);
    }
  }
  const [firmware, system] = parse(small);
  assert.equal(firmware.strings[1], "1.2.3");
  assert.equal(system.strings[0], "hv");
});

Deno.test("SMBIOS: the UUID's first three fields are little-endian (DSP0134 2.8, 7.2.1)", () => {
  const { view } = parse(small)[1];
  const uuid = Array.from({ length: 16 }, (_, i) => view.getUint8(8 + i));
  assert.deepEqual(uuid, [
    ...[0x13, 0x12, 0x11, 0x10, 0x15, 0x14, 0x17, 0x16],
    ...[0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f],
  ]);
});

Deno.test("SMBIOS: memory array, devices and addresses add up to the RAM (DSP0134 2.8, 7.17, 7.18, 7.20)", () => {
  for (const board of [small, large]) {
    const all = parse(board);
    const ram = board.lowRamBytes + board.highRamBytes;
    const [array] = all.filter(({ type }) => type === 16);
    const modules = all.filter(({ type }) => type === 17);
    assert.equal(array.view.getUint32(7, true) * 1024, ram);
    assert.equal(array.view.getUint16(13, true), modules.length);
    const sizes = modules.map(({ view }) => view.getUint16(12, true) * MIB);
    assert.equal(sizes.reduce((a, b) => a + b), ram);
    for (const { view } of modules) assert.equal(view.getUint16(4, true), array.handle);
    const ranges = all.filter(({ type }) => type === 19).map(({ view }) => [
      view.getUint32(4, true) * 1024,
      (view.getUint32(8, true) + 1) * 1024,
    ]);
    const high = board.highRamBytes > 0 ? [[2 ** 32, 2 ** 32 + board.highRamBytes]] : [];
    assert.deepEqual(ranges, [[0, board.lowRamBytes], ...high]);
  }
});

Deno.test("SMBIOS: beyond 2 TiB the extended fields say how much (DSP0134 2.8, 7.17)", () => {
  const huge = { ...large, highRamBytes: 4 * 2 ** 40 };
  const [array] = parse(huge).filter(({ type }) => type === 16);
  assert.equal(array.view.getUint32(7, true), 0x8000_0000);
  assert.equal(array.view.getBigUint64(15, true), BigInt(huge.lowRamBytes + huge.highRamBytes));
  const high = parse(huge).filter(({ type }) => type === 19)[1];
  assert.equal(high.view.getUint32(4, true), 0xffff_ffff);
  assert.equal(high.view.getBigUint64(15, true), 2n ** 32n);
});
