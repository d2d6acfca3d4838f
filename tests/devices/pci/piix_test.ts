import assert from "node:assert/strict";
import { IoBus } from "../../../hv/core/bus/io_bus.ts";
import { Piix3 } from "../../../devices/pci/piix3.ts";
import { Piix3Ide } from "../../../devices/pci/piix3_ide.ts";
import { Piix4Pm } from "../../../devices/pci/piix4_pm.ts";
import { PciFunctionState } from "../../../devices/pci/pci_function.ts";
import { PirqRouter, PirqRouterState } from "../../../devices/pci/pirq_router.ts";
import { ResetControl, ResetControlState } from "../../../devices/system/reset_control.ts";
import { deviceContract } from "../../support/contract.ts";
import { TestBench } from "../../support/test_bench.ts";
import { configPort, pciBus } from "./support.ts";

const echo = { read: (offset: number) => offset, write: () => {} };
const portBus = () => new IoBus("port", 0x10000, new Int32Array(1));

function bridgeOn(bench: TestBench) {
  const irqs = Array.from({ length: 16 }, (_, i) => bench.irq(`irq${i}`));
  const lock = bench.arena.lock("pirq");
  const router = new PirqRouter(bench.state(PirqRouterState), lock, irqs);
  return { bridge: new Piix3(bench.state(PciFunctionState), router), router, irqs };
}

deviceContract("82371SB bridge", (bench) => {
  const { bridge, router } = bridgeOn(bench);
  return {
    device: bridge,
    ports: [configPort(bridge.pci)],
    likely: [{ port: 0, offset: 0x60, size: 4, values: [0x0b0b_0a0a, 0x8080_8080] }],
    events: [(random) => router.pin(random.below(32), 0, 1).update(() => random.chance(50))],
  };
});

deviceContract("82371SB IDE", (bench) => {
  const device = new Piix3Ide(bench.state(PciFunctionState), { device: echo });
  return { device, ports: [configPort(device.pci)] };
});

deviceContract("82371AB power management", (bench) => {
  const ports = portBus();
  const device = new Piix4Pm(bench.state(PciFunctionState), { ports, pm: { device: echo } });
  return { device, ports: [configPort(device.pci)] };
});

deviceContract("reset control", (bench) => {
  const handler = new ResetControl(bench.state(ResetControlState), () => {});
  return { device: handler, ports: [{ handler, length: 1, sizes: [1] }] };
});

Deno.test("82371SB function 0 is a multifunction ISA bridge (82371SB, 2.2)", () => {
  const { bridge } = bridgeOn(new TestBench());
  bridge.reset();
  assert.equal(bridge.pci.configRead(0x00, 4), 0x7000_8086);
  assert.equal(bridge.pci.configRead(0x08, 4), 0x0601_0000);
  assert.equal(bridge.pci.configRead(0x0e, 1), 0x80);
  assert.equal(bridge.pci.configRead(0x04, 2), 0x0007);
  assert.equal(bridge.pci.configRead(0x4c, 4), 0x0003_004d);
  assert.equal(bridge.pci.configRead(0x60, 4), 0x8080_8080);
});

Deno.test("PIRQRC leads a slot's pin to the interrupt that firmware writes (82371SB, PIRQRC)", () => {
  const { bridge, router, irqs } = bridgeOn(new TestBench());
  bridge.reset();
  const pin = router.pin(3, 0, 1);
  pin.update(() => true);
  // SeaBIOS routes PIRQA# and PIRQB# to 10, PIRQC# and PIRQD# to 11.
  bridge.pci.configWrite(0x60, 4, 0x0b0b_0a0a);
  assert.deepEqual([irqs[10].level, irqs[11].level], [false, true]);
  bridge.pci.configWrite(0x62, 1, 0xff);
  assert.equal(bridge.pci.configRead(0x62, 1), 0x8f);
  assert.equal(irqs[11].level, false);
});

Deno.test("82371SB function 1 is an IDE controller in legacy mode (82371SB, 2.3)", () => {
  const ide = new Piix3Ide(new TestBench().state(PciFunctionState), undefined);
  ide.reset();
  assert.equal(ide.pci.configRead(0x00, 4), 0x7010_8086);
  assert.equal(ide.pci.configRead(0x08, 4), 0x0101_8000);
  assert.equal(ide.pci.configRead(0x20, 4), 0x0000_0001);
  ide.pci.configWrite(0x40, 4, 0x8000_8000);
  assert.equal(ide.pci.configRead(0x40, 4), 0x8000_8000);
});

Deno.test("BMIBA places the bus master block of 16 ports (82371SB, BMIBA)", () => {
  const bench = new TestBench();
  const { bus, ports, write } = pciBus(bench);
  const { bridge } = bridgeOn(bench);
  const ide = new Piix3Ide(bench.state(PciFunctionState, "ide"), { device: echo });
  bridge.reset();
  ide.reset();
  bus.attach(1, 0, bridge.pci);
  bus.attach(1, 1, ide.pci);
  write(1, 1, 0x20, 4, 0xffff_ffff);
  assert.equal(ide.pci.configRead(0x20, 4), 0xffff_fff1);
  write(1, 1, 0x20, 4, 0xc040);
  write(1, 1, 0x04, 2, 5);
  assert.equal(ports.read(0xc04f, 1), 15);
  assert.equal(ports.read(0xc050, 1), 0xff);
  assert.equal(ide.pci.isMaster, true);
  write(1, 1, 0x04, 2, 0xffff);
  assert.equal(ide.pci.configRead(0x04, 2), 5);
});

function powerManagement() {
  const ports = portBus();
  const chip = new Piix4Pm(new TestBench().state(PciFunctionState), {
    ports,
    pm: { device: echo },
    smbus: { device: echo },
  });
  chip.reset();
  return { chip, pci: chip.pci, ports };
}

Deno.test("82371AB function 3 shows pin INTA# and that SMM is set up (82371AB, 7.1)", () => {
  const { pci } = powerManagement();
  assert.equal(pci.configRead(0x00, 4), 0x7113_8086);
  assert.equal(pci.configRead(0x08, 4), 0x0680_0003);
  assert.equal(pci.configRead(0x3d, 1), 1);
  // SeaBIOS, smm.c: APMC_EN, bit 25 of DEVACTB.
  assert.equal(pci.configRead(0x58, 4) & 0x0200_0000, 0x0200_0000);
});

Deno.test("PMBA and PMREGMISC place 64 ports of power management (82371AB, PMBA)", () => {
  const { chip, pci, ports } = powerManagement();
  assert.equal(pci.configRead(0x40, 4), 0x0000_0001);
  pci.configWrite(0x40, 4, 0xffff_ffff);
  assert.equal(pci.configRead(0x40, 4), 0x0000_ffc1);
  pci.configWrite(0x40, 4, 0x0000_0601);
  assert.equal(ports.read(0x608, 1), 0xff);
  pci.configWrite(0x80, 1, 1);
  assert.equal(ports.read(0x608, 1), 8);
  assert.equal(ports.read(0x63f, 1), 63);
  assert.equal(ports.read(0x640, 1), 0xff);
  pci.configWrite(0x40, 4, 0x0000_b001);
  assert.equal(ports.read(0x608, 1), 0xff);
  assert.equal(ports.read(0xb008, 1), 8);
  chip.reset();
  assert.equal(ports.read(0xb008, 1), 0xff);
});

Deno.test("SMBBA and SMBHSTCFG place 16 ports of SMBus (82371AB, SMBBA)", () => {
  const { pci, ports } = powerManagement();
  // As SeaBIOS writes them: base B100h, enable with IRQ 9.
  pci.configWrite(0x90, 4, 0xb101);
  assert.equal(ports.read(0xb10f, 1), 0xff);
  pci.configWrite(0xd2, 1, 0x09);
  assert.equal(ports.read(0xb10f, 1), 15);
  assert.equal(ports.read(0xb110, 1), 0xff);
});
