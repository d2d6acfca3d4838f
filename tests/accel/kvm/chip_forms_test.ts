/**
 * The interrupt controllers of devices/ and KVM's own: a state goes from one to the other and back
 * without a change.
 */

import assert from "node:assert/strict";
import { restoreI8254, saveI8254 } from "../../../devices/timers/i8254_kvm_form.ts";
import { restoreI8259, saveI8259 } from "../../../devices/interrupts/i8259_kvm_form.ts";
import { restoreIoApic, saveIoApic } from "../../../devices/interrupts/ioapic_kvm_form.ts";
import {
  restoreLocalApic,
  saveLocalApic,
} from "../../../devices/interrupts/local_apic/kvm_form.ts";
import { Reg } from "../../../devices/interrupts/local_apic/registers.ts";
import { CpuState } from "../../../hv/accel/mod.ts";
import { bytesOf } from "../../../hv/core/state/record.ts";
import { ApicBench } from "../../support/apic_bench.ts";
import {
  newI8254,
  newI8259,
  newIoApic,
  usedI8254,
  usedI8259,
  usedIoApic,
  usedLocalApic,
} from "../../support/chip_states.ts";
import { seeded } from "../../support/random.ts";
import { kvmTest, TestMachine } from "./test_machine.ts";

const TIMES = 50;
const IOAPIC_BASE = 0xfec0_0000;

/** Bytes of a PIT's blob that are the times of loading, which KVM sets anew. */
const LOAD_TIMES = [16, 40, 64];
const withoutLoadTimes = (blob: Uint8Array) => {
  const copy = blob.slice();
  for (const at of LOAD_TIMES) copy.fill(0, at, at + 8);
  return copy;
};

kvmTest("8259 pairs pass through KVM unchanged", () => {
  using machine = new TestMachine();
  seeded((random) => {
    for (let i = 0; i < TIMES; i++) {
      const { state } = usedI8259(random);
      const [master, slave] = saveI8259(state);
      machine.vm.restoreChips(new Map([["kvm.pic0", master], ["kvm.pic1", slave]]));
      const chips = machine.vm.saveChips();
      assert.deepEqual(chips.get("kvm.pic0"), master);
      assert.deepEqual(chips.get("kvm.pic1"), slave);
      const other = newI8259();
      restoreI8259(other.pic, other.state, chips.get("kvm.pic0")!, chips.get("kvm.pic1")!);
      assert.deepEqual(bytesOf(other.state), bytesOf(state));
    }
  });
});

kvmTest("I/O APICs pass through KVM unchanged", () => {
  using machine = new TestMachine();
  seeded((random) => {
    for (let i = 0; i < TIMES; i++) {
      const { state } = usedIoApic(random);
      const blob = saveIoApic(state, IOAPIC_BASE);
      machine.vm.restoreChips(new Map([["kvm.ioapic", blob]]));
      const saved = machine.vm.saveChips().get("kvm.ioapic")!;
      assert.deepEqual(saved, blob);
      const other = newIoApic();
      restoreIoApic(other.ioapic, other.state, saved, state.lines);
      assert.deepEqual(bytesOf(other.state), bytesOf(state));
    }
  });
});

kvmTest("8254s pass through KVM unchanged but for the phase of their counts", () => {
  using machine = new TestMachine();
  seeded((random) => {
    for (let i = 0; i < TIMES; i++) {
      const { state } = usedI8254(random);
      const blob = saveI8254(state, {
        speakerData: random.chance(50),
        disconnected: random.chance(50),
      });
      machine.vm.restoreChips(new Map([["kvm.pit", blob]]));
      const saved = machine.vm.saveChips().get("kvm.pit")!;
      assert.deepEqual(withoutLoadTimes(saved), withoutLoadTimes(blob));
      const other = newI8254();
      const again = saveI8254(other.state, restoreI8254(other.pit, other.state, saved));
      assert.deepEqual(withoutLoadTimes(again), withoutLoadTimes(blob));
    }
  });
});

kvmTest("local APICs pass through KVM unchanged, in xAPIC and x2APIC mode", () => {
  using machine = new TestMachine();
  const state = new CpuState(new ArrayBuffer(CpuState.byteLength));
  const word = (page: Uint8Array, offset: number) =>
    new DataView(page.buffer, page.byteOffset).getUint32(offset, true);
  seeded((random) => {
    for (let i = 0; i < TIMES; i++) {
      const { apics: [apic] } = usedLocalApic(random);
      machine.vcpu.save(state);
      const { apicBase } = saveLocalApic(apic, state.apic);
      state.apicBase = apicBase;
      state.cr8 = BigInt(apic.cr8);
      const sent = state.apic.slice();
      machine.vcpu.restore(state);
      machine.vcpu.save(state);
      const received = state.apic.slice();
      assert.equal(state.apicBase, apicBase);
      assert.ok(word(received, Reg.TMCCT) <= word(sent, Reg.TMICT));
      // KVM computes PPR when it is needed; what it stores here may be of the state before.
      received.set(sent.subarray(Reg.PPR, Reg.PPR + 4), Reg.PPR);
      for (const page of [sent, received]) page.fill(0, Reg.TMCCT, Reg.TMCCT + 4);
      assert.deepEqual(received, sent);
      const { apics: [other] } = new ApicBench();
      other.reset();
      restoreLocalApic(other, received, { apicBase, tscDeadline: 0n });
      const again = new Uint8Array(1024);
      saveLocalApic(other, again);
      again.fill(0, Reg.TMCCT, Reg.TMCCT + 4);
      assert.deepEqual(again, sent);
      assert.equal(other.pending(), apic.pending());
    }
  });
});

kvmTest("a machine's chips after reset are those of devices/ after reset", () => {
  using machine = new TestMachine();
  const chips = machine.vm.saveChips();
  const pic = newI8259();
  restoreI8259(pic.pic, pic.state, chips.get("kvm.pic0")!, chips.get("kvm.pic1")!);
  assert.deepEqual(bytesOf(pic.state), bytesOf(newI8259().state));
  const { ioapic, state } = newIoApic();
  restoreIoApic(ioapic, state, chips.get("kvm.ioapic")!);
  assert.deepEqual(bytesOf(state), bytesOf(newIoApic().state));
  const cpu = new CpuState(new ArrayBuffer(CpuState.byteLength));
  machine.vcpu.save(cpu);
  const { apics: [apic] } = new ApicBench();
  apic.reset();
  const page = new Uint8Array(1024);
  assert.equal(saveLocalApic(apic, page).apicBase, cpu.apicBase);
  assert.deepEqual(cpu.apic, page);
});

kvmTest("a slave 8259's request from before a restore does not reach the restored master", () => {
  using machine = new TestMachine();
  const before = newI8259();
  for (const chip of [before.pic.master, before.pic.slave]) {
    for (const [offset, value] of [[0, 0x11], [1, 0x20], [1, 4], [1, 1], [1, 0]]) {
      chip.write(offset, 1, value);
    }
  }
  before.pic.setIrq(9, true);
  const restore = ([master, slave]: [Uint8Array, Uint8Array]) =>
    machine.vm.restoreChips(new Map([["kvm.pic0", master], ["kvm.pic1", slave]]));
  restore(saveI8259(before.state));
  const idle = saveI8259(newI8259().state);
  restore(idle);
  assert.deepEqual(machine.vm.saveChips().get("kvm.pic0"), idle[0]);
});
