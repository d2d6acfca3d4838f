import assert from "node:assert/strict";
import { LoaderScript } from "../../../devices/fw_cfg/loader.ts";

const TABLES = "etc/acpi/tables";
const RSDP = "etc/acpi/rsdp";

/** A command's number, its file names, and the bytes after them. */
function command(script: LoaderScript, index: number, names: number) {
  const bytes = script.bytes.subarray(index * 128, (index + 1) * 128);
  const text = (at: number) => new TextDecoder().decode(bytes.subarray(at, at + 56));
  return {
    number: new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true),
    names: Array.from({ length: names }, (_, i) => text(4 + i * 56).replace(/\0+$/, "")),
    operands: [...bytes.subarray(4 + names * 56, 4 + names * 56 + 12)],
  };
}

Deno.test("a loader script is made of commands of 128 bytes (bios-linker-loader)", () => {
  const script = new LoaderScript()
    .allocate(RSDP, 16, "fseg")
    .allocate(TABLES, 64, "high")
    .addPointer(RSDP, TABLES, 16, 4)
    .addChecksum(RSDP, 8, 0, 20)
    .writePointer("etc/addr", TABLES, { offset: 2, targetOffset: 40, size: 8 });
  assert.equal(script.bytes.length, 5 * 128);
  assert.deepEqual(command(script, 0, 1), {
    number: 1,
    names: [RSDP],
    operands: [16, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0],
  });
  assert.deepEqual(command(script, 1, 1).operands.slice(0, 5), [64, 0, 0, 0, 1]);
  assert.deepEqual(command(script, 2, 2), {
    number: 2,
    names: [RSDP, TABLES],
    operands: [16, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0],
  });
  assert.deepEqual(command(script, 3, 1), {
    number: 3,
    names: [RSDP],
    operands: [8, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0],
  });
  assert.deepEqual(command(script, 4, 2), {
    number: 4,
    names: ["etc/addr", TABLES],
    operands: [2, 0, 0, 0, 40, 0, 0, 0, 8, 0, 0, 0],
  });
});

Deno.test("a loader script refers only to files that it has loaded", () => {
  const script = new LoaderScript().allocate(RSDP, 16, "fseg");
  assert.throws(() => script.addPointer(RSDP, TABLES, 16, 4), /"etc\/acpi\/tables".*allocate it/);
  assert.throws(() => script.addChecksum(TABLES, 0, 0, 1), /allocate it first/);
  assert.throws(() => script.allocate(TABLES, 48, "high"), /power of two/);
  assert.throws(() => script.allocate("x".repeat(56), 1, "high"), /at most 55 bytes/);
});
