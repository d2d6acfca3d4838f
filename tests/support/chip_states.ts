/** Chips of the interrupt system in random states that a guest can bring about. */

import { I8254, I8254State } from "../../devices/timers/i8254.ts";
import { I8259, I8259State } from "../../devices/interrupts/i8259.ts";
import { IoApic, IoApicState } from "../../devices/interrupts/ioapic.ts";
import { LVT, Reg } from "../../devices/interrupts/local_apic/registers.ts";
import { ApicBench } from "./apic_bench.ts";
import type { Random } from "./random.ts";
import { TestBench } from "./test_bench.ts";

/** A pair of 8259s after reset. */
export function newI8259() {
  const bench = new TestBench();
  const state = bench.state(I8259State);
  const output = bench.irq();
  const pic = new I8259(state, output);
  pic.reset();
  return { pic, state, output };
}

/** A pair of 8259s that has been used, as on an AT: cascaded, edge-triggered but for ELCR. */
export function usedI8259(random: Random) {
  const made = newI8259();
  const { pic } = made;
  for (const [chip, cascade] of [[pic.master, 4], [pic.slave, 2]] as const) {
    const fourth = random.chance(80) ? 1 : 0;
    chip.write(0, 1, 0x10 | fourth);
    chip.write(1, 1, random.below(32) << 3);
    chip.write(1, 1, cascade);
    if (fourth) chip.write(1, 1, 0x01 | (random.chance(20) ? 0x02 : 0) | (random.below(2) << 4));
    chip.write(1, 1, random.below(256));
  }
  pic.elcr.write(0, 1, random.below(256));
  // Not all inputs of a chip: ELCR cannot make them so.
  pic.elcr.write(1, 1, random.below(256));
  for (let i = 0; i < 60; i++) {
    const chip = random.chance(50) ? pic.master : pic.slave;
    if (random.chance(60)) pic.setIrq(random.below(16), random.chance(60));
    else if (random.chance(50) && pic.pending) pic.acknowledge();
    else {chip.write(
        0,
        1,
        random.pick([0x20, 0x60, 0x63, 0xa0, 0xc5, 0x80, 0x00, 0x0a, 0x0b, 0x68]),
      );}
  }
  if (random.chance(20)) pic.slave.write(0, 1, 0x11);
  return made;
}

/** An 8254 after reset. */
export function newI8254() {
  const bench = new TestBench();
  const state = bench.state(I8254State);
  const pit = new I8254(state, { irq: bench.irq(), clock: bench.clock, timer: bench.timer() });
  pit.reset();
  return { bench, pit, state };
}

/** An 8254 whose three counters have been given counts in all modes. */
export function usedI8254(random: Random) {
  const made = newI8254();
  const { bench, pit } = made;
  pit.setGate2(random.chance(50));
  for (let channel = 0; channel < 3; channel++) {
    const access = 1 + random.below(3);
    pit.write(3, 1, (channel << 6) | (access << 4) | (random.below(6) << 1) | random.below(2));
    const digit = () => random.below(10) * 16 + random.below(10);
    pit.write(channel, 1, digit());
    if (access === 3) pit.write(channel, 1, digit());
    bench.advance(random.below(100_000_000));
    if (random.chance(50)) pit.write(3, 1, 0xc0 | (random.below(4) << 4) | (2 << channel));
    if (random.chance(50)) pit.read(channel, 1);
    if (random.chance(30)) pit.write(channel, 1, digit());
  }
  return made;
}

/** An I/O APIC after reset that sends its messages nowhere. */
export function newIoApic() {
  const bench = new TestBench();
  const state = bench.state(IoApicState);
  const ioapic = new IoApic(state, { deliver: () => true });
  ioapic.reset();
  return { ioapic, state };
}

/** An I/O APIC with random entries. */
export function usedIoApic(random: Random) {
  const made = newIoApic();
  const { ioapic } = made;
  const write = (register: number, value: number) => {
    ioapic.write(0, 4, register);
    ioapic.write(0x10, 4, value);
  };
  write(0, random.u32());
  for (let pin = 0; pin < 24; pin++) {
    write(0x11 + 2 * pin, random.u32());
    write(0x10 + 2 * pin, random.u32());
    if (random.chance(30)) ioapic.setIrq(pin, true);
  }
  ioapic.write(0, 4, random.below(256));
  return made;
}

/** A local APIC with random registers; its timer stands or is masked. */
export function usedLocalApic(random: Random): ApicBench {
  const b = new ApicBench().start();
  const { apics: [apic], msrs: [msrs] } = b;
  const x2 = random.chance(40);
  if (!x2) {
    apic.write(Reg.LDR, 4, random.u32());
    apic.write(Reg.DFR, 4, random.chance(50) ? 0 : 0xffff_ffff);
    apic.write(Reg.ICR2, 4, random.u32());
  }
  if (x2) msrs.write(0x1b, 0xfee0_0d00, 0);
  for (const { offset } of LVT) {
    // Level-triggered pins keep a bit that KVM's local APIC has not.
    apic.writeRegister(offset, (random.u32() & 0xfff9_77ff) | 0x1_0000);
  }
  apic.writeRegister(Reg.TMICT, random.chance(50) ? 0 : random.u32());
  apic.writeRegister(Reg.TDCR, random.below(16));
  for (let i = 0; i < 20; i++) {
    apic.receiver.accept({
      destination: 0,
      logical: false,
      mode: 0,
      vector: 16 + random.below(240),
      level: true,
      levelTriggered: random.chance(50),
    });
    if (random.chance(40) && apic.pending() >= 0) apic.acknowledge();
  }
  apic.writeRegister(Reg.TPR, random.below(256));
  apic.writeRegister(Reg.SVR, 0x100 | random.below(0x400));
  return b;
}
