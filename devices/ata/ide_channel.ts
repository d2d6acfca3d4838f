/**
 * IDE (ATA) channel: a cable with up to two drives behind a command block of eight registers (1F0h or
 * 170h) and a control block of one (3F6h or 376h).
 *
 * ATA/ATAPI-6 (T13 1410D): 7 registers, 9.2 software reset, 9.11 EXECUTE DEVICE DIAGNOSTIC, 9.16
 * one drive alone. Writes reach both drives, the selected one answers and pulls the interrupt line.
 *
 * Drive 0 answers for an absent drive 1 with Status 00h, so that no probe waits for it; on an empty
 * cable reads find DD7 pulled down and everything else up: 7Fh, not busy and no drive.
 *
 * Lock: one for the whole controller (both channels, the bus master and the drives' block ports),
 * because the bus master's registers are one block. Left out: 3F7h (Drive Address, withdrawn in ATA-3),
 * overlap and queueing.
 */

import type { Device, IoHandler } from "../../hv/core/bus/device.ts";
import type { IrqLine } from "../../hv/core/bus/irq.ts";
import { flag, nested, record, u8 } from "../../hv/core/state/record.ts";
import type { IdeDrive } from "./ide_drive.ts";
import {
  Control,
  DeviceBit,
  IdeRegisters,
  readRegister,
  Reg,
  setSignature,
  Status,
  writeRegister,
} from "./ide_registers.ts";

const EXECUTE_DEVICE_DIAGNOSTIC = 0x90;
const DEVICE_RESET = 0x08;
/** What an empty cable reads as, in each width. */
const FLOATING: Readonly<Record<number, number>> = { 1: 0x7f, 2: 0xff7f, 4: 0xff7f_ff7f };

/** Shared by all threads. */
export const IdeChannelState = record("ide.channel", 1, {
  /** Device register as last written: selects the drive. */
  device: u8,
  /** Device Control register. */
  control: u8,
  /** Level of the interrupt line. */
  line: flag,
  /** The registers that an absent drive seems to have beside a present one. */
  absent: nested(IdeRegisters),
});
/** A view of `IdeChannelState`. */
export type IdeChannelState = InstanceType<typeof IdeChannelState>;

/** What a channel is connected to. */
export interface IdeChannelParts {
  readonly irq: IrqLine;
  /** Drive 0 and drive 1. */
  readonly drives: readonly [IdeDrive | undefined, IdeDrive | undefined];
}

/** See above. */
export class IdeChannel implements Device {
  /** Eight ports from 1F0h or 170h, widths 1 to 4. */
  readonly commandBlock: IoHandler;
  /** The port 3F6h or 376h, width 1. */
  readonly controlBlock: IoHandler;
  /** Called when the channel's interrupt line rises; the bus master sets it. */
  onInterrupt: () => void = () => {};
  /** Called when data wait for the bus master; the bus master sets it. */
  onDma: () => void = () => {};
  readonly #state: IdeChannelState;
  readonly #irq: IrqLine;
  readonly #drives: IdeChannelParts["drives"];
  readonly #registers: readonly [IdeRegisters, IdeRegisters];

  constructor(state: IdeChannelState, { irq, drives }: IdeChannelParts) {
    this.#state = state;
    this.#irq = irq;
    this.#drives = drives;
    this.#registers = [
      drives[0]?.registers ?? state.absent,
      drives[1]?.registers ?? state.absent,
    ];
    for (const drive of drives) {
      if (drive === undefined) continue;
      drive.onInterrupt = () => this.#updateLine();
      drive.onDma = () => this.onDma();
    }
    this.commandBlock = {
      read: (offset, size) => this.#readCommandBlock(offset, size),
      write: (offset, size, value) => this.#writeCommandBlock(offset, size, value),
    };
    this.controlBlock = {
      read: () => this.#status(),
      write: (_offset, _size, value) => this.#writeControl(value),
    };
  }

  reset(): void {
    const state = this.#state;
    state.device = state.control = 0;
    writeRegister(state.absent, Reg.device, 0);
    state.absent.features = state.absent.hobFeatures = 0;
    this.#clearAbsent();
    for (const drive of this.#drives) drive?.reset();
    state.line = false;
    this.#irq.set(false);
  }

  /** The drive that has data for the bus master, if any. */
  get dmaDrive(): IdeDrive | undefined {
    return this.#drives.find((drive) => drive?.dmaWindow !== undefined);
  }

  /** Does the channel pull its interrupt line? */
  get interrupt(): boolean {
    return this.#state.line;
  }

  get #selected(): IdeDrive | undefined {
    return this.#drives[(this.#state.device & DeviceBit.DEV) >> 4];
  }

  get #selectedRegisters(): IdeRegisters {
    return this.#registers[(this.#state.device & DeviceBit.DEV) >> 4];
  }

  get #empty(): boolean {
    return this.#drives[0] === undefined && this.#drives[1] === undefined;
  }

  #readCommandBlock(offset: number, size: number): number {
    if (this.#empty) return FLOATING[size];
    if (offset === Reg.data) return this.#selected?.readData(size) ?? 0;
    let value = 0;
    for (let i = 0; i < size; i++) value += this.#readByte((offset + i) & 7) * 2 ** (i * 8);
    return value;
  }

  #readByte(offset: number): number {
    if (offset === Reg.data) return this.#selected?.readData(1) ?? 0;
    const registers = this.#selectedRegisters;
    if (offset === Reg.status) {
      const status = this.#status();
      if (registers.interrupt) {
        registers.interrupt = false;
        this.#updateLine();
      }
      return status;
    }
    const value = readRegister(registers, offset, (this.#state.control & Control.HOB) !== 0);
    if (offset !== Reg.device) return value;
    return DeviceBit.FIXED | (value & ~DeviceBit.DEV) | (this.#state.device & DeviceBit.DEV);
  }

  #writeCommandBlock(offset: number, size: number, value: number): void {
    if (this.#empty) return;
    if (offset === Reg.data) {
      this.#selected?.writeData(size, value);
      return;
    }
    for (let i = 0; i < size; i++) this.#writeByte((offset + i) & 7, (value >>> (i * 8)) & 0xff);
  }

  #writeByte(offset: number, value: number): void {
    this.#state.control &= ~Control.HOB;
    if (offset === Reg.data) {
      this.#selected?.writeData(1, value);
      return;
    }
    if (offset === Reg.command) return this.#command(value);
    // While a command is under way its parameters are not the host's to change (7.2 and following).
    if ((this.#selectedRegisters.status & (Status.BSY | Status.DRQ)) !== 0) return;
    for (const registers of this.#registers) writeRegister(registers, offset, value);
    if (offset === Reg.device) {
      this.#state.device = value;
      this.#updateLine();
    }
  }

  #command(opcode: number): void {
    const drive = this.#selected;
    const busy = (this.#selectedRegisters.status & (Status.BSY | Status.DRQ)) !== 0;
    if (opcode === EXECUTE_DEVICE_DIAGNOSTIC && !busy) return this.#diagnose();
    if (drive === undefined) return;
    if (busy) {
      const breaksOff = opcode === DEVICE_RESET && drive.takesDeviceReset &&
        (this.#state.control & Control.SRST) === 0;
      if (!breaksOff) return;
    }
    drive.registers.interrupt = false;
    this.#updateLine();
    drive.execute(opcode);
  }

  /** Both drives examine themselves and drive 0 reports for both (9.11). */
  #diagnose(): void {
    this.#state.device &= ~DeviceBit.DEV;
    this.#clearAbsent();
    for (const drive of this.#drives) {
      if (drive === undefined) continue;
      drive.registers.device &= ~DeviceBit.DEV;
      drive.registers.interrupt = false;
      drive.diagnose();
    }
    this.#selectedRegisters.interrupt = this.#selected !== undefined;
    this.#updateLine();
  }

  #writeControl(value: number): void {
    const before = this.#state.control;
    this.#state.control = value;
    if (((before ^ value) & Control.SRST) !== 0) {
      const level = (value & Control.SRST) !== 0;
      if (level) {
        this.#state.device = 0;
        for (const registers of this.#registers) registers.device = 0;
        this.#clearAbsent();
      }
      for (const drive of this.#drives) drive?.softReset(level);
    }
    this.#updateLine();
  }

  #status(): number {
    if (this.#empty) return FLOATING[1];
    return this.#selected === undefined ? 0 : this.#selected.registers.status;
  }

  /** An absent drive shows the signature of nothing: a probe must not take drive 0's for its own. */
  #clearAbsent(): void {
    const { absent } = this.#state;
    setSignature(absent, 0xff, 0xff);
    absent.error = absent.status = 0;
    absent.interrupt = false;
  }

  #updateLine(): void {
    const level = this.#selectedRegisters.interrupt && (this.#state.control & Control.nIEN) === 0;
    if (level === this.#state.line) return;
    this.#state.line = level;
    this.#irq.set(level);
    if (level) this.onInterrupt();
  }
}
