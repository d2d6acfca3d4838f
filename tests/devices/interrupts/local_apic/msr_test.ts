import assert from "node:assert/strict";
import { DeliveryMode } from "../../../../devices/interrupts/apic_message.ts";
import { Reg } from "../../../../devices/interrupts/local_apic/registers.ts";
import { ApicBench } from "../../../support/apic_bench.ts";

const IA32_APIC_BASE = 0x1b;
const X2 = 0xfee0_0c00;
const XAPIC = 0xfee0_0800;
const OFF = 0xfee0_0000;
const msrOf = (offset: number) => 0x800 + offset / 16;

function inX2(cpus = 1) {
  const b = new ApicBench({ cpus }).start();
  for (const msrs of b.msrs) {
    assert.equal(msrs.write(IA32_APIC_BASE, X2, 0), true);
    assert.equal(msrs.write(msrOf(Reg.SVR), 0x1ff, 0), true);
  }
  return b;
}

Deno.test("IA32_APIC_BASE goes from off to xAPIC to x2APIC and from each to off (figure 11-27)", () => {
  const { apics: [apic], msrs: [msrs] } = new ApicBench().start();
  assert.deepEqual(msrs.read(IA32_APIC_BASE), { low: 0xfee0_0900, high: 0 });
  const steps: [value: number, allowed: boolean][] = [
    [X2, true],
    [XAPIC, false],
    [OFF, true],
    [X2, false],
    [OFF | 0x400, false],
    [XAPIC, true],
    [OFF | 0x400, false],
    [OFF, true],
    [XAPIC, true],
    [X2, true],
  ];
  for (const [i, [value, allowed]] of steps.entries()) {
    const before = msrs.read(IA32_APIC_BASE);
    assert.equal(msrs.write(IA32_APIC_BASE, value >>> 0, 0), allowed, `step ${i}`);
    const after = msrs.read(IA32_APIC_BASE);
    assert.deepEqual(after, allowed ? { low: value >>> 0, high: 0 } : before, `step ${i}`);
  }
  assert.equal(apic.isX2, true);
});

Deno.test("IA32_APIC_BASE refuses reserved bits and addresses beyond the processor's (11.4.4)", () => {
  const { apics: [apic], msrs: [msrs] } = new ApicBench().start();
  for (const bit of [0x1, 0x80, 0x200]) {
    assert.equal(msrs.write(IA32_APIC_BASE, XAPIC + bit, 0), false);
  }
  assert.equal(msrs.write(IA32_APIC_BASE, XAPIC, 0x100), false);
  assert.equal(msrs.write(IA32_APIC_BASE, 0x1000_0800, 0xff), true);
  assert.equal(apic.baseAddress, 0xff_1000_0000);
});

Deno.test("a local apic that is off hears nothing, LINT0 and LINT1 are INTR and NMI (11.4.3)", () => {
  const { apics: [apic], bus, msrs: [msrs] } = new ApicBench().start();
  apic.write(Reg.LVT_LINT0, 4, 0x1_0000);
  apic.write(Reg.TPR, 4, 0x20);
  msrs.write(IA32_APIC_BASE, OFF, 0);
  const message = { destination: 0, logical: false, vector: 0x41, level: true } as const;
  assert.equal(bus.deliver({ ...message, mode: DeliveryMode.fixed, levelTriggered: false }), false);
  assert.equal(apic.read(Reg.ID, 4), 0xffff_ffff);
  assert.equal(apic.extIntPending, false);
  apic.receiver.setLint(0, true);
  apic.receiver.setLint(1, true);
  assert.equal(apic.extIntPending, true);
  assert.equal(apic.latches, 1);
  msrs.write(IA32_APIC_BASE, XAPIC, 0);
  assert.equal(apic.read(Reg.TPR, 4), 0, "its registers were lost");
  assert.equal(apic.read(Reg.SVR, 4), 0xff);
});

Deno.test("x2APIC mode has a 32-bit ID, a fixed logical ID, and no page of registers (11.12.10)", () => {
  const b = inX2(18);
  const values = [0, 1, 15, 16, 17].map((i) => [
    b.msrs[i].read(msrOf(Reg.ID))?.low,
    b.msrs[i].read(msrOf(Reg.LDR))?.low,
  ]);
  assert.deepEqual(values, [
    [0, 0x0001],
    [1, 0x0002],
    [15, 0x8000],
    [16, 0x1_0001],
    [17, 0x1_0002],
  ]);
  assert.equal(b.apics[1].read(Reg.ID, 4), 0xffff_ffff);
  b.apics[1].write(Reg.TPR, 4, 0x20);
  assert.equal(b.apics[1].cr8, 0);
});

Deno.test("x2APIC registers that do not exist or are reserved are #GP (table 11-6)", () => {
  const { msrs: [msrs] } = inX2();
  const readable = new Set<number>();
  for (let msr = 0x800; msr <= 0x8ff; msr++) if (msrs.read(msr) !== undefined) readable.add(msr);
  const range = (first: number, last: number) =>
    Array.from({ length: last - first + 1 }, (_, i) => first + i);
  assert.deepEqual([...readable], [
    ...[0x802, 0x803, 0x808, 0x80a, 0x80d, 0x80f],
    ...range(0x810, 0x828),
    0x830,
    ...range(0x832, 0x839),
    0x83e,
  ]);
  const writable = range(0x800, 0x8ff).filter((msr) => msrs.write(msr, 0, 0));
  assert.deepEqual(writable, [
    ...[0x808, 0x80b, 0x80f, 0x828, 0x830],
    ...range(0x832, 0x838),
    ...[0x83e, 0x83f],
  ]);
});

Deno.test("x2APIC registers refuse reserved bits, and change nothing then (11.12.1.3)", () => {
  const { msrs: [msrs] } = inX2();
  const refused: [offset: number, low: number, high: number][] = [
    [Reg.TPR, 0x100, 0],
    [Reg.TPR, 0x20, 1],
    [Reg.EOI, 1, 0],
    [Reg.ESR, 1, 0],
    [Reg.SVR, 0x11ff, 0],
    [Reg.ICR, 0x10_0041, 0],
    [Reg.ICR, 0x0_2041, 0],
    [Reg.LVT_TIMER, 0x8_0041, 0],
    [Reg.LVT_ERROR, 0x0_0141, 0],
    [Reg.LVT_THERMAL, 0x0_8041, 0],
    [Reg.TDCR, 0x4, 0],
    [Reg.SELF_IPI, 0x100, 0],
  ];
  for (const [offset, low, high] of refused) {
    const before = msrs.read(msrOf(offset));
    assert.equal(msrs.write(msrOf(offset), low, high), false, `${offset.toString(16)}h`);
    assert.deepEqual(msrs.read(msrOf(offset)), before);
  }
  assert.equal(msrs.write(msrOf(Reg.LVT_LINT0), 0x1_f741, 0), true, "read-only bits are ignored");
  assert.deepEqual(msrs.read(msrOf(Reg.LVT_LINT0)), { low: 0x1_a741, high: 0 });
});

Deno.test("x2APIC MSRs are #GP outside of x2APIC mode (11.12.2)", () => {
  const { msrs: [msrs] } = new ApicBench().start();
  assert.equal(msrs.read(0x802), undefined);
  assert.equal(msrs.write(0x808, 0, 0), false);
});

Deno.test("x2APIC's ICR sends by one 64-bit write, to 32-bit destinations (11.12.9)", () => {
  const b = inX2(18);
  const send = (low: number, destination: number) => {
    assert.equal(b.msrs[1].write(msrOf(Reg.ICR), low, destination), true);
    return b.apics.flatMap((_, i) => b.serve(i).length > 0 ? [i] : []);
  };
  assert.deepEqual(send(0x41, 17), [17]);
  assert.deepEqual(send(0x841, 0x1_0003), [16, 17], "cluster 1, two members");
  assert.deepEqual(send(0x841, 0x0_8001), [0, 15]);
  assert.deepEqual(send(0x41, 0xff), [], "no broadcast, an ID");
  assert.equal(send(0x41, 0xffff_ffff).length, 18);
  assert.equal(send(0xc_0041, 0).length, 17);
  assert.deepEqual(b.msrs[1].read(msrOf(Reg.ICR)), { low: 0xc_0041, high: 0 });
});

Deno.test("SELF IPI sends an edge to its own processor (11.12.11)", () => {
  const b = inX2(2);
  assert.equal(b.msrs[1].write(msrOf(Reg.SELF_IPI), 0x41, 0), true);
  assert.deepEqual([b.serve(0), b.serve(1)], [[], [0x41]]);
  assert.equal(b.msrs[1].write(msrOf(Reg.SELF_IPI), 0x05, 0), true);
  b.msrs[1].write(msrOf(Reg.ESR), 0, 0);
  assert.deepEqual(b.msrs[1].read(msrOf(Reg.ESR)), { low: 0x20, high: 0 });
});

Deno.test("a local apic that is off hears no NMI message, and its pins wake the processor (11.4.3)", () => {
  const { apics: [apic], bus, msrs: [msrs], wakes } = new ApicBench().start();
  msrs.write(IA32_APIC_BASE, OFF, 0);
  const nmi = { logical: false, mode: DeliveryMode.nmi, vector: 0, level: true } as const;
  assert.equal(bus.deliver({ ...nmi, destination: 0, levelTriggered: false }), false);
  assert.equal(apic.latches, 0);
  const before = wakes[0];
  apic.receiver.setLint(0, true);
  assert.equal(wakes[0], before + 1);
  assert.equal(apic.latches, 0);
});

Deno.test("the local apic's MSRs are 1Bh, 6E0h and 800h to 8FFh, of which 6E0h can always be written", () => {
  const { msrs: [msrs] } = new ApicBench().start();
  const has = [0x1a, 0x1b, 0x1c, 0x6df, 0x6e0, 0x6e1, 0x7ff, 0x800, 0x8ff, 0x900];
  assert.deepEqual(has.filter((msr) => msrs.has(msr)), [0x1b, 0x6e0, 0x800, 0x8ff]);
  assert.equal(msrs.write(0x6e0, 1, 1), true);
});

Deno.test("xAPIC mode has 8 bits of the processor's number, x2APIC mode all of it (11.12.9)", () => {
  const b = new ApicBench({ cpus: 260 }).start();
  const [apic, msrs] = [b.apics[259], b.msrs[259]];
  assert.equal(apic.state.id, 3);
  msrs.write(IA32_APIC_BASE, X2, 0);
  assert.equal(apic.state.id, 259);
  msrs.write(IA32_APIC_BASE, OFF, 0);
  msrs.write(IA32_APIC_BASE, XAPIC, 0);
  assert.equal(apic.state.id, 3);
});

Deno.test("x2APIC ignores writes of read-only bits of local vectors, and sends vector 16 (11.12.1.3)", () => {
  const b = inX2();
  const { msrs: [msrs] } = b;
  assert.equal(msrs.write(msrOf(Reg.LVT_ERROR), 0x1_1041, 0), true);
  assert.deepEqual(msrs.read(msrOf(Reg.LVT_ERROR)), { low: 0x1_0041, high: 0 });
  assert.equal(msrs.write(msrOf(Reg.LVT_LINT1), 0x1_5041, 0), true);
  assert.deepEqual(msrs.read(msrOf(Reg.LVT_LINT1)), { low: 0x1_0041, high: 0 });
  msrs.write(msrOf(Reg.SELF_IPI), 0x10, 0);
  assert.deepEqual(b.take(), [0x10]);
  assert.deepEqual(msrs.read(msrOf(Reg.TMR)), { low: 0, high: 0 });
});
