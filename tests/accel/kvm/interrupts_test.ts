/** Interrupts into the guest, and doorbells out of it. */

import assert from "node:assert/strict";
import { CpuState, Exit } from "../../../hv/accel/mod.ts";
import { emulatesRealMode } from "../../../hv/accel/kvm/host.ts";
import { pcRoutes } from "../../../hv/accel/kvm/routing.ts";
import { EventFd } from "../../../hv/sys/wait/event_fd.ts";
import { waitReadable } from "../../../hv/sys/wait/poll.ts";
import { accessValue, kvmTest, runToExit, START, TestMachine } from "./test_machine.ts";

const out = (port: number, value: number) => [0xb0, value, 0xe6, port]; // mov al, value; out port, al

/** Sets the 8259s up for vectors 20h and 28h, all lines open, and waits for interrupts. */
const WAIT_FOR_INTERRUPTS = [
  ...[...out(0x20, 0x11), ...out(0x21, 0x20), ...out(0x21, 0x04), ...out(0x21, 0x01)],
  ...[...out(0xa0, 0x11), ...out(0xa1, 0x28), ...out(0xa1, 0x02), ...out(0xa1, 0x01)],
  ...[...out(0x21, 0x00), ...out(0xa1, 0x00)],
  ...[0xe6, 0xe0], // out 0E0h, al: ready
  ...[0xfb], // sti
  ...[0xf4], // again: hlt
  ...[0xeb, 0xfd], // jmp again
];

/** Makes the handler of `vector` write the vector to port E1h and end the interrupt. */
function installHandler(machine: TestMachine, vector: number): void {
  const address = 0x4000 + vector * 32;
  new DataView(machine.memory.buffer).setUint32(vector * 4, address, true);
  const handler = [...out(0xe1, vector), ...out(0xa0, 0x20), ...out(0x20, 0x20), 0xcf];
  machine.bytes.set(handler, address);
}

function waiting(...vectors: number[]): TestMachine {
  const machine = new TestMachine();
  for (const vector of vectors) installHandler(machine, vector);
  machine.start(WAIT_FOR_INTERRUPTS);
  machine.expectOut(0xe0, 0);
  return machine;
}

kvmTest("a raised line reaches its 8259's vector once an edge, on both 8259s", () => {
  using machine = waiting(0x25, 0x2b);
  for (let i = 0; i < 3; i++) {
    machine.vm.setIrq(5, true);
    machine.expectOut(0xe1, 0x25);
    machine.vm.setIrq(5, false);
    machine.vm.setIrq(11, true);
    machine.expectOut(0xe1, 0x2b);
    machine.vm.setIrq(11, false);
  }
});

kvmTest("an eventfd raises an interrupt without an exit, until it is detached", () => {
  using machine = waiting(0x25, 0x26);
  using event = new EventFd();
  machine.vm.attachIrqFd(5, event.fd);
  event.signal();
  machine.expectOut(0xe1, 0x25);
  machine.vm.detachIrqFd(5, event.fd);
  event.signal();
  machine.vm.setIrq(6, true);
  machine.expectOut(0xe1, 0x26);
});

kvmTest("a message-signalled interrupt reaches the local APIC that its address names", () => {
  using machine = waiting(0x45);
  const state = new CpuState(new ArrayBuffer(CpuState.byteLength));
  machine.vcpu.save(state);
  state.apic.set([0xff, 0x01], 0xf0); // spurious-interrupt vector register: enabled
  machine.vcpu.restore(state);
  machine.vm.sendMsi(0xfee0_0000, 0x45);
  machine.expectOut(0xe1, 0x45);
});

kvmTest("a message to a local APIC that there is not, or of no kind, is lost, not an error", () => {
  using machine = waiting();
  for (
    const [address, data] of [
      [0xfee7_7000, 0x45], // APIC ID 77h
      [0xfee0_0000, 0x45], // one that is not enabled
      [0xfee0_0000, 0x345], // delivery mode 3: reserved
      [0xfee0_0000, 0xffff_ffff],
      [0xfee0_0004, 0], // logical, nobody's, vector 0
      [0xfeef_f00c, 0x45], // the lowest priority of all, of whom none takes it
      [0, 0],
      [0xffff_fffc, 0xffff_ffff],
      [0xfee0_0000 + 0xffff_ffff * 2 ** 32, 0x45],
      [2 ** 64 - 2048, 0x45],
    ]
  ) {
    machine.vm.sendMsi(address, data);
  }
});

kvmTest("the 8254 in the kernel interrupts at the rate that the guest programs", () => {
  using machine = new TestMachine();
  installHandler(machine, 0x20);
  machine.start([
    ...[...out(0x43, 0x34), ...out(0x40, 0xa9), ...out(0x40, 0x04)], // mode 2, 1193: 1 ms
    ...WAIT_FOR_INTERRUPTS,
  ]);
  machine.expectOut(0xe0, 0);
  for (let i = 0; i < 3; i++) machine.expectOut(0xe1, 0x20);
});

kvmTest("a doorbell at a port is an eventfd and not an exit, for its width and value", () => {
  using machine = new TestMachine();
  using any = new EventFd();
  using seven = new EventFd();
  const port = { space: "port", address: 0x500, size: 2 } as const;
  const valued = { space: "port", address: 0x510, size: 2, value: 7 } as const;
  machine.vm.attachDoorbell(port, any.fd);
  machine.vm.attachDoorbell(valued, seven.fd);
  machine.start([
    ...[0xba, 0x00, 0x05, 0xb8, 0x07, 0x00, 0xef], // mov dx, 500h; mov ax, 7; out dx, ax
    ...[0xba, 0x10, 0x05, 0xef], // mov dx, 510h; out dx, ax
    ...[0xb8, 0x08, 0x00, 0xef], // mov ax, 8; out dx, ax
    ...[0xba, 0x00, 0x05, 0xef, 0xee], // mov dx, 500h; out dx, ax; out dx, al
  ]);
  machine.expectOut(0x510, 8, 2);
  assert.equal(seven.take(), 1);
  machine.expectOut(0x500, 8, 1);
  assert.equal(any.take(), 2);
  machine.vm.detachDoorbell(port, any.fd);
  machine.vcpu.registers.load();
  machine.vcpu.registers.ip = START;
  machine.vcpu.registers.store();
  machine.expectOut(0x500, 7, 2);
  assert.equal(waitReadable(any.fd, 0), false);
});

kvmTest("a doorbell in memory is an eventfd and not an exit", () => {
  using machine = new TestMachine();
  using event = new EventFd();
  const bell = { space: "memory", address: 0x10_0010, size: 4 } as const;
  machine.vm.attachDoorbell(bell, event.fd);
  machine.start([
    ...[0xb8, 0xff, 0xff, 0x8e, 0xd8], // mov ax, 0FFFFh; mov ds, ax
    ...[0x66, 0xa3, 0x20, 0x00], // mov [20h], eax: 100010h
    ...[0xa3, 0x24, 0x00], // mov [24h], ax: 100014h
  ]);
  assert.equal(runToExit(machine.vcpu), Exit.mmio);
  assert.equal(machine.vcpu.access.address, 0x10_0014);
  assert.equal(accessValue(machine.vcpu), 0xffff);
  assert.equal(event.take(), 1);
});

Deno.test("the timer's GSI 0 reaches pin 2 of the I/O APIC, all others the pin of their number", () => {
  const MASTER = 0, SLAVE = 1, IOAPIC = 2;
  const routes = pcRoutes();
  const pins = (gsi: number) =>
    routes.filter((route) => route.gsi === gsi).map(({ chip, pin }) => [chip, pin]);
  assert.deepEqual(pins(0), [[MASTER, 0], [IOAPIC, 2]]);
  assert.deepEqual(pins(1), [[MASTER, 1], [IOAPIC, 1]]);
  assert.deepEqual(pins(2), []);
  assert.deepEqual(pins(8), [[SLAVE, 0], [IOAPIC, 8]]);
  assert.deepEqual(pins(15), [[SLAVE, 7], [IOAPIC, 15]]);
  assert.deepEqual(pins(23), [[IOAPIC, 23]]);
  assert.equal(routes.length, 15 + 23);
});

kvmTest(
  "a slow guest's backlog of timer ticks does not keep other interrupts from it",
  async () => {
    if (!emulatesRealMode()) return console.log("skipped: KVM runs guests at hardware speed here");
    using machine = new TestMachine();
    const view = new DataView(machine.memory.buffer);
    view.setUint32(0x20 * 4, 0x2000, true);
    machine.bytes.set([0xfe, 0xc3, 0xb0, 0x20, 0xe6, 0x20, 0xcf], 0x2000); // inc bl; end of interrupt
    view.setUint32(0x26 * 4, 0x2100, true);
    machine.bytes.set([0x88, 0xd8, 0xe6, 0xe1], 0x2100); // mov al, bl; out 0E1h, al
    machine.start([
      ...[...out(0x20, 0x11), ...out(0x21, 0x20), ...out(0x21, 0x04), ...out(0x21, 0x01)],
      ...out(0x21, 0x00),
      ...[...out(0x43, 0x34), ...out(0x40, 0x9c), ...out(0x40, 0x2e)], // channel 0: 100 Hz
      ...[0xb3, 0x00, 0xe6, 0xe0], // mov bl, 0; out 0E0h, al: ready
      ...[0xfb, 0x90, 0xeb, 0xfd], // sti; again: nop; jmp again
    ]);
    machine.expectOut(0xe0, 0x2e);
    await new Promise((resolve) => setTimeout(resolve, 500));
    machine.vm.setIrq(6, true);
    assert.equal(runToExit(machine.vcpu), Exit.port);
    const ticks = accessValue(machine.vcpu);
    // The backlog would be 50; a busy host may add a few while the guest answers.
    assert.ok(ticks < 25, `the interrupt came after ${ticks} ticks`);
  },
);
