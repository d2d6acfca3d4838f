import assert from "node:assert/strict";
import type { ShadowRegisters } from "../../../hv/core/memory/memory_map.ts";
import { I440fx } from "../../../devices/pci/i440fx.ts";
import { PciFunctionState } from "../../../devices/pci/pci_function.ts";
import { deviceContract } from "../../support/contract.ts";
import { TestBench } from "../../support/test_bench.ts";
import { configPort } from "./support.ts";

deviceContract("82441FX", (bench) => {
  const device = new I440fx(bench.state(PciFunctionState), () => {});
  return {
    device,
    ports: [configPort(device.pci)],
    likely: [
      { port: 0, offset: 0x59, size: 1, values: [0, 0x30, 0x10] },
      { port: 0, offset: 0x72, size: 1, values: [0x02, 0x4a, 0x1a] },
    ],
  };
});

function pmc() {
  const changes: { after: ShadowRegisters; before: ShadowRegisters }[] = [];
  const chip = new I440fx(new TestBench().state(PciFunctionState), (after, before) => {
    changes.push({ after, before });
  });
  chip.reset();
  changes.length = 0;
  return { chip, pci: chip.pci, changes };
}

Deno.test("82441FX has the IDs that firmware knows QEMU's board by (SeaBIOS, paravirt.c)", () => {
  const { pci } = pmc();
  assert.equal(pci.configRead(0x00, 4), 0x1237_8086);
  assert.equal(pci.configRead(0x08, 4), 0x0600_0002);
  assert.equal(pci.configRead(0x2c, 4), 0x1100_1af4);
  assert.equal(pci.configRead(0x0e, 1), 0x00);
  assert.equal(pci.configRead(0x3d, 1), 0x00);
});

Deno.test("82441FX reset values (82441FX, 3.2)", () => {
  const { pci } = pmc();
  assert.equal(pci.configRead(0x04, 2), 0x0006);
  assert.equal(pci.configRead(0x06, 2), 0x0280);
  assert.equal(pci.configRead(0x58, 4), 0x0000_0010);
  assert.equal(pci.configRead(0x5c, 4), 0x0000_0000);
  assert.equal(pci.configRead(0x60, 4), 0x0101_0101);
  assert.equal(pci.configRead(0x72, 1), 0x02);
});

Deno.test("82441FX: a dword write to PAM reports segment by segment (82441FX, PAM[6:0])", () => {
  const { pci, changes } = pmc();
  // As SeaBIOS enables shadow RAM: PAM0-2 lie in the dword at 58h.
  pci.configWrite(0x58, 4, 0x3333_3010);
  pci.configWrite(0x5c, 4, 0x3333_3333);
  assert.equal(pci.configRead(0x58, 4), 0x3333_3010);
  assert.equal(changes.length, 7);
  assert.deepEqual(changes[0].before.pam, new Uint8Array(7));
  assert.deepEqual(changes[0].after.pam, Uint8Array.of(0x30, 0, 0, 0, 0, 0, 0));
  assert.deepEqual(changes[6].before.pam, Uint8Array.of(0x30, 0x33, 0x33, 0x33, 0x33, 0x33, 0));
  assert.deepEqual(changes[6].after.pam, Uint8Array.of(0x30, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33));
});

Deno.test("82441FX: PAM registers have no other bits than RE and WE (82441FX, PAM[6:0])", () => {
  const { pci, changes } = pmc();
  pci.configWrite(0x59, 2, 0xffff);
  assert.equal(pci.configRead(0x59, 2), 0x3330);
  pci.configWrite(0x59, 2, 0xffff);
  assert.equal(changes.length, 2);
});

Deno.test("82441FX: SMRAM opens, and is shut for good by DLCK (82441FX, SMRAM)", () => {
  const { chip, pci, changes } = pmc();
  pci.configWrite(0x72, 1, 0x4a);
  assert.equal(pci.configRead(0x72, 1), 0x4a);
  pci.configWrite(0x72, 1, 0x5a);
  assert.equal(pci.configRead(0x72, 1), 0x1a);
  pci.configWrite(0x72, 1, 0x4a);
  assert.equal(pci.configRead(0x72, 1), 0x1a);
  assert.deepEqual(changes.map(({ after, before }) => [before.smram, after.smram]), [
    [0x02, 0x4a],
    [0x4a, 0x1a],
  ]);
  chip.reset();
  assert.equal(pci.configRead(0x72, 1), 0x02);
});

Deno.test("82441FX tells at reset that everything reads ROM again (82441FX, PAM[6:0])", () => {
  const { chip, pci, changes } = pmc();
  pci.configWrite(0x59, 1, 0x30);
  chip.reset();
  assert.equal(changes.at(-1)!.before.pam[0], 0x30);
  assert.equal(changes.at(-1)!.after.pam[0], 0x00);
});
