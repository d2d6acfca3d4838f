/**
 * The NE2000 and its relatives: a DP8390 with 16 KiB of memory, a ROM with the Ethernet address and two
 * ports, one for data and one that resets. On the ISA bus, where systems from before PCI have drivers
 * for it, and as Realtek's RTL8029AS on PCI.
 *
 * Reference: National Semiconductor, AN-729 and AN-874 (the board); Realtek RTL8029AS data sheet (PCI).
 */

import type { Device, IoHandler } from "../../../hv/core/bus/device.ts";
import type { IrqLine } from "../../../hv/core/bus/irq.ts";
import type { Lock } from "../../../hv/core/state/lock.ts";
import {
  type Frame,
  type NetworkCard,
  NO_OFFLOADS,
  PLAIN,
  type Unplugged,
} from "../../../hv/core/net/network.ts";
import { Dp8390, DP8390_PORTS, type Dp8390State } from "./dp8390.ts";
import { type InterruptPin, PciFunction, type PciFunctionState } from "../../pci/pci_function.ts";

/** Ports of the card: the chip's, eight for data, eight that reset. */
export const NE2000_PORTS = 32;
const DATA_PORT = DP8390_PORTS;
const RESET_PORT = 0x18;
/** What stands behind the address in the ROM of a 16-bit card. */
const WORD_CARD = 0x57;
const WORD_CARD_AT = 14;
const ROM_BYTES = 16;
/** Where the chip's RAM begins; below it is the ROM, again and again. */
const ROM_END = 0x4000;

const REALTEK = 0x10ec;
const RTL8029 = 0x8029;
/** What the RTL8029AS has in registers 0Ah and 0Bh; the DP8390 has nothing there. */
const RTL8029_IDENTITY = [0x50, 0x43] as const;
const NO_IDENTITY = [0xff, 0xff] as const;

/** What both cards are connected to. */
export interface Ne2000Wiring {
  readonly state: Dp8390State;
  /** The card's lock. */
  readonly lock: Lock;
  /** Six bytes. */
  readonly mac: Uint8Array;
  /** Wakes the I/O worker. */
  readonly ring: () => void;
}

/** What the two have in common. */
abstract class Ne2000 implements Device, NetworkCard {
  readonly ports: IoHandler;
  protected readonly chip: Dp8390;
  readonly #lock: Lock;

  constructor(
    { state, lock, mac, ring }: Ne2000Wiring,
    identity: readonly [number, number],
    interrupt: (level: boolean) => void,
  ) {
    this.#lock = lock;
    const contents = new Uint8Array(ROM_BYTES).fill(WORD_CARD, WORD_CARD_AT);
    contents.set(mac);
    // Each byte stands there twice, for a bus of 16 bits.
    const rom = (at: number) => at < ROM_END ? contents[at >> 1 & ROM_BYTES - 1] : 0xff;
    this.chip = new Dp8390(state, { rom, identity, interrupt, ring });
    this.ports = new CardPorts(this.chip);
  }

  reset(): void {
    this.chip.powerOn();
  }

  get offloads() {
    return NO_OFFLOADS;
  }

  fetch(): Frame | undefined {
    if (!this.chip.hasFrame) return undefined;
    const bytes = this.#lock.with(() => this.chip.fetch());
    return bytes && { bytes, offload: PLAIN };
  }

  receive({ bytes }: Frame): boolean {
    return this.#lock.with(() => this.chip.receive(bytes));
  }

  endFetching(): void {
    // The guest has heard of each frame when it was transmitted.
  }

  setLink(isUp: boolean, who: Unplugged): void {
    this.#lock.with(() => this.chip.setLink(isUp, who));
  }
}

/** The card on the ISA bus. */
export class Ne2000Isa extends Ne2000 {
  constructor(wiring: Ne2000Wiring, irq: IrqLine) {
    super(wiring, NO_IDENTITY, (level) => irq.set(level));
  }
}

/** The card on PCI. */
export class Ne2000Pci extends Ne2000 {
  readonly pci: PciFunction;

  constructor(
    wiring: Ne2000Wiring,
    { state, pin }: { readonly state: PciFunctionState; readonly pin: InterruptPin },
  ) {
    super(wiring, RTL8029_IDENTITY, (level) => this.pci.setInterrupt(level));
    this.pci = new PciFunction(state, {
      identity: {
        vendor: REALTEK,
        device: RTL8029,
        revision: 0,
        classCode: 0x02_00_00,
        subsystemVendor: REALTEK,
        subsystem: RTL8029,
        pin: 1,
      },
      control: { status: 0x0200 },
      pin,
      bars: [{
        name: "ne2000",
        index: 0,
        kind: "io",
        size: NE2000_PORTS,
        device: this.ports,
        widths: { max: 4 },
        lock: wiring.lock,
      }],
    });
  }

  override reset(): void {
    this.pci.reset();
    super.reset();
  }
}

/** The card's ports, at the data port up to four bytes wide. */
class CardPorts implements IoHandler {
  readonly #chip: Dp8390;
  constructor(chip: Dp8390) {
    this.#chip = chip;
  }

  read(offset: number, size: number): number {
    if (offset >= DATA_PORT && offset < RESET_PORT) {
      const value = this.#chip.readRemote();
      if (size < 4) return value & (size === 1 ? 0xff : 0xffff);
      // Two cycles of a bus of 16 bits.
      return ((value & 0xffff) | this.#chip.readRemote() << 16) >>> 0;
    }
    let value = 0;
    for (let i = 0; i < size; i++) value += this.#readByte(offset + i) * 2 ** (i * 8);
    return value;
  }

  write(offset: number, size: number, value: number): void {
    if (offset >= DATA_PORT && offset < RESET_PORT) {
      this.#chip.writeRemote(value & 0xffff);
      if (size === 4) this.#chip.writeRemote(value >>> 16);
      return;
    }
    for (let i = 0; i < size && offset + i < DATA_PORT; i++) {
      this.#chip.write(offset + i, (value >>> (i * 8)) & 0xff);
    }
  }

  #readByte(offset: number): number {
    if (offset < DP8390_PORTS) return this.#chip.read(offset);
    if (offset >= RESET_PORT && offset < NE2000_PORTS) this.#chip.reset();
    return 0;
  }
}
