import assert from "node:assert/strict";
import { Piix4Smbus, Piix4SmbusState } from "../../../devices/pci/piix4_smbus.ts";
import { deviceContract } from "../../support/contract.ts";
import { TestBench } from "../../support/test_bench.ts";

deviceContract("82371AB SMBus", (bench) => {
  const handler = new Piix4Smbus(bench.state(Piix4SmbusState));
  return { device: handler, ports: [{ handler, length: 16, sizes: [1] }] };
});

function smbus() {
  const chip = new Piix4Smbus(new TestBench().state(Piix4SmbusState));
  chip.reset();
  return chip;
}

Deno.test("a transfer on an empty SMBus ends at once with DEV_ERR (82371AB, SMBHSTSTS)", () => {
  const chip = smbus();
  chip.write(0x4, 1, 0xa1);
  chip.write(0x2, 1, 0x48);
  assert.equal(chip.read(0x0, 1), 0x04);
  assert.equal(chip.read(0x2, 1), 0x08);
  assert.equal(chip.read(0x4, 1), 0xa1);
  chip.write(0x0, 1, 0x1e);
  assert.equal(chip.read(0x0, 1), 0x00);
});

Deno.test("KILL ends a transfer with FAILED (82371AB, SMBHSTCNT)", () => {
  const chip = smbus();
  chip.write(0x2, 1, 0x42);
  assert.equal(chip.read(0x0, 1), 0x10);
});

Deno.test("a read of SMBHSTCNT rewinds the 32 bytes of SMBBLKDAT (82371AB, SMBBLKDAT)", () => {
  const chip = smbus();
  for (let i = 0; i < 32; i++) chip.write(0x7, 1, i + 1);
  assert.equal(chip.read(0x7, 1), 1);
  assert.equal(chip.read(0x7, 1), 2);
  chip.read(0x2, 1);
  assert.equal(chip.read(0x7, 1), 1);
});

Deno.test("slave status stays 0, and beyond Dh there is nothing (82371AB, 7.3)", () => {
  const chip = smbus();
  chip.write(0x1, 1, 0xff);
  chip.write(0xe, 1, 0);
  assert.deepEqual([chip.read(0x1, 1), chip.read(0xe, 1), chip.read(0xf, 1)], [0, 0xff, 0xff]);
});
