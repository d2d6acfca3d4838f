import assert from "node:assert/strict";
import * as aml from "../../bios/tables/acpi/aml.ts";
import * as resource from "../../bios/tables/acpi/aml_resources.ts";

const chars = (text: string) => Array.from(text, (char) => char.charCodeAt(0));

Deno.test("AML names: padded, dual, multiple, root and parent prefixes (ACPI 6.4, 20.2.2)", () => {
  assert.deepEqual(aml.path("FOO"), chars("FOO_"));
  assert.deepEqual(aml.path("\\_SB.PCI0"), [0x5c, 0x2e, ...chars("_SB_PCI0")]);
  assert.deepEqual(aml.path("^^A.B.C"), [0x5e, 0x5e, 0x2f, 3, ...chars("A___B___C___")]);
  assert.deepEqual(aml.path("\\"), [0x5c, 0]);
  assert.throws(() => aml.path("lower"), /Cannot make an AML name of "lower"/);
  assert.throws(() => aml.path("FIVE5"), /Cannot make an AML name/);
});

Deno.test("AML package lengths count themselves: 1 to 4 bytes (ACPI 6.4, 20.2.4)", () => {
  const start = (count: number) => aml.scope("\\", new Array<number>(count).fill(0xa3)).slice(1);
  assert.deepEqual(start(1).slice(0, 4), [4, 0x5c, 0, 0xa3]);
  assert.deepEqual(start(60).slice(0, 1), [63], "the largest of one byte");
  assert.deepEqual(start(61).slice(0, 2), [0x41, 0x04], "65 in two");
  assert.deepEqual(start(4096).slice(0, 3), [0x80 | 5, 0x00, 0x01], "4101 in three");
  assert.deepEqual(start(1 << 20).slice(0, 4), [0xc0 | 6, 0, 0, 1], "1048582 in four");
});

Deno.test("AML integers are as short as they can be (ACPI 6.4, 20.2.3)", () => {
  assert.deepEqual(aml.integer(0), [0x00]);
  assert.deepEqual(aml.integer(1), [0x01]);
  assert.deepEqual(aml.integer(2), [0x0a, 2]);
  assert.deepEqual(aml.integer(0x1234), [0x0b, 0x34, 0x12]);
  assert.deepEqual(aml.integer(0xfee0_0000), [0x0c, 0, 0, 0xe0, 0xfe]);
});

Deno.test("EISAID packs three letters and four digits (ACPI 6.4, 19.3.4)", () => {
  assert.deepEqual(aml.eisaId("PNP0A03"), [0x0c, 0x41, 0xd0, 0x0a, 0x03]);
  assert.throws(() => aml.eisaId("PNP0"), /Cannot make an EISA ID/);
});

Deno.test("resource descriptors have their tags, lengths and values (ACPI 6.4, 6.4)", () => {
  assert.deepEqual(resource.io(0x3f8, 8), [0x47, 1, 0xf8, 3, 0xf8, 3, 1, 8]);
  assert.deepEqual(resource.isaIrq(4), [0x22, 0x10, 0]);
  assert.deepEqual(resource.isaDma(2), [0x2a, 4, 0]);
  assert.deepEqual(resource.levelInterrupts([10]), [0x89, 6, 0, 9, 1, 10, 0, 0, 0]);
  const hole = resource.memoryRange(0x8000_0000, 0xfebf_ffff);
  assert.deepEqual(hole.slice(0, 6), [0x87, 23, 0, 0, 0x0c, 1]);
  assert.deepEqual(hole.slice(6), [
    ...[0, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0xff, 0xbf, 0xfe, 0, 0, 0, 0],
    ...[0, 0, 0xc0, 0x7e],
  ]);
  assert.equal(resource.memoryRange64(2 ** 34, 2 ** 35 - 1)[1], 43);
  assert.deepEqual(resource.resources().slice(-2), [0x79, 0]);
});
