/**
 * KVM's paravirtual clock on the software CPU (the kernel's Documentation/virt/kvm/x86/msr.rst, cpuid.rst,
 * hypercalls.rst), and the time-stamp counter that it is made of.
 */

import assert from "node:assert/strict";
import { CpuState } from "../../../hv/accel/cpu_state.ts";
import { softVm } from "./support/soft_vm.ts";
import { DATA, END, SystemMachine } from "./support/system_machine.ts";

const HLT = 0xf4;
const WALL_CLOCK = 0x4b56_4d00;
const SYSTEM_TIME = 0x4b56_4d01;
const OLD_WALL_CLOCK = 0x11;
const OLD_SYSTEM_TIME = 0x12;
const TSC = 0x10;
const KVMCLOCK = 1 << 0;
const NOP_IO_DELAY = 1 << 1;
const KVMCLOCK2 = 1 << 3;
const STABLE_BIT = 1 << 24;
const PAGE = DATA + 0x40;
const SECOND = 1_000_000_000;

const little = (value: number, bytes: number): number[] =>
  Array.from({ length: bytes }, (_, i) => value / 2 ** (8 * i) & 0xff);
const setMsr = (index: number, value: number): number[] => [
  ...[0xb9, ...little(index, 4), 0xb8, ...little(value, 4)], // mov ecx, index; mov eax, low
  ...[0xba, ...little(Math.floor(value / 2 ** 32), 4), 0x0f, 0x30], // mov edx, high; wrmsr
];
const getMsr = (index: number): number[] => [0xb9, ...little(index, 4), 0x0f, 0x32];

/** A time that the test moves. */
class TestTime {
  ns = 0;
  ms = 0;
  nowNs = () => this.ns;
  wallMs = () => this.ms;
}

function machine(cpu = "host") {
  const time = new TestTime();
  const m = new SystemMachine("long", 0, { time, cpu });
  const run = (...code: number[]) => m.run([...code, HLT]);
  return { m, time, run };
}

/** CPUID's EAX, EBX, ECX, EDX. */
function cpuid(leaf: number, cpu?: string): number[] {
  const { state } = machine(cpu).run(0xb8, ...little(leaf, 4), 0x31, 0xc9, 0x0f, 0xa2);
  return [0, 3, 1, 2].map((n) => Number(state.general[n]));
}

/** `pvclock_vcpu_time_info` at `PAGE`, and the time that a guest works out of it for counter `tsc`. */
function page({ view }: SystemMachine, tsc = 0n) {
  const delta = BigInt.asUintN(64, tsc - view.getBigUint64(PAGE + 8, true));
  const shift = view.getInt8(PAGE + 28);
  const shifted = shift < 0 ? delta >> BigInt(-shift) : delta << BigInt(shift);
  const scaled = BigInt.asUintN(64, shifted) * BigInt(view.getUint32(PAGE + 24, true)) >> 32n;
  return {
    version: view.getUint32(PAGE, true),
    flags: view.getUint8(PAGE + 29),
    ns: BigInt.asUintN(64, view.getBigUint64(PAGE + 16, true) + scaled),
  };
}

Deno.test("CPUID leaf 40000000h is KVM's, and 40000001h lists what works (cpuid.rst)", () => {
  const text = new TextDecoder().decode(new Uint32Array(cpuid(0x4000_0000)).subarray(1));
  assert.equal(text, "KVMKVMKVM\0\0\0");
  assert.equal(cpuid(0x4000_0000)[0], 0x4000_0001);
  const features = KVMCLOCK | NOP_IO_DELAY | KVMCLOCK2 | STABLE_BIT;
  assert.deepEqual(cpuid(0x4000_0001), [features, 0, 0, 0]);
});

Deno.test("--cpu takes KVM's features away one by one, and with the hypervisor all of them", () => {
  assert.equal(cpuid(0x4000_0001, "host,-kvmclock")[0], NOP_IO_DELAY | KVMCLOCK2 | STABLE_BIT);
  assert.equal(cpuid(0x4000_0001, "host,-kvmclock2")[0], KVMCLOCK | NOP_IO_DELAY);
  assert.deepEqual(cpuid(0x4000_0000, "host,-hypervisor"), [0, 0, 0, 0]);
  assert.equal(cpuid(1, "host,-hypervisor")[2] >>> 31, 0);
  assert.equal(cpuid(1)[2] >>> 31, 1);
});

Deno.test("MSRs of what --cpu has taken away are #GP, as is a register that nobody has", () => {
  for (const index of [WALL_CLOCK, SYSTEM_TIME, OLD_WALL_CLOCK, OLD_SYSTEM_TIME]) {
    assert.equal(machine().run(...getMsr(index)).vector, END);
    assert.equal(machine("host,-hypervisor").run(...getMsr(index)).vector, 13);
    assert.equal(machine("host,-hypervisor").run(...setMsr(index, PAGE)).vector, 13);
  }
  const old = machine("host,-kvmclock");
  assert.equal(old.run(...setMsr(OLD_SYSTEM_TIME, PAGE | 1)).vector, 13);
  assert.equal(old.run(...setMsr(SYSTEM_TIME, PAGE | 1)).vector, END);
  assert.equal(machine().run(...setMsr(0x4b56_4d02, 0)).vector, 13, "asynchronous page faults");
});

Deno.test("--cpu hides an instruction together with its bit, and refuses what there is not", () => {
  const popcnt = [0xf3, 0x0f, 0xb8, 0xc0];
  assert.equal(machine().run(...popcnt).vector, END);
  assert.equal(machine("host,-popcnt").run(...popcnt).vector, 6);
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  assert.throws(
    () => softVm({ memory, cpus: 1, cpu: "host,+avx" }),
    /Cannot use --cpu host,\+avx: the software CPU does not offer avx to guests/,
  );
});

Deno.test("the rate of the counter is promised for good only to who asks (CPUID 80000007h)", () => {
  const INVARIANT = 1 << 8;
  assert.equal(cpuid(0x8000_0007)[3], 0);
  assert.equal(cpuid(0x8000_0007, "host,+invtsc")[3], INVARIANT);
});

Deno.test("the page of MSR_KVM_SYSTEM_TIME gives the machine's time from the counter (msr.rst)", () => {
  for (const index of [SYSTEM_TIME, OLD_SYSTEM_TIME]) {
    const { m, time, run } = machine();
    time.ns = 5 * SECOND;
    const { state } = run(...setMsr(index, PAGE | 1));
    const { version, flags } = page(m);
    assert.deepEqual([version, flags], [2, 1], "even, and stable");
    assert.equal(page(m, state.tsc).ns, BigInt(5 * SECOND));
    time.ns = 3000 * SECOND;
    m.vcpu.save(state);
    assert.equal(page(m, state.tsc).ns, BigInt(3000 * SECOND));
    assert.equal(page(m).version, 2, "nothing has been written since");
  }
});

Deno.test("a page without the enable bit, not in RAM, or not aligned is left alone", () => {
  const { m, run } = machine();
  const before = m.bytes.slice();
  const unchanged = (value: number) => {
    assert.equal(run(...setMsr(SYSTEM_TIME, value)).vector, END);
    assert.deepEqual(m.bytes.subarray(PAGE - 64, PAGE + 64), before.subarray(PAGE - 64, PAGE + 64));
  };
  for (const value of [PAGE, PAGE + 2 | 1, 0xfee0_0001, 2 ** 52 + 1]) unchanged(value);
  const end = m.bytes.length;
  assert.equal(run(...setMsr(SYSTEM_TIME, end - 16 | 1)).vector, END, "its end is not RAM");
  assert.deepEqual(m.bytes.subarray(end - 16), before.subarray(end - 16));
});

Deno.test("a counter that the guest writes goes on from there, and its page with it", () => {
  const { m, time, run } = machine();
  time.ns = 7 * SECOND;
  const { state } = run(...setMsr(SYSTEM_TIME, PAGE | 1), ...setMsr(TSC, 1000), 0x90);
  assert.equal(state.tsc, 1000n);
  assert.equal(page(m, state.tsc).ns, BigInt(7 * SECOND));
  assert.equal(page(m).version, 4);
});

Deno.test("where the counters of processors differ, no page says that they are stable", () => {
  const m = new SystemMachine("long", 0, { cpus: 2, time: new TestTime() });
  m.run([...setMsr(SYSTEM_TIME, PAGE | 1), HLT]);
  assert.equal(page(m).flags, 1);
  m.run([...setMsr(SYSTEM_TIME, PAGE | 1), ...setMsr(TSC, 1000), 0x90, HLT]);
  assert.equal(page(m).flags, 0);
});

Deno.test("MSR_KVM_WALL_CLOCK gives the time of day at which the clock began (msr.rst)", () => {
  const { m, time, run } = machine();
  time.ns = 2.5 * SECOND;
  time.ms = 1_700_000_002_750;
  run(...setMsr(WALL_CLOCK, PAGE));
  const words = [0, 4, 8].map((at) => m.view.getUint32(PAGE + at, true));
  assert.deepEqual(words, [2, 1_700_000_000, 250_000_000]);
});

Deno.test("the counters of processors that were saved one after the other stay one counter", () => {
  const time = new TestTime();
  const memory = new WebAssembly.Memory({ initial: 16, maximum: 16, shared: true });
  const vm = softVm({ memory, cpus: 3, time });
  const vcpus = [0, 1, 2].map((index) => vm.openVcpu(index));
  const states = vcpus.map((vcpu) => {
    const state = new CpuState(new ArrayBuffer(CpuState.byteLength));
    vcpu.save(state);
    return state;
  });
  const counters = () =>
    vcpus.map((vcpu, i) => {
      vcpu.save(states[i]);
      return states[i].tsc;
    });
  [5000n, 6000n, 500_000_000_000n].forEach((tsc, i) => states[i].tsc = tsc);
  vcpus.forEach((vcpu, i) => vcpu.restore(states[i]));
  assert.deepEqual(counters(), [5000n, 5000n, 500_000_000_000n]);
  time.ns += 10;
  assert.deepEqual(counters(), [5010n, 5010n, 500_000_000_010n]);
});

Deno.test("the clock is saved, goes on where it is restored, and shows it to the guest", () => {
  const { m, time, run } = machine();
  time.ns = 9 * SECOND;
  const saved = m.vm.saveChips();
  time.ns = 20 * SECOND;
  const { state } = run(...setMsr(SYSTEM_TIME, PAGE | 1));
  assert.equal(page(m, state.tsc).ns, BigInt(20 * SECOND));
  m.vm.restoreChips(saved);
  m.go();
  m.vcpu.save(state);
  assert.equal(page(m, state.tsc).ns, BigInt(9 * SECOND));
  const wrong = new Map([["kvm.clock", new Uint8Array(3)]]);
  assert.throws(() => m.vm.restoreChips(wrong), /kvm\.clock: it has 3 bytes, 48 are required/);
});

Deno.test("a processor's pages are saved and restored with it", () => {
  const first = machine();
  const { state } = first.run(...setMsr(SYSTEM_TIME, PAGE | 1), ...setMsr(WALL_CLOCK, PAGE + 64));
  const { m } = machine();
  m.bytes[0x1000] = HLT;
  state.rip = 0x1000n;
  m.vcpu.restore(state);
  m.go();
  assert.equal(page(m).version, 2, "written at the next occasion");
  m.vcpu.save(state);
  const saved = new Map(Array.from(
    { length: state.msrCount },
    (_, i) => [state.msrIndices[i], state.msrValues[i]],
  ));
  assert.equal(saved.get(SYSTEM_TIME), BigInt(PAGE | 1));
  assert.equal(saved.get(OLD_SYSTEM_TIME), BigInt(PAGE | 1));
  assert.equal(saved.get(WALL_CLOCK), BigInt(PAGE + 64));
});

Deno.test("no hypercall is there: -KVM_ENOSYS, and -KVM_EPERM outside of the kernel (hypercalls.rst)", () => {
  for (const code of [[0x0f, 0x01, 0xc1], [0x0f, 0x01, 0xd9]]) {
    assert.equal(BigInt.asIntN(64, machine().run(...code).state.general[0]), -1000n);
    const user = new SystemMachine("long", 3);
    // ud2: HLT is not for programs
    assert.equal(BigInt.asIntN(64, user.run([...code, 0x0f, 0x0b]).state.general[0]), -1n);
    const protectedMode = new SystemMachine("protected").run([...code, HLT]);
    assert.equal(protectedMode.state.general[0], 0xffff_fc18n);
    assert.equal(machine("host,-hypervisor").run(...code).vector, 6);
  }
});
