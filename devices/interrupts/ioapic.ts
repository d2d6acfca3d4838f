/**
 * 82093AA I/O APIC: 24 interrupt inputs, each with an entry that says which message it sends to which
 * local APICs. On a PC at FEC00000h.
 *
 * Reference: Intel 82093AA data sheet (order number 290566). The EOI register is that of version 20h
 * (ICH, "I/O APIC EOI register"); version 11h has none.
 *
 * Inputs are asserted or not: as in other hypervisors the polarity bit is kept, but what drives a line
 * already speaks of "asserted". NMI, SMI, INIT and ExtINT are edge-triggered whatever the entry says
 * (3.2.4). Messages arrive at once: delivery status reads 0. Left out: retrying a message that nobody
 * accepted, other than at the next change of its input or entry.
 *
 * Whoever accesses registers or calls `setIrq` or `endOfInterrupt` holds the lock. It is taken after a
 * device's and after a local APIC's, and none is taken while it is held.
 */

import type { Device, IoHandler } from "../../hv/core/bus/device.ts";
import type { InterruptSink } from "../../hv/core/bus/irq.ts";
import { bytesOf, record, u32, u32s, u8 } from "../../hv/core/state/record.ts";
import { type ApicBus, DeliveryMode, wideDestination } from "./apic_message.ts";

/** Inputs. */
export const IOAPIC_PINS = 24;

/** Memory-mapped registers. */
/** 00h, R/W: number of the register at IOWIN. */
const IOREGSEL = 0x00;
/** 10h, R/W. */
const IOWIN = 0x10;
/** 40h, W, version 20h: vector that has ended. */
const EOIR = 0x40;

/** Registers behind IOWIN. */
const IOAPICID = 0x00;
const IOAPICVER = 0x01;
const IOAPICARB = 0x02;
const IOREDTBL = 0x10;

/** IOAPICID and IOAPICARB: bits 27-24. */
const ID_SHIFT = 24;
const ID_MASK = 0xf;
/** IOAPICVER: number of the last entry in bits 23-16. */
const MAX_ENTRY_SHIFT = 16;
/** Version from which there is an EOI register. */
const VERSION_WITH_EOI = 0x20;

/** Redirection entry, bits 31-0. */
const VECTOR = 0xff;
const MODE_SHIFT = 8;
const LOGICAL = 1 << 11;
const DELIVERY_STATUS = 1 << 12;
/** Read-only: a local APIC has the level-triggered interrupt and has not ended it. */
const REMOTE_IRR = 1 << 14;
const LEVEL = 1 << 15;
const MASKED = 1 << 16;
const WRITABLE_LOW = 0x1_ffff & ~(DELIVERY_STATUS | REMOTE_IRR);
/** Bits 63-32: the destination in the top byte. */
const WRITABLE_HIGH = 0xff00_0000;
const DESTINATION_SHIFT = 24;

/** The chip's state. */
export const IoApicState = record("ioapic", 1, {
  /** Levels of the inputs, a bit each. */
  lines: u32,
  select: u8,
  id: u8,
  arbitration: u8,
  /** Redirection entries: bits 31-0 and 63-32. */
  low: u32s(IOAPIC_PINS),
  high: u32s(IOAPIC_PINS),
});
/** A view of `IoApicState`. */
export type IoApicState = InstanceType<typeof IoApicState>;

/** Is an input with this entry (bits 31-0) level-triggered? Only fixed and lowest-priority ones are. */
export function isLevelTriggered(entry: number): boolean {
  const mode = (entry >>> MODE_SHIFT) & 7;
  return (entry & LEVEL) !== 0 && mode <= DeliveryMode.lowestPriority;
}

/** See above. 32 bits wide at multiples of 16 bytes; narrower accesses work on the low bytes. */
export class IoApic implements Device, IoHandler, InterruptSink {
  readonly #state: IoApicState;
  readonly #bus: ApicBus;
  readonly #version: number;

  /** @param version 11h (82093AA), or 20h with an EOI register. */
  constructor(state: IoApicState, bus: ApicBus, version: 0x11 | 0x20 = 0x11) {
    this.#state = state;
    this.#bus = bus;
    this.#version = version;
  }

  reset(): void {
    bytesOf(this.#state).fill(0);
    this.#state.low.fill(MASKED);
  }

  /** Level of input `pin`; those above 23 do not exist. */
  setIrq(pin: number, level: boolean): void {
    if (!(pin >= 0 && pin < IOAPIC_PINS)) return;
    const s = this.#state;
    const bit = 1 << pin;
    const rises = level && !(s.lines & bit);
    s.lines = level ? s.lines | bit : s.lines & ~bit;
    if (rises) this.#request(pin);
  }

  /** A local APIC has ended an interrupt: level-triggered inputs of that vector may ask again. */
  endOfInterrupt(vector: number): void {
    const s = this.#state;
    for (let pin = 0; pin < IOAPIC_PINS; pin++) {
      const entry = s.low[pin];
      if ((entry & VECTOR) !== vector || !(entry & REMOTE_IRR)) continue;
      s.low[pin] = entry & ~REMOTE_IRR;
      this.#requestLevel(pin);
    }
  }

  /** The inputs have been set by other means than `setIrq`: level-triggered ones ask again. */
  refresh(): void {
    for (let pin = 0; pin < IOAPIC_PINS; pin++) this.#requestLevel(pin);
  }

  read(offset: number, size: number): number {
    const value = offset === IOREGSEL
      ? this.#state.select
      : offset === IOWIN
      ? this.#readRegister(this.#state.select)
      : 0;
    return size === 4 ? value : value & (size === 2 ? 0xffff : 0xff);
  }

  write(offset: number, _size: number, value: number): void {
    if (offset === IOREGSEL) this.#state.select = value & 0xff;
    else if (offset === IOWIN) this.#writeRegister(this.#state.select, value >>> 0);
    else if (offset === EOIR && this.#version >= VERSION_WITH_EOI) {
      this.endOfInterrupt(value & VECTOR);
    }
  }

  #readRegister(index: number): number {
    const s = this.#state;
    switch (index) {
      case IOAPICID:
        return s.id << ID_SHIFT;
      case IOAPICVER:
        return ((IOAPIC_PINS - 1) << MAX_ENTRY_SHIFT) | this.#version;
      case IOAPICARB:
        return s.arbitration << ID_SHIFT;
    }
    const pin = (index - IOREDTBL) >> 1;
    if (pin < 0 || pin >= IOAPIC_PINS) return 0;
    return (index & 1 ? s.high : s.low)[pin];
  }

  #writeRegister(index: number, value: number): void {
    const s = this.#state;
    if (index === IOAPICID) {
      // Writing the ID loads the arbitration ID as well (3.2.3).
      s.id = s.arbitration = (value >>> ID_SHIFT) & ID_MASK;
      return;
    }
    const pin = (index - IOREDTBL) >> 1;
    if (pin < 0 || pin >= IOAPIC_PINS) return;
    if (index & 1) {
      s.high[pin] = value & WRITABLE_HIGH;
      return;
    }
    let entry = (s.low[pin] & REMOTE_IRR) | (value & WRITABLE_LOW);
    // Systems end an interrupt without an EOI register by making it edge-triggered for a moment.
    if (!(entry & LEVEL)) entry &= ~REMOTE_IRR;
    s.low[pin] = entry;
    this.#requestLevel(pin);
  }

  #requestLevel(pin: number): void {
    const s = this.#state;
    if (s.lines & (1 << pin) && isLevelTriggered(s.low[pin])) this.#request(pin);
  }

  /** The input asks: masked edges are forgotten, as are levels that still await their EOI. */
  #request(pin: number): void {
    const s = this.#state;
    const entry = s.low[pin];
    if (entry & MASKED) return;
    const levelTriggered = isLevelTriggered(entry);
    if (levelTriggered && entry & REMOTE_IRR) return;
    const accepted = this.#bus.deliver({
      destination: wideDestination(s.high[pin] >>> DESTINATION_SHIFT),
      logical: (entry & LOGICAL) !== 0,
      mode: (entry >>> MODE_SHIFT) & 7,
      vector: entry & VECTOR,
      level: true,
      levelTriggered,
    });
    if (accepted && levelTriggered) s.low[pin] = s.low[pin] | REMOTE_IRR;
  }
}
