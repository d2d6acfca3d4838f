import assert from "node:assert/strict";
import { e820, e820Bytes, E820Type, ramRanges } from "../../../hv/core/memory/e820.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;

Deno.test("E820 lists conventional, extended and high memory in order (ACPI 6.4, 15.1)", () => {
  const map = e820({ lowBytes: 3 * GIB, highBytes: GIB, acpiBytes: 0x2_0000 });
  assert.deepEqual(map.map(({ base, length, type }) => [base, base + length, type]), [
    [0, 0x9_fc00, E820Type.ram],
    [0x9_fc00, 0xa_0000, E820Type.reserved],
    [0xf_0000, 0x10_0000, E820Type.reserved],
    [MIB, 3 * GIB - 0x2_0000, E820Type.ram],
    [3 * GIB - 0x2_0000, 3 * GIB, E820Type.acpi],
    [0xfffb_c000, 4 * GIB, E820Type.reserved],
    [4 * GIB, 5 * GIB, E820Type.ram],
  ]);
});

Deno.test("E820 leaves out what is empty, and joins the ROM with KVM's pages only if they touch", () => {
  const tops = (romBytes: number) =>
    e820({ lowBytes: 64 * MIB, highBytes: 0, romBytes }).filter(({ base }) => base >= GIB)
      .map(({ base, length }) => [base, base + length]);
  assert.deepEqual(tops(64 * 1024), [[0xfffb_c000, 0xfffc_0000], [0xffff_0000, 4 * GIB]]);
  assert.deepEqual(tops(256 * 1024), [[0xfffb_c000, 4 * GIB]]);
  assert.deepEqual(tops(4 * MIB), [[0xffc0_0000, 4 * GIB]]);
  const types = e820({ lowBytes: 64 * MIB, highBytes: 0 }).map(({ type }) => type);
  assert.equal(types.includes(E820Type.acpi), false);
});

Deno.test("etc/e820 holds RAM and KVM's pages, 20 bytes a range (SeaBIOS, paravirt.c)", () => {
  const bytes = e820Bytes(ramRanges({ lowBytes: 3 * GIB, highBytes: GIB }));
  const data = new DataView(bytes.buffer);
  assert.equal(bytes.length, 60);
  assert.equal(data.getBigUint64(40, true), 0x1_0000_0000n);
  assert.equal(data.getBigUint64(48, true), 0x4000_0000n);
  assert.equal(data.getUint32(56, true), 1);
  assert.equal(data.getUint32(36, true), 2);
});
