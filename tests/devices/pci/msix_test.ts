import assert from "node:assert/strict";
import { Msix, msixState } from "../../../devices/pci/msix.ts";
import { PciFunction, PciFunctionState } from "../../../devices/pci/pci_function.ts";
import { record, u32 } from "../../../hv/core/state/record.ts";
import { deviceContract } from "../../support/contract.ts";
import { TestBench } from "../../support/test_bench.ts";
import { configPort } from "./support.ts";

const VECTORS = 3;
const CONTROL = 0x42;
const ENABLE = 0x8000;
const FUNCTION_MASK = 0x4000;
const PBA = 0x800;

const SentState = record("test.sent", 1, { count: u32, address: u32, data: u32 });

function msixOn(bench: TestBench) {
  const sent = bench.arena.allocate(SentState, "bench.sent");
  const lock = bench.arena.lock("device");
  const msix = new Msix({
    state: bench.state(msixState(VECTORS)),
    lock,
    barIndex: 1,
    offset: 0x40,
    sendMsi: (address, data) => {
      sent.count++;
      sent.address = address % 2 ** 32;
      sent.data = data;
    },
  });
  const pci = new PciFunction(bench.state(PciFunctionState), {
    identity: { vendor: 0x1af4, device: 0x1041, revision: 1, classCode: 0 },
    bars: [msix.bar],
    capabilities: [msix.capability],
  });
  const reset = () => {
    pci.reset();
    msix.reset();
  };
  return { msix, pci, lock, sent, window: msix.bar.device!, reset };
}

deviceContract("msi-x", (bench) => {
  const { msix, pci, lock, window, reset } = msixOn(bench);
  return {
    device: { reset },
    ports: [configPort(pci), { handler: window, length: 0x1000, sizes: [4] }],
    events: [(random) => lock.with(() => msix.send(random.below(5)))],
    likely: [
      { port: 0, offset: CONTROL, size: 2, values: [0, ENABLE, ENABLE | FUNCTION_MASK] },
      { port: 1, offset: 12, size: 4, values: [0, 1] },
      { port: 1, offset: 28, size: 4, values: [0, 1] },
    ],
  };
});

const started = () => {
  const made = msixOn(new TestBench());
  made.reset();
  for (let vector = 0; vector < VECTORS; vector++) {
    made.window.write(vector * 16, 4, 0xfee0_1000 + vector * 4);
    made.window.write(vector * 16 + 8, 4, 0x4040 + vector);
    made.window.write(vector * 16 + 12, 4, 0);
  }
  return made;
};

Deno.test("the capability names the table's BAR, its size less one, and the PBA (PCI 3.0, 6.8.2)", () => {
  const { pci } = started();
  assert.equal(pci.configRead(0x40, 1), 0x11);
  assert.equal(pci.configRead(CONTROL, 2), VECTORS - 1);
  assert.equal(pci.configRead(0x44, 4), 1);
  assert.equal(pci.configRead(0x48, 4), PBA | 1);
  pci.configWrite(CONTROL, 2, 0xffff);
  assert.equal(pci.configRead(CONTROL, 2), ENABLE | FUNCTION_MASK | (VECTORS - 1));
});

Deno.test("entries are masked after a reset (6.8.2.9)", () => {
  const { window, reset } = started();
  reset();
  for (let vector = 0; vector < VECTORS; vector++) {
    assert.equal(window.read(vector * 16 + 12, 4), 1);
  }
});

Deno.test("an enabled vector sends its address and data", () => {
  const { msix, pci, sent } = started();
  msix.send(1);
  assert.equal(sent.count, 0, "not before MSI-X is enabled");
  pci.configWrite(CONTROL, 2, ENABLE);
  msix.send(1);
  assert.deepEqual([sent.count, sent.address, sent.data], [1, 0xfee0_1004, 0x4041]);
  msix.send(VECTORS);
  assert.equal(sent.count, 1);
});

Deno.test("a masked vector waits in the PBA, once, until its mask goes (6.8.2.10)", () => {
  const { msix, pci, sent, window } = started();
  pci.configWrite(CONTROL, 2, ENABLE);
  window.write(2 * 16 + 12, 4, 1);
  msix.send(2);
  msix.send(2);
  assert.equal(sent.count, 0);
  assert.equal(window.read(PBA, 4), 1 << 2);
  window.write(PBA, 4, 0);
  assert.equal(window.read(PBA, 4), 1 << 2, "the PBA is read only");
  window.write(2 * 16 + 12, 4, 0);
  assert.deepEqual([sent.count, sent.data], [1, 0x4042]);
  assert.equal(window.read(PBA, 4), 0);
});

Deno.test("the function mask holds all vectors back (6.8.2.3)", () => {
  const { msix, pci, sent } = started();
  pci.configWrite(CONTROL, 2, ENABLE | FUNCTION_MASK);
  msix.send(0);
  msix.send(1);
  assert.equal(sent.count, 0);
  pci.configWrite(CONTROL, 2, ENABLE);
  assert.equal(sent.count, 2);
});
