/**
 * 82077AA floppy disk controller: ports 3F0h-3F5h and 3F7h, IRQ 6 and DMA channel 2 of a PC.
 *
 * References: Intel 82077AA data sheet (order number 290166), whose sections the comments name; IBM PC
 * AT and PS/2 Technical References for the two register sets (pin IDENT).
 * Left out: motors, head load and step times (a seek takes `DELAY_NS`), gaps, precompensation and
 * perpendicular recording, tape drives, the power-down state, FM, and anything on a track that a plain
 * image of sectors cannot hold: deleted data marks, odd sector sizes, bad CRCs. The drive is the one
 * that the command names; DOR's selection matters to DIR only.
 * Locking: everything runs under the device's lock: accesses, the timer, and the ends of requests to
 * the media. It is taken before those of the DMA controllers and of the interrupt lines.
 * Threats: see execution.ts. Nothing here loops on a guest's word.
 */

import type { Clock } from "../../hv/core/time/clock.ts";
import type { Device, IoHandler } from "../../hv/core/bus/device.ts";
import type { IrqLine } from "../../hv/core/bus/irq.ts";
import { DataRate } from "../../hv/core/media/floppy_formats.ts";
import { bytesOf } from "../../hv/core/state/record.ts";
import type { Timer } from "../../hv/core/time/timer.ts";
import type { DmaChannel } from "../system/i8237.ts";
import { ControlCommands } from "./control.ts";
import { Execution, type FloppyDrive } from "./execution.ts";
import * as fdc from "./state.ts";
import { Command, decode, type I82077State, Phase, Stage } from "./state.ts";

export { type FloppyDrive } from "./execution.ts";
export { I82077State } from "./state.ts";

/** Registers, from 3F0h. */
const Register = {
  /** R, PS/2 only. */
  statusA: 0,
  /** R, PS/2 only. */
  statusB: 1,
  /** R/W. */
  digitalOutput: 2,
  /** R/W. */
  tapeDrive: 3,
  /** R: main status; W: data rate select. */
  mainStatusDataRate: 4,
  /** R/W. */
  fifo: 5,
} as const;

/** Digital output register (2.1.2). */
const DOR_NOT_RESET = 0x04;
const DOR_DMA_GATE = 0x08;
/** Data rate select register (2.1.4). */
const DSR_SOFTWARE_RESET = 0x80;
/**
 * What POST leaves in a PC, instead of the data sheet's 00h and 02h (250 kb/s): out of reset, DMA gate
 * open, 500 kb/s. QEMU does so too, older SeaBIOS leaves reset without opening the gate for the interrupt
 * that it then waits for, and the built-in firmware does not touch the controller at all.
 */
const DOR_AFTER_POST = DOR_NOT_RESET | DOR_DMA_GATE;
const DSR_AFTER_POST = DataRate.k500;
/** Main status register (2.1.5). */
const MSR_REQUEST = 0x80;
const MSR_TO_HOST = 0x40;
const MSR_NON_DMA = 0x20;
const MSR_COMMAND_BUSY = 0x10;
/** Digital input register (2.1.7). */
const DIR_DISK_CHANGE = 0x80;
const DIR_PS2_ONES = 0x78;
const DIR_PS2_NOT_HIGH_DENSITY = 0x01;
/**
 * After a reset the data sheet has implied seeks off. Here they are on, as in QEMU, for older SeaBIOS reads
 * any cylinder without a SEEK and without CONFIGURE; drivers that do seek notice nothing.
 */
const CONFIGURE_AFTER_RESET = fdc.CONFIGURE_IMPLIED_SEEK | fdc.CONFIGURE_NO_FIFO;

/**
 * How long seeks, resets and commands that fail at once take, ns: enough for a driver that clears its
 * flag after it has sent the command, on any processor.
 */
const DELAY_NS = 300_000;
/** How long until a DMA channel that was not ready is asked again, ns. */
const DMA_RETRY_NS = 1_000_000;

interface Collaborators {
  readonly state: I82077State;
  readonly clock: Clock;
  /** Its own timer. */
  readonly timer: Timer;
  readonly irq: IrqLine;
  /** Channel 2 in a PC. */
  readonly dma: DmaChannel;
  /** Drives 0 to 3; in a PC, two at most. The controller sets their ports' `onDone`. */
  readonly drives: readonly (FloppyDrive | undefined)[];
  /** The PS/2 register set in place of the AT's (pin IDENT low). */
  readonly ps2?: boolean;
}

/** See above. Accesses of 1 byte. */
export class I82077 implements Device {
  /** 3F0h-3F5h. */
  readonly registers: IoHandler;
  /** 3F7h: DIR and CCR, apart as 3F6h belongs to the fixed disk. */
  readonly control: IoHandler;
  readonly #state: I82077State;
  readonly #clock: Clock;
  readonly #timer: Timer;
  readonly #irq: IrqLine;
  readonly #dma: DmaChannel;
  readonly #drives: readonly (FloppyDrive | undefined)[];
  readonly #ps2: boolean;
  readonly #controls: ControlCommands;
  readonly #execution: Execution;

  constructor({ state, clock, timer, irq, dma, drives, ps2 = false }: Collaborators) {
    this.#state = state;
    this.#clock = clock;
    this.#timer = timer;
    this.#irq = irq;
    this.#dma = dma;
    this.#drives = drives;
    this.#ps2 = ps2;
    this.#controls = new ControlCommands({
      state,
      drives,
      later: () => this.#later(DELAY_NS),
      setInterrupt: (level) => this.#setInterrupt(level),
      answer: (result) => this.#answer(result),
    });
    this.#execution = new Execution({
      state,
      drives,
      dma,
      retry: () => this.#later(DMA_RETRY_NS),
      fifoRequest: (level) => this.#setInterrupt(level),
      finish: (result, soon) => this.#finish(result, soon),
    });
    timer.onExpire = () => this.#expire();
    for (const [number, drive] of drives.entries()) {
      if (drive === undefined) continue;
      drive.port.onDone = (result) => this.#execution.mediumDone(number, result);
    }
    this.registers = {
      read: (offset) => this.#read(offset),
      write: (offset, _size, value) => this.#write(offset, value & 0xff),
    };
    this.control = {
      read: () => this.#digitalInput(),
      write: (_offset, _size, value) => {
        state.dsr = (state.dsr & ~3) | (value & 3);
      },
    };
  }

  /** The RESET pin (3.1), and what POST does after it. */
  reset(): void {
    this.#timer.disarm();
    bytesOf(this.#state).fill(0);
    this.#state.dor = DOR_AFTER_POST;
    this.#state.dsr = DSR_AFTER_POST;
    this.#softwareReset();
    this.#irq.set(false);
  }

  #read(offset: number): number {
    const { dor, tdr } = this.#state;
    switch (offset) {
      case Register.statusA:
        return this.#ps2 ? this.#statusA() : 0xff;
      case Register.statusB:
        return this.#ps2 ? 0xc0 | ((dor & 1) << 5) | ((dor >> 4) & 3) : 0xff;
      case Register.digitalOutput:
        return dor;
      case Register.tapeDrive:
        return 0xfc | tdr;
      case Register.mainStatusDataRate:
        return this.#mainStatus();
      case Register.fifo:
        return this.#readFifo();
      default:
        return 0xff;
    }
  }

  #write(offset: number, value: number): void {
    const state = this.#state;
    switch (offset) {
      case Register.digitalOutput:
        return this.#writeDigitalOutput(value);
      case Register.tapeDrive:
        state.tdr = value & 3;
        return;
      case Register.mainStatusDataRate:
        state.dsr = value & 0x5f;
        if (value & DSR_SOFTWARE_RESET) {
          this.#softwareReset();
          this.#leaveReset();
        }
        return;
      case Register.fifo:
        return this.#writeFifo(value);
    }
  }

  /** Status register A of a PS/2 (2.1.1); the pins of drives are active low. */
  #statusA(): number {
    const { interrupt, dor } = this.#state;
    const selected = dor & 3;
    const drive = this.#drives[selected];
    const atTrack0 = drive !== undefined && this.#state.track[selected] === 0;
    const writeProtected = drive !== undefined && drive.port.present && drive.port.readOnly;
    return (interrupt ? 0x80 : 0) | (this.#drives[1] === undefined ? 0x40 : 0) |
      (atTrack0 ? 0 : 0x10) | (this.#state.head << 3) | 0x04 | (writeProtected ? 0 : 0x02);
  }

  #mainStatus(): number {
    const { dor, resetting, phase, commandLength, seeking, stage } = this.#state;
    // Not before the reset is over, so that who polls this waits long enough.
    if ((dor & DOR_NOT_RESET) === 0 || resetting) return 0;
    if (phase === Phase.result) return MSR_REQUEST | MSR_TO_HOST | MSR_COMMAND_BUSY | seeking;
    if (phase === Phase.command) {
      return MSR_REQUEST | (commandLength > 0 ? MSR_COMMAND_BUSY : 0) | seeking;
    }
    const nonDma = (this.#state.specify[1] & 1) !== 0 && stage !== Stage.result;
    return MSR_COMMAND_BUSY | (nonDma ? MSR_NON_DMA : 0) | seeking |
      (this.#execution.fifoReady ? MSR_REQUEST : 0) |
      (this.#execution.fifoReady && this.#execution.toHost ? MSR_TO_HOST : 0);
  }

  #digitalInput(): number {
    const { dor, dsr } = this.#state;
    const port = this.#drives[dor & 3]?.port;
    // The drive holds the line until a step finds a diskette; a bay without drive does not pull it.
    const changed = port !== undefined && (port.state.changed || !port.present);
    const change = changed ? DIR_DISK_CHANGE : 0;
    // In an AT the other bits are the fixed disk's.
    if (!this.#ps2) return change;
    const rate = dsr & 3;
    const highDensity = rate === 0 || rate === 3;
    return change | DIR_PS2_ONES | (rate << 1) | (highDensity ? 0 : DIR_PS2_NOT_HIGH_DENSITY);
  }

  #writeDigitalOutput(value: number): void {
    const state = this.#state;
    const wasRunning = (state.dor & DOR_NOT_RESET) !== 0;
    const runs = (value & DOR_NOT_RESET) !== 0;
    state.dor = value;
    if (wasRunning && !runs) this.#softwareReset();
    if (!wasRunning && runs) this.#leaveReset();
    this.#updateLine();
  }

  /** 3.2: what SPECIFY set stays, what CONFIGURE set stays if it is locked. */
  #softwareReset(): void {
    const state = this.#state;
    state.phase = Phase.command;
    state.stage = Stage.none;
    state.commandLength = 0;
    state.resetting = false;
    state.polls = 0;
    state.seeking = 0;
    state.seekEnd = 0;
    state.pcn.fill(0);
    state.perpendicular &= fdc.PERPENDICULAR_DRIVES;
    if (!state.locked) {
      state.configuration = CONFIGURE_AFTER_RESET;
      state.precompensationTrack = 0;
    }
    this.#dma.request(false);
    this.#setInterrupt(false);
  }

  #leaveReset(): void {
    this.#state.resetting = true;
    this.#later(DELAY_NS);
  }

  #later(ns: number): void {
    const deadline = this.#clock.nowNs() + ns;
    const armed = this.#timer.deadlineNs;
    if (armed === 0 || armed > deadline) this.#timer.arm(deadline);
  }

  #expire(): void {
    const state = this.#state;
    if (state.resetting) {
      state.resetting = false;
      // Polling finds the ready lines of all four drives changed (3.2).
      if ((state.configuration & fdc.CONFIGURE_NO_POLLING) === 0) {
        state.polls = 4;
        this.#setInterrupt(true);
      }
    }
    if (state.seeking !== 0) {
      state.polls = 0;
      state.seekEnd |= state.seeking;
      state.seeking = 0;
      this.#setInterrupt(true);
    }
    if (state.stage === Stage.result) this.#enterResult();
    else this.#execution.pump();
  }

  #setInterrupt(level: boolean): void {
    this.#state.interrupt = level;
    this.#updateLine();
  }

  #updateLine(): void {
    const { interrupt, dor } = this.#state;
    this.#irq.set(interrupt && (this.#ps2 || (dor & DOR_DMA_GATE) !== 0));
  }

  #writeFifo(value: number): void {
    const state = this.#state;
    if ((state.dor & DOR_NOT_RESET) === 0 || state.resetting) return;
    if (state.phase === Phase.execution) return this.#execution.writeFifo(value);
    if (state.phase !== Phase.command) return;
    state.command[state.commandLength++] = value;
    const form = decode(state.command[0]);
    if (form === undefined) {
      state.commandLength = 0;
      return this.#answer([fdc.ST0_INVALID]);
    }
    if (state.commandLength < form.length) return;
    state.commandLength = 0;
    if (this.#controls.execute(form.command)) return;
    this.#startExecution(form.command);
  }

  #readFifo(): number {
    const state = this.#state;
    if (state.phase === Phase.execution) return this.#execution.readFifo();
    if (state.phase !== Phase.result) return 0;
    // The first byte read drops the interrupt of the result phase, not those of seeks.
    if (state.resultIndex === 0 && state.seekEnd === 0) this.#setInterrupt(false);
    const byte = state.result[state.resultIndex++];
    if (state.resultIndex >= state.resultLength) state.phase = Phase.command;
    return byte;
  }

  /** Result phase of a command that does without interrupt. */
  #answer(result: readonly number[]): void {
    const state = this.#state;
    state.result.set(result);
    state.resultLength = result.length;
    state.resultIndex = 0;
    state.phase = Phase.result;
  }

  #finish(result: readonly number[], soon: boolean): void {
    this.#answer(result);
    if (!soon) return this.#enterResult();
    this.#state.phase = Phase.execution;
    this.#state.stage = Stage.result;
    this.#later(DELAY_NS);
  }

  #enterResult(): void {
    // A driver that did not ask after all four drives does not care.
    this.#state.polls = 0;
    this.#state.stage = Stage.none;
    this.#state.phase = Phase.result;
    // An edge of its own, also when the FIFO or a seek has the line high.
    this.#setInterrupt(false);
    this.#setInterrupt(true);
  }

  #startExecution(command: Command): void {
    const state = this.#state;
    const [, first, cylinder] = state.command;
    const drive = first & 3;
    state.phase = Phase.execution;
    state.stage = Stage.none;
    const seeks = command !== Command.readId && command !== Command.formatTrack &&
      (state.configuration & fdc.CONFIGURE_IMPLIED_SEEK) !== 0;
    if (seeks) this.#controls.step(drive, cylinder, cylinder - state.pcn[drive]);
    this.#execution.start();
  }
}
