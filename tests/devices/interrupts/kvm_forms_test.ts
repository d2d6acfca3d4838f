/** The chips' common form, without KVM: what is saved and restored is the same chip. */

import assert from "node:assert/strict";
import { restoreI8254, saveI8254 } from "../../../devices/timers/i8254_kvm_form.ts";
import { restoreI8259, saveI8259 } from "../../../devices/interrupts/i8259_kvm_form.ts";
import { restoreIoApic, saveIoApic } from "../../../devices/interrupts/ioapic_kvm_form.ts";
import {
  restoreLocalApic,
  saveLocalApic,
} from "../../../devices/interrupts/local_apic/kvm_form.ts";
import { Reg } from "../../../devices/interrupts/local_apic/registers.ts";
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
import { Random, seeded } from "../../support/random.ts";

const TIMES = 100;

Deno.test("the 8259s' form restores to the same state and the same output", () => {
  seeded((random) => {
    for (let i = 0; i < TIMES; i++) {
      const { state, output } = usedI8259(random);
      const other = newI8259();
      restoreI8259(other.pic, other.state, ...saveI8259(state));
      assert.deepEqual(bytesOf(other.state), bytesOf(state));
      assert.equal(other.output.level, output.level);
    }
  });
});

Deno.test("the I/O APIC's form restores entries, ID and the levels of level-triggered inputs", () => {
  seeded((random) => {
    for (let i = 0; i < TIMES; i++) {
      const { state } = usedIoApic(random);
      const other = newIoApic();
      restoreIoApic(other.ioapic, other.state, saveIoApic(state, 0xfec0_0000), state.lines);
      assert.deepEqual(bytesOf(other.state), bytesOf(state));
    }
  });
});

Deno.test("a restored level-triggered input that is not ended asks its local APIC after EOI only", () => {
  const { ioapic, state } = newIoApic();
  ioapic.write(0, 4, 0x30);
  ioapic.write(0x10, 4, 0x8060);
  ioapic.setIrq(16, true);
  const blob = saveIoApic(state, 0xfec0_0000);
  const other = newIoApic();
  restoreIoApic(other.ioapic, other.state, blob);
  assert.equal(other.state.lines, 1 << 16);
  assert.equal(other.state.low[16], 0xc060);
  other.ioapic.setIrq(16, false);
  other.ioapic.endOfInterrupt(0x60);
  assert.equal(other.state.low[16], 0x8060);
});

Deno.test("a counter of the 8254 that was never programmed has no mode, and KVM starts none", () => {
  const MODE = 13;
  const CHANNEL = 24;
  const { pit, state } = newI8254();
  const surroundings = { speakerData: false, disconnected: false };
  const modes = () => {
    const blob = saveI8254(state, surroundings);
    return [0, 1, 2].map((channel) => blob[channel * CHANNEL + MODE]);
  };
  pit.reset();
  assert.deepEqual(modes(), [0xff, 0xff, 0xff]);
  pit.write(3, 1, 0x34);
  assert.deepEqual(modes(), [2, 0xff, 0xff], "a control word names one");
  const other = newI8254();
  restoreI8254(other.pit, other.state, saveI8254(state, surroundings));
  assert.deepEqual(other.state.counters.map(({ programmed }) => programmed), [true, false, false]);
});

Deno.test("the 8254's form restores modes, counts, latches and half-read bytes", () => {
  seeded((random) => {
    for (let i = 0; i < TIMES; i++) {
      const { state } = usedI8254(random);
      const blob = saveI8254(state, {
        speakerData: random.chance(50),
        disconnected: random.chance(50),
      });
      const other = newI8254();
      const again = saveI8254(other.state, restoreI8254(other.pit, other.state, blob));
      for (let channel = 0; channel < 3; channel++) {
        // Counts begin anew: the time of loading differs.
        blob.fill(0, channel * 24 + 16, channel * 24 + 24);
        again.fill(0, channel * 24 + 16, channel * 24 + 24);
      }
      assert.deepEqual(again, blob);
      for (const [n, counter] of state.counters.entries()) {
        const restored = other.state.counters[n];
        assert.equal(restored.mode, counter.mode);
        assert.deepEqual(bytesOf(restored.latch), bytesOf(counter.latch));
      }
    }
  });
});

Deno.test("the local APIC's page restores to the same registers, in both modes", () => {
  seeded((random) => {
    for (let i = 0; i < TIMES; i++) {
      const { apics: [apic] } = usedLocalApic(random);
      const page = new Uint8Array(1024);
      const rest = saveLocalApic(apic, page);
      const { apics: [other] } = new ApicBench();
      other.reset();
      restoreLocalApic(other, page, rest);
      const again = new Uint8Array(1024);
      assert.deepEqual(saveLocalApic(other, again), rest);
      assert.deepEqual(again, page);
      assert.equal(other.pending(), apic.pending());
    }
  });
});

Deno.test("a restored timer goes on from its count, one that had come to 0 does not", () => {
  for (const [advance, left] of [[40_000, 60_000], [100_000, undefined]] as const) {
    const b = new ApicBench().start();
    const [apic] = b.apics;
    apic.write(Reg.TDCR, 4, 0xb);
    apic.write(Reg.LVT_TIMER, 4, 0x41);
    apic.write(Reg.TMICT, 4, 100_000);
    b.bench.advance(advance);
    b.serve();
    const page = new Uint8Array(1024);
    const rest = saveLocalApic(apic, page);
    const other = new ApicBench().start();
    other.bench.clock.ns = 7_000_000;
    restoreLocalApic(other.apics[0], page, rest);
    other.bench.advance((left ?? 1e9) - 1);
    assert.deepEqual(other.serve(), []);
    other.bench.advance(1);
    assert.deepEqual(other.serve(), left === undefined ? [] : [0x41]);
  }
});

Deno.test("a restored deadline interrupts at its value of the time-stamp counter", () => {
  const b = new ApicBench().start();
  b.apics[0].write(Reg.LVT_TIMER, 4, 0x4_0041);
  b.msrs[0].write(0x6e0, 5000, 0);
  const page = new Uint8Array(1024);
  const rest = saveLocalApic(b.apics[0], page);
  assert.equal(rest.tscDeadline, 5000n);
  const other = new ApicBench().start();
  restoreLocalApic(other.apics[0], page, rest);
  other.bench.advance(4999);
  assert.deepEqual(other.serve(), []);
  other.bench.advance(1);
  assert.deepEqual(other.serve(), [0x41]);
});

Deno.test("any bytes restore without a throw, to registers that hold what can be written", () => {
  seeded((random) => {
    const noise = (length: number) => Uint8Array.from({ length }, () => random.below(256));
    const chip = (id: number) => {
      const blob = noise(520);
      blob.set([id, 0, 0, 0], 0);
      return blob;
    };
    for (let i = 0; i < TIMES; i++) {
      const pic = newI8259();
      restoreI8259(pic.pic, pic.state, chip(0), chip(1));
      assert.ok(pic.pic.acknowledge() < 256);
      const { ioapic, state } = newIoApic();
      restoreIoApic(ioapic, state, chip(2));
      assert.equal(state.lines >>> 24, 0);
      const { bench, pit, state: counters } = newI8254();
      restoreI8254(pit, counters, noise(112));
      bench.advance(1_000_000);
      for (const port of [0, 1, 2]) assert.ok(pit.read(port, 1) < 256);
      const b = new ApicBench();
      b.apics[0].reset();
      const values = { apicBase: BigInt(random.u32()) << 16n, tscDeadline: BigInt(random.u32()) };
      restoreLocalApic(b.apics[0], noise(1024), values);
      b.bench.advance(1_000_000);
      assert.ok(b.serve().every((vector) => vector >= 16));
    }
  });
});

Deno.test("blobs of another length or chip are refused, with what was expected", () => {
  const { state } = usedI8259(new Random(1));
  const [master, slave] = saveI8259(state);
  const { pic, state: other } = newI8259();
  assert.throws(
    () => restoreI8259(pic, other, slave, master),
    /Cannot restore interrupt controller 0: the blob is of number 1/,
  );
  assert.throws(
    () => restoreI8259(pic, other, master.subarray(1), slave),
    /Cannot restore the interrupt controller: it has 519 bytes, 520 are required/,
  );
  const made = newI8254();
  assert.throws(
    () => restoreI8254(made.pit, made.state, new Uint8Array(72)),
    /Cannot restore the 8254: it has 72 bytes, 112 are required/,
  );
});

Deno.test("a restored level on LINT0 that awaits its EOI asks again at it", () => {
  const { apics: [apic] } = new ApicBench().start();
  apic.write(Reg.LVT_LINT0, 4, 0x8041);
  apic.receiver.setLint(0, true);
  apic.acknowledge();
  const page = new Uint8Array(1024);
  const rest = saveLocalApic(apic, page);
  const b = new ApicBench().start();
  const [other] = b.apics;
  restoreLocalApic(other, page, rest);
  assert.equal(other.read(Reg.LVT_LINT0, 4), 0xc041);
  other.receiver.setLint(0, true);
  assert.deepEqual(b.take(), []);
  other.write(Reg.EOI, 4, 0);
  assert.deepEqual(b.take(), [0x41]);
  page[Reg.LVT_LINT0 + 1] &= ~0x40;
  restoreLocalApic(other, page, rest);
  assert.equal(other.read(Reg.LVT_LINT0, 4), 0xc041, "the level asks anew");
});

Deno.test("a restored periodic timer whose count is 0 begins a period; the processor is woken", () => {
  const b = new ApicBench().start();
  b.apics[0].write(Reg.TDCR, 4, 0xb);
  b.apics[0].write(Reg.LVT_TIMER, 4, 0x2_0041);
  b.apics[0].write(Reg.TMICT, 4, 100_000);
  const page = new Uint8Array(1024);
  const rest = saveLocalApic(b.apics[0], page);
  const other = new ApicBench().start();
  for (const [count, until] of [[0, 100_000], [30_000, 30_000]]) {
    new DataView(page.buffer).setUint32(Reg.TMCCT, count, true);
    const before = other.wakes[0];
    restoreLocalApic(other.apics[0], page, rest);
    assert.equal(other.wakes[0], before + 1);
    other.bench.advance(until - 1);
    assert.deepEqual(other.serve(), []);
    other.bench.advance(1);
    assert.deepEqual(other.serve(), [0x41]);
  }
});

Deno.test("a local APIC that is off cannot be restored into x2APIC mode", () => {
  const { apics: [apic] } = new ApicBench().start();
  const page = new Uint8Array(1024);
  saveLocalApic(apic, page);
  restoreLocalApic(apic, page, { apicBase: 0xfee0_0400n, tscDeadline: 0n });
  assert.deepEqual([apic.enabled, apic.isX2], [false, false]);
  assert.equal(apic.baseAddress, 0xfee0_0000);
});

Deno.test("a restored count in mode 0 stands while the gate of its channel is low", () => {
  for (const gate of [false, true]) {
    const { pit, state } = newI8254();
    pit.setGate2(gate);
    for (const [port, value] of [[3, 0xb0], [2, 0x00], [2, 0x10]]) pit.write(port, 1, value);
    const blob = saveI8254(state, { speakerData: false, disconnected: false });
    const other = newI8254();
    restoreI8254(other.pit, other.state, blob);
    other.bench.advance(1e9);
    assert.equal(other.pit.out2, gate);
  }
});
