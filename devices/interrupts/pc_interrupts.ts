/**
 * The interrupt system of a PC as one piece: two 8259s, an I/O APIC, a local APIC for each processor,
 * the 8254 and port 61h, wired to each other as KVM wires those that it has in the kernel. It has no
 * addresses: who uses it gives its registers their places on the buses.
 *
 * Wiring (MP specification 3.6.2, ACPI 5.2.12): global system interrupts 0-15 go to the 8259s and to
 * the I/O APIC's inputs of the same number, but for 0, the timer's, which goes to input 2, and 2, which
 * is the 8259s' cascade and goes nowhere; 16-23 go to the I/O APIC alone. The 8259s' INTR goes to LINT0
 * of every local APIC. The 8254's interrupt is a pulse, so that others can pull line 0 as well.
 *
 * Locks: a device's, then `pitLock`, then `picLock`, then `ioapicLock`; local APICs take none (see
 * local_apic.ts), and `wake` may take none. Who accesses the registers of a chip through a bus holds
 * its lock; the methods here take what they need. Saving, restoring and resetting is for a machine
 * that stands.
 */

import type { Arena } from "../../hv/core/state/arena.ts";
import type { Clock } from "../../hv/core/time/clock.ts";
import type { Device } from "../../hv/core/bus/device.ts";
import type { InterruptSink } from "../../hv/core/bus/irq.ts";
import type { Lock } from "../../hv/core/state/lock.ts";
import { bytesOf, record, words } from "../../hv/core/state/record.ts";
import type { Timers } from "../../hv/core/time/timer.ts";
import { msiMessage } from "./apic_message.ts";
import { I8254, I8254State } from "../timers/i8254.ts";
import { restoreI8254, saveI8254 } from "../timers/i8254_kvm_form.ts";
import { I8259, I8259State } from "./i8259.ts";
import { restoreI8259, saveI8259 } from "./i8259_kvm_form.ts";
import { IoApic, IoApicState } from "./ioapic.ts";
import { restoreIoApic, saveIoApic } from "./ioapic_kvm_form.ts";
import { LocalApic } from "./local_apic/local_apic.ts";
import { LocalApicMsrs } from "./local_apic/msr.ts";
import { Latch, LocalApicState } from "./local_apic/registers.ts";
import { LocalApics } from "./local_apic/local_apics.ts";
import { Port61, Port61State } from "../system/port61.ts";

const ISA_LINES = 16;
const TIMER_LINE = 0;
/** The I/O APIC's input for line 0. */
const TIMER_PIN = 2;
const CASCADE = 2;
/** Port 61h: gate of channel 2, speaker data. */
const GATE_2 = 1;
const SPEAKER_DATA = 2;

/** What connects the chips. */
const WiringState = record("pc_interrupts", 1, {
  /** Line 0 as others than the 8254 pull it. */
  line0: words(1),
  /** The 8254's output 0. */
  pitLine: words(1),
  /** The HPET has taken the 8254's place (legacy replacement). */
  pitDisconnected: words(1),
});

/** What the interrupt system is built on. */
export interface PcInterruptsParts {
  readonly arena: Arena;
  readonly timers: Pick<Timers, "create">;
  readonly clock: Clock;
  readonly cpus: number;
  /** Width of physical addresses, 32 to 52 bits. */
  readonly physicalAddressBits: number;
  /** The I/O APIC's guest-physical address, for its saved form. */
  readonly ioapicAddress: number;
  /** There may be something for processor `cpu`; on any thread, under any lock. */
  wake(cpu: number): void;
  /** See `LocalApicTimerWiring.tscDeadlineNs`, for processor `cpu`. */
  tscDeadlineNs(cpu: number, low: number, high: number): number;
}

/** See above. */
export class PcInterrupts implements Device, InterruptSink {
  readonly pic: I8259;
  readonly picLock: Lock;
  readonly ioapic: IoApic;
  readonly ioapicLock: Lock;
  /** Shared with port 61h. */
  readonly pit: I8254;
  readonly port61: Port61;
  readonly pitLock: Lock;
  /** Local APICs by processor, and their MSRs. */
  readonly apics: readonly LocalApic[];
  readonly msrs: readonly LocalApicMsrs[];
  readonly #bus = new LocalApics();
  readonly #parts: PcInterruptsParts;
  readonly #wiring: InstanceType<typeof WiringState>;
  readonly #picState: I8259State;
  readonly #ioapicState: IoApicState;
  readonly #pitState: I8254State;
  readonly #port61State: Port61State;

  /** Attaches to state in the arena; every thread builds the same. */
  constructor(parts: PcInterruptsParts) {
    const { arena, timers, clock } = parts;
    this.#parts = parts;
    this.#wiring = arena.allocate(WiringState, "pc_interrupts");
    this.picLock = arena.lock("pic");
    this.ioapicLock = arena.lock("ioapic");
    this.pitLock = arena.lock("pit");
    this.apics = Array.from({ length: parts.cpus }, (_, cpu) => this.#addLocalApic(cpu));
    this.msrs = this.apics.map((apic) => new LocalApicMsrs(apic, parts.physicalAddressBits));
    this.#picState = arena.allocate(I8259State, "pic");
    this.pic = new I8259(this.#picState, {
      set: (level) => this.apics.forEach((apic) => apic.receiver.setLint(0, level)),
    });
    this.#ioapicState = arena.allocate(IoApicState, "ioapic");
    this.ioapic = new IoApic(this.#ioapicState, this.#bus);
    this.#pitState = arena.allocate(I8254State, "pit");
    this.pit = new I8254(this.#pitState, {
      clock,
      timer: timers.create("pit", this.pitLock),
      irq: { set: (level) => this.#setPitLine(level) },
    });
    this.#port61State = arena.allocate(Port61State, "port61");
    this.port61 = new Port61(this.#port61State, this.pit, clock);
  }

  /** Power-up state of all chips. */
  reset(): void {
    bytesOf(this.#wiring).fill(0);
    // The rise of its output is no tick.
    this.setLegacyReplacement(true);
    this.pit.reset();
    this.setLegacyReplacement(false);
    this.port61.reset();
    for (const apic of this.apics) apic.reset();
    this.ioapic.reset();
    this.pic.reset();
  }

  /** Level of global system interrupt `gsi`, 0 to 23. */
  setIrq(gsi: number, level: boolean): void {
    if (gsi === CASCADE) return;
    if (gsi === TIMER_LINE) {
      return this.picLock.with(() => {
        Atomics.store(this.#wiring.line0, 0, level ? 1 : 0);
        this.#setTimerLine(level);
      });
    }
    if (gsi < ISA_LINES) this.picLock.with(() => this.pic.setIrq(gsi, level));
    this.ioapicLock.with(() => this.ioapic.setIrq(gsi, level));
  }

  /** Delivers a message-signalled interrupt; addresses that are none are ignored. */
  sendMsi(address: number, data: number): void {
    const message = msiMessage(address, data);
    if (message !== undefined) this.#bus.deliver(message);
  }

  /** Does the HPET interrupt in the 8254's place (`HpetWiring.onLegacyReplacement`)? */
  setLegacyReplacement(active: boolean): void {
    Atomics.store(this.#wiring.pitDisconnected, 0, active ? 1 : 0);
  }

  /** Is there an interrupt for processor `cpu`, if it takes any? */
  hasInterrupt(cpu: number): boolean {
    const apic = this.apics[cpu];
    return apic.extIntPending || apic.pending() >= 0;
  }

  /** The interrupt that processor `cpu` takes now: its vector, or -1. The 8259s come first. */
  takeInterrupt(cpu: number): number {
    const apic = this.apics[cpu];
    if (apic.extIntPending) {
      const vector = this.picLock.with(() => {
        const sent = apic.takeLatch(Latch.extInt);
        return sent || this.pic.pending ? this.pic.acknowledge() : -1;
      });
      if (vector >= 0) return vector;
    }
    return apic.pending() < 0 ? -1 : apic.acknowledge();
  }

  /** The chips as blobs with KVM's names and forms; the local APICs are in the processors' states. */
  saveChips(): Map<string, Uint8Array> {
    const [master, slave] = saveI8259(this.#picState);
    const pit = saveI8254(this.#pitState, {
      speakerData: (this.#port61State.control & SPEAKER_DATA) !== 0,
      disconnected: Atomics.load(this.#wiring.pitDisconnected, 0) !== 0,
    });
    return new Map([
      ["kvm.pic0", master],
      ["kvm.pic1", slave],
      ["kvm.ioapic", saveIoApic(this.#ioapicState, this.#parts.ioapicAddress)],
      ["kvm.pit", pit],
    ]);
  }

  /**
   * The reverse of `saveChips`, from KVM's too; chips that `chips` has not stay as they are.
   *
   * @throws {Error} For a blob of the wrong length or chip.
   */
  restoreChips(chips: ReadonlyMap<string, Uint8Array>): void {
    const pit = chips.get("kvm.pit");
    if (pit !== undefined) this.#restorePit(pit);
    const master = chips.get("kvm.pic0");
    const slave = chips.get("kvm.pic1");
    if (master !== undefined && slave !== undefined) {
      restoreI8259(this.pic, this.#picState, master, slave);
      Atomics.store(this.#wiring.line0, 0, this.#picState.master.lines & 1);
    }
    const ioapic = chips.get("kvm.ioapic");
    if (ioapic === undefined) return;
    restoreIoApic(this.ioapic, this.#ioapicState, ioapic, this.#pinsOfIsaLines());
  }

  #addLocalApic(cpu: number): LocalApic {
    const { arena, timers, clock, wake, tscDeadlineNs } = this.#parts;
    const lock = arena.lock(`local_apic.${cpu}`);
    const apic = new LocalApic(arena.allocate(LocalApicState, `local_apic.${cpu}`), {
      index: cpu,
      bus: this.#bus,
      clock,
      lock,
      timer: timers.create(`local_apic.${cpu}`, lock),
      endOfInterrupt: (vector) => this.ioapicLock.with(() => this.ioapic.endOfInterrupt(vector)),
      wake: () => wake(cpu),
      tscDeadlineNs: (low, high) => tscDeadlineNs(cpu, low, high),
    });
    this.#bus.add(apic.receiver);
    return apic;
  }

  #setTimerLine(level: boolean): void {
    this.pic.setIrq(TIMER_LINE, level);
    this.ioapicLock.with(() => this.ioapic.setIrq(TIMER_PIN, level));
  }

  #setPitLine(level: boolean): void {
    const before = Atomics.exchange(this.#wiring.pitLine, 0, level ? 1 : 0);
    if (!level || before || Atomics.load(this.#wiring.pitDisconnected, 0)) return;
    this.picLock.with(() => {
      if (Atomics.load(this.#wiring.line0, 0)) return;
      this.#setTimerLine(true);
      this.#setTimerLine(false);
    });
  }

  #restorePit(blob: Uint8Array): void {
    // A rise of its output while it is loaded is no tick.
    this.setLegacyReplacement(true);
    const { speakerData, disconnected } = restoreI8254(this.pit, this.#pitState, blob);
    const gate = this.#pitState.counters[2].gate ? GATE_2 : 0;
    this.#port61State.control = gate | (speakerData ? SPEAKER_DATA : 0);
    this.setLegacyReplacement(disconnected);
  }

  /** The I/O APIC's inputs that are asserted by lines which the 8259s have too. */
  #pinsOfIsaLines(): number {
    const { master, slave } = this.#picState;
    const lines = (master.lines | (slave.lines << 8)) & ~(1 << CASCADE);
    return (lines & ~1) | (lines & 1 ? 1 << TIMER_PIN : 0);
  }
}
