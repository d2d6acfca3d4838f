/**
 * Intel 82540EM (E1000): a gigabit network card on PCI that nearly every system has a driver for.
 *
 * Register accesses come from any virtual processor, under the card's lock; `fetch` and `receive`
 * from the I/O worker, `setLink` from it and from main, and take it. Frames go between the descriptor
 * rings in guest memory and the host end there: a write of TDT or RDT only rings.
 *
 * Left out: wake-up and management, flow control, diagnostics, delays of interrupts other than ITR
 * (RDTR, RADV, TIDV, TADV: interrupts come at once), a ROM to boot from.
 *
 * Reference: PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual (317453-006).
 */

import type { Clock } from "../../../hv/core/time/clock.ts";
import type { Device, IoHandler } from "../../../hv/core/bus/device.ts";
import type { GuestMemory } from "../../../hv/core/memory/guest_memory.ts";
import type { Lock } from "../../../hv/core/state/lock.ts";
import {
  type Frame,
  LOST,
  type NetworkCard,
  NO_OFFLOADS,
  type Unplugged,
  unpluggedAfter,
} from "../../../hv/core/net/network.ts";
import type { Timer } from "../../../hv/core/time/timer.ts";
import { E1000Eeprom } from "./eeprom.ts";
import { E1000_DEVICE_ID, INTEL } from "./identity.ts";
import { E1000Phy } from "./phy.ts";
import { E1000Receiver } from "./receive.ts";
import {
  Cause,
  CAUSES,
  CTRL_PHY_RST,
  CTRL_RESET,
  CTRL_RST,
  MDIC_ERROR,
  MDIC_READ,
  MDIC_READY,
  MDIC_WRITE,
  PHY_ADDRESS,
  RAH_AV,
  Reg,
  REGISTER_BYTES,
  STATISTICS_END,
  STATUS_FD,
  STATUS_LU,
  STATUS_SPEED_1000,
} from "./registers.ts";
import { type E1000State, indexOf } from "./state.ts";
import { E1000Transmitter } from "./transmit.ts";
import type { Bar } from "../../pci/pci_bar.ts";
import { type InterruptPin, PciFunction, type PciFunctionState } from "../../pci/pci_function.ts";

export { E1000State } from "./state.ts";

/** The window of all registers, in memory; most of it is empty. */
const WINDOW_BYTES = 0x2_0000;
/** IOADDR and IODATA, in ports (13.3.1: by them, a register can be reached without memory). */
const PORT_BYTES = 0x40;
const IOADDR = 0;
const IODATA = 4;
/** ITR counts in these. */
const ITR_NS = 256;

/** What the card is connected to. */
export interface E1000Wiring {
  readonly state: E1000State;
  readonly pciState: PciFunctionState;
  readonly pin: InterruptPin;
  readonly memory: GuestMemory;
  readonly clock: Clock;
  /** For interrupts that ITR holds back. */
  readonly timer: Timer;
  /** The card's lock, which its timer has too. */
  readonly lock: Lock;
  /** Six bytes. */
  readonly mac: Uint8Array;
  /** Wakes the I/O worker. */
  readonly ring: () => void;
}

/** See above. */
export class E1000 implements Device, NetworkCard {
  readonly pci: PciFunction;
  readonly #wiring: E1000Wiring;
  readonly #state: E1000State;
  readonly #registers: Uint32Array;
  readonly #eeprom: E1000Eeprom;
  readonly #phy: E1000Phy;
  readonly #transmitter: E1000Transmitter;
  readonly #receiver: E1000Receiver;

  constructor(wiring: E1000Wiring) {
    const { state, pciState, memory, lock, mac, pin, timer } = this.#wiring = wiring;
    this.#state = state;
    this.#registers = state.registers;
    this.#eeprom = new E1000Eeprom(state.eeprom, mac);
    this.#phy = new E1000Phy(state.phy);
    this.#transmitter = new E1000Transmitter(state, memory);
    this.#receiver = new E1000Receiver(state, memory);
    timer.onExpire = () => this.#updateInterrupt();
    const bar = (index: number, kind: Bar["kind"], size: number, device: IoHandler): Bar => ({
      name: "e1000",
      index,
      kind,
      size,
      device,
      lock,
      widths: { min: 4, max: 4 },
    });
    this.pci = new PciFunction(pciState, {
      identity: {
        vendor: INTEL,
        device: E1000_DEVICE_ID,
        revision: 3,
        classCode: 0x02_00_00,
        subsystemVendor: INTEL,
        subsystem: 0x001e,
        pin: 1,
      },
      control: { status: 0x0230, latencyTimer: true },
      pin,
      onMaster: () => this.#wiring.ring(),
      bars: [bar(0, "mem32", WINDOW_BYTES, this.window), bar(1, "io", PORT_BYTES, this.ports)],
    });
  }

  /** All registers, 32 bits wide. */
  readonly window: IoHandler = {
    read: (offset) => this.#read(offset),
    write: (offset, _size, value) => this.#write(offset, value),
  };

  /** IOADDR and IODATA. */
  readonly ports: IoHandler = {
    read: (offset) => {
      const { ioAddress } = this.#state;
      return offset === IOADDR ? ioAddress : offset === IODATA ? this.#read(ioAddress) : 0;
    },
    write: (offset, _size, value) => {
      if (offset === IOADDR) this.#state.ioAddress = value;
      else if (offset === IODATA) this.#write(this.#state.ioAddress, value);
    },
  };

  /** Power-on; the cable stays as it is. */
  reset(): void {
    this.pci.reset();
    this.#state.ioAddress = 0;
    this.#eeprom.reset();
    this.#softReset();
    this.#phy.reset();
  }

  // --- the network's side, on the I/O worker ---------------------------------------------------

  get offloads() {
    return NO_OFFLOADS;
  }

  fetch(): Frame | undefined {
    if (!this.#transmitter.isReady || !this.pci.isMaster) return undefined;
    const { lock } = this.#wiring;
    lock.acquire();
    try {
      return this.#fetch();
    } finally {
      lock.release();
    }
  }

  /** Has heard of each frame at once: its interrupt line stays up until the driver looks. */
  endFetching(): void {}

  receive(frame: Frame): boolean {
    const { lock } = this.#wiring;
    lock.acquire();
    try {
      return this.#receive(frame);
    } finally {
      lock.release();
    }
  }

  setLink(isUp: boolean, who: Unplugged): void {
    this.#wiring.lock.with(() => {
      const s = this.#state;
      const before = this.#isUnplugged;
      s.unplugged = unpluggedAfter(s.unplugged, isUp, who);
      if (this.#isUnplugged !== before) this.#cause(Cause.LSC);
    });
  }

  get #isUnplugged(): boolean {
    return this.#state.unplugged !== 0;
  }

  #fetch(): Frame | undefined {
    let causes = 0;
    const taken = this.#transmitter.take(() => causes |= Cause.TXDW);
    const frame = taken !== undefined && this.#isUnplugged ? LOST : taken;
    if (this.#transmitter.isEmpty) causes |= Cause.TXQE;
    if (frame !== undefined && frame !== LOST) {
      this.#count(frame.bytes.length, Reg.GPTC, Reg.TPT, Reg.GOTCL);
    }
    if (causes !== 0) this.#cause(causes);
    return frame;
  }

  #receive(frame: Frame): boolean {
    const receiver = this.#receiver;
    if (!receiver.isEnabled || !this.pci.isMaster || this.#isUnplugged) return true;
    if (!receiver.accepts(frame.bytes)) return true;
    if (!receiver.store(frame)) {
      this.#state.isStarved = true;
      return false;
    }
    this.#count(frame.bytes.length, Reg.GPRC, Reg.TPR, Reg.GORCL);
    this.#cause(Cause.RXT0 | (receiver.isLow ? Cause.RXDMT0 : 0));
    return true;
  }

  #count(bytes: number, good: number, total: number, octets: number): void {
    const r = this.#registers;
    r[indexOf(good)]++;
    r[indexOf(total)]++;
    const sum = r[indexOf(octets)] + bytes;
    r[indexOf(octets)] = sum;
    if (sum > 0xffff_ffff) r[indexOf(octets) + 1]++;
  }

  // --- registers -------------------------------------------------------------------------------

  #read(offset: number): number {
    const register = offset & ~3;
    if (register < 0 || register >= REGISTER_BYTES) return 0;
    const r = this.#registers;
    const value = r[indexOf(register)];
    switch (register) {
      case Reg.STATUS:
        return STATUS_FD | STATUS_SPEED_1000 | (this.#isUnplugged ? 0 : STATUS_LU);
      case Reg.EECD:
        return this.#eeprom.eecd;
      case Reg.ICR:
        r[indexOf(Reg.ICR)] = 0;
        this.#updateInterrupt();
        return value;
      case Reg.ICS:
      case Reg.IMC:
        return 0;
      default:
        if (register >= Reg.CRCERRS && register < STATISTICS_END) r[indexOf(register)] = 0;
        return value;
    }
  }

  #write(offset: number, value: number): void {
    const register = offset & ~3;
    if (register < 0 || register >= REGISTER_BYTES) return;
    const r = this.#registers;
    switch (register) {
      case Reg.CTRL:
        return this.#writeCtrl(value);
      case Reg.EECD:
        this.#eeprom.eecd = value;
        return;
      case Reg.EERD:
        r[indexOf(Reg.EERD)] = this.#eeprom.readWord(value);
        return;
      case Reg.MDIC:
        return this.#writeMdic(value);
      case Reg.ICR:
        r[indexOf(Reg.ICR)] &= ~value;
        return this.#updateInterrupt();
      case Reg.ICS:
        return this.#cause(value & CAUSES);
      case Reg.IMS:
        r[indexOf(Reg.IMS)] |= value & CAUSES;
        return this.#updateInterrupt();
      case Reg.IMC:
        r[indexOf(Reg.IMS)] &= ~value;
        return this.#updateInterrupt();
      case Reg.STATUS:
        return;
      case Reg.TDT:
      case Reg.TCTL:
        r[indexOf(register)] = value;
        if (this.#transmitter.isReady) this.#wiring.ring();
        return;
      case Reg.RDT:
      case Reg.RCTL:
        r[indexOf(register)] = value;
        if (!this.#state.isStarved) return;
        this.#state.isStarved = false;
        this.#wiring.ring();
        return;
      default:
        r[indexOf(register)] = value;
    }
  }

  #writeCtrl(value: number): void {
    if ((value & CTRL_PHY_RST) !== 0) this.#phy.reset();
    if ((value & CTRL_RST) !== 0) this.#softReset();
    else this.#registers[indexOf(Reg.CTRL)] = value & ~CTRL_PHY_RST;
  }

  /** What CTRL.RST does: everything but the PHY and PCI (13.4.1). */
  #softReset(): void {
    const s = this.#state;
    const r = this.#registers;
    r.fill(0);
    s.context.fill(0);
    s.nextInterruptNs = 0;
    s.isStarved = false;
    r[indexOf(Reg.CTRL)] = CTRL_RESET;
    r[indexOf(Reg.PBA)] = 0x0010_0030;
    const { mac } = this.#wiring;
    r[indexOf(Reg.RAL)] = (mac[0] | mac[1] << 8 | mac[2] << 16 | mac[3] << 24) >>> 0;
    r[indexOf(Reg.RAH)] = (mac[4] | mac[5] << 8 | RAH_AV) >>> 0;
    this.#wiring.timer.disarm();
    this.#updateInterrupt();
  }

  /** The PHY answers at once; of others there is none. */
  #writeMdic(value: number): void {
    const r = this.#registers;
    const register = (value >>> 16) & 31;
    const operation = (value >>> 26) & 3;
    let result = value & ~(MDIC_READY | MDIC_ERROR);
    if (((value >>> 21) & 31) !== PHY_ADDRESS) result |= MDIC_ERROR;
    else if (operation === MDIC_WRITE) this.#phy.write(register, value & 0xffff);
    else if (operation === MDIC_READ) {
      result = (result & ~0xffff) | this.#phy.read(register, !this.#isUnplugged);
    }
    r[indexOf(Reg.MDIC)] = result | MDIC_READY;
    this.#cause(Cause.MDAC);
  }

  // --- interrupts ------------------------------------------------------------------------------

  #cause(causes: number): void {
    this.#registers[indexOf(Reg.ICR)] |= causes;
    this.#updateInterrupt();
  }

  /** The pin follows the causes that are not masked; ITR says how soon after the last it may rise. */
  #updateInterrupt(): void {
    const s = this.#state;
    const r = this.#registers;
    const isWanted = (r[indexOf(Reg.ICR)] & r[indexOf(Reg.IMS)]) !== 0;
    if (isWanted === s.isAsserted) return;
    if (isWanted) {
      const now = this.#wiring.clock.nowNs();
      if (now < s.nextInterruptNs) {
        if (this.#wiring.timer.deadlineNs === 0) this.#wiring.timer.arm(s.nextInterruptNs);
        return;
      }
      s.nextInterruptNs = now + (r[indexOf(Reg.ITR)] & 0xffff) * ITR_NS;
    }
    s.isAsserted = isWanted;
    this.pci.setInterrupt(isWanted);
  }
}
