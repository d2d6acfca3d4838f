/**
 * 8042 keyboard controller of a PS/2: data at 60h, command and status at 64h, with a port for the
 * keyboard (IRQ 1) and one for the mouse (IRQ 12), and an output port with A20 and the reset line.
 *
 * References: IBM Personal System/2 hardware interface technical reference (1990), section "Keyboard
 * and auxiliary device controller"; IBM PC/AT technical reference for translation and FEh.
 *
 * One byte at a time lies in the output buffer, and each raises its interrupt. After a byte was read
 * the next one from a device comes no sooner than the cable would bring it: programs that hook the
 * keyboard interrupt read port 60h first and the BIOS behind them reads the same byte again. The first
 * byte of an answer comes at once: nobody can have read it before.
 *
 * Left out: passwords (A4h-A6h) and diagnostics that stop the chip. The lock of this device is also
 * the keyboard's and the mouse's.
 */

import type { Clock } from "../../hv/core/time/clock.ts";
import type { Device, IoHandler } from "../../hv/core/bus/device.ts";
import type { IrqLine } from "../../hv/core/bus/irq.ts";
import { bytes, bytesOf, f64, flag, record, ring, u8 } from "../../hv/core/state/record.ts";
import type { Timer } from "../../hv/core/time/timer.ts";
import { isBreakPrefix, toSet1 } from "./i8042_translation.ts";
import type { Ps2Device } from "./ps2_device.ts";

/** Status, 64h R. */
const OUT_BUF_FULL = 0x01;
const SYSTEM_FLAG = 0x04;
const COMMAND_LAST = 0x08;
const NOT_INHIBITED = 0x10;
const AUX_OUT_BUF_FULL = 0x20;

/** Command byte, byte 0 of the internal RAM. */
const ENABLE_KEYBOARD_IRQ = 0x01;
const ENABLE_AUX_IRQ = 0x02;
const SYSTEM = 0x04;
const DISABLE_KEYBOARD = 0x10;
const DISABLE_AUX = 0x20;
const TRANSLATE = 0x40;

/** Output port: bit 0 low resets the processor, bits 4 and 5 are the interrupts. */
const NOT_RESET = 0x01;
const GATE_A20 = 0x02;
const OUTPUT_KEYBOARD_IRQ = 0x10;
const OUTPUT_AUX_IRQ = 0x20;
const OUTPUT_CLOCK_AND_DATA = 0xc0;

/** Commands, 64h W. Not named here: 20h-3Fh read RAM, 60h-7Fh write it, F0h-FFh pulse outputs. */
const DISABLE_AUX_PORT = 0xa7;
const ENABLE_AUX_PORT = 0xa8;
const TEST_AUX_PORT = 0xa9;
const SELF_TEST = 0xaa;
const TEST_KEYBOARD_PORT = 0xab;
const DISABLE_KEYBOARD_PORT = 0xad;
const ENABLE_KEYBOARD_PORT = 0xae;
const READ_INPUT_PORT = 0xc0;
const READ_OUTPUT_PORT = 0xd0;
const WRITE_OUTPUT_PORT = 0xd1;
const WRITE_KEYBOARD_BUFFER = 0xd2;
const WRITE_AUX_BUFFER = 0xd3;
const WRITE_AUX = 0xd4;
const DISABLE_A20 = 0xdd;
const ENABLE_A20 = 0xdf;
const READ_TEST_INPUTS = 0xe0;

/** Input port: keyboard not locked, colour display jumper, jumper for RAM. */
const INPUT_PORT = 0xb0;
/** Test inputs: data of the idle keyboard is high; clock is, unless the port is disabled. */
const TEST_DATA = 0x02;
const TEST_CLOCK = 0x01;
const SELF_TEST_PASSED = 0x55;
const PORT_TEST_PASSED = 0x00;

/** From one byte read to the next from a device: eleven bits at 15 kHz. */
const BYTE_NS = 733_000;

/** Where a byte in the output buffer is from. */
const Source = { controller: 0, keyboard: 1, aux: 2 } as const;
type Source = typeof Source[keyof typeof Source];

/** The controller's state. */
export const I8042State = record("i8042", 1, {
  /** Internal RAM; byte 0 is the command byte. */
  ram: bytes(32),
  outputFull: flag,
  /** Last byte in the output buffer; it stays there when read. */
  output: u8,
  /** One of `Source`. */
  outputSource: u8,
  /** The command whose data is awaited at 60h; 0: none. */
  awaiting: u8,
  commandLast: flag,
  gateA20: flag,
  /** F0h came from the keyboard: what follows is a break code. */
  breakPrefix: flag,
  /** No byte from a device before this guest time, ns. */
  notBeforeNs: f64,
  /** The controller's own answers, each followed by its `Source`: before anything from a device. */
  answers: ring(32),
});
/** A view of `I8042State`. */
export type I8042State = InstanceType<typeof I8042State>;

/** What the controller is connected to. */
export interface I8042Wiring {
  readonly keyboard: Ps2Device;
  readonly mouse: Ps2Device;
  /** IRQ 1. */
  readonly keyboardIrq: IrqLine;
  /** IRQ 12. */
  readonly mouseIrq: IrqLine;
  readonly clock: Clock;
  /** Brings the next byte. */
  readonly timer: Timer;
  /** Address line 20 follows the processor (true) or stays low. */
  readonly a20: (on: boolean) => void;
  /** The guest asks for a reset of the processor. */
  readonly requestReset: () => void;
}

/** See above. Both ports have width 1. */
export class I8042 implements Device {
  /** Port 60h. */
  readonly data: IoHandler;
  /** Port 64h. */
  readonly command: IoHandler;
  readonly #state: I8042State;
  readonly #wiring: I8042Wiring;

  constructor(state: I8042State, wiring: I8042Wiring) {
    this.#state = state;
    this.#wiring = wiring;
    this.data = {
      read: () => this.#readData(),
      write: (_offset, _size, value) => this.#writeData(value & 0xff),
    };
    this.command = {
      read: () => this.#status(),
      write: (_offset, _size, value) => this.#writeCommand(value & 0xff),
    };
    wiring.keyboard.onData = () => this.#load();
    wiring.mouse.onData = () => this.#load();
    wiring.timer.onExpire = () => this.#load();
  }

  /**
   * Power-on, of the keyboard and the mouse too: ports open, no interrupts until the firmware asks for
   * them (else the answers that it polls for would leave edges behind). A20 is open, as firmware
   * expects of this board.
   */
  reset(): void {
    const s = this.#state;
    const { keyboard, mouse, timer } = this.#wiring;
    bytesOf(s).fill(0);
    keyboard.reset();
    mouse.reset();
    timer.disarm();
    this.#setA20(true);
    this.#updateIrqs();
  }

  #status(): number {
    const s = this.#state;
    return NOT_INHIBITED | (s.outputFull ? OUT_BUF_FULL : 0) |
      (s.ram[0] & SYSTEM ? SYSTEM_FLAG : 0) | (s.commandLast ? COMMAND_LAST : 0) |
      (s.outputFull && s.outputSource === Source.aux ? AUX_OUT_BUF_FULL : 0);
  }

  #readData(): number {
    const s = this.#state;
    const value = s.output;
    if (s.outputFull) {
      s.outputFull = false;
      if (s.outputSource !== Source.controller) {
        s.notBeforeNs = this.#wiring.clock.nowNs() + BYTE_NS;
      }
      // The lines must fall even when an answer follows at once: each byte has its edge.
      this.#updateIrqs();
      this.#load();
    }
    return value;
  }

  #writeData(value: number): void {
    const s = this.#state;
    const { keyboard, mouse } = this.#wiring;
    const command = s.awaiting;
    s.awaiting = 0;
    s.commandLast = false;
    if (command >= 0x60 && command < 0x80) {
      s.ram[command & 0x1f] = value;
      this.#updateIrqs();
      this.#load();
      return;
    }
    switch (command) {
      case WRITE_OUTPUT_PORT:
        this.#setA20((value & GATE_A20) !== 0);
        if (!(value & NOT_RESET)) this.#wiring.requestReset();
        return;
      case WRITE_KEYBOARD_BUFFER:
        return this.#answer(value, Source.keyboard);
      case WRITE_AUX_BUFFER:
        return this.#answer(value, Source.aux);
      case WRITE_AUX:
        s.ram[0] &= ~DISABLE_AUX;
        s.notBeforeNs = 0;
        return mouse.send(value);
      default: // sending opens a closed port
        s.ram[0] &= ~DISABLE_KEYBOARD;
        s.notBeforeNs = 0;
        return keyboard.send(value);
    }
  }

  #writeCommand(command: number): void {
    const s = this.#state;
    s.commandLast = true;
    s.awaiting = 0;
    if (command >= 0x20 && command < 0x40) return this.#answer(s.ram[command & 0x1f]);
    if (command >= 0x60 && command < 0x80) {
      s.awaiting = command;
      return;
    }
    // Pulses the output port's low bits that are 0: bit 0 is the reset line, the others lead nowhere.
    if (command >= 0xf0) {
      if (!(command & NOT_RESET)) this.#wiring.requestReset();
      return;
    }
    switch (command) {
      case DISABLE_AUX_PORT:
        return this.#setPort(DISABLE_AUX, true);
      case ENABLE_AUX_PORT:
        return this.#setPort(DISABLE_AUX, false);
      case DISABLE_KEYBOARD_PORT:
        return this.#setPort(DISABLE_KEYBOARD, true);
      case ENABLE_KEYBOARD_PORT:
        return this.#setPort(DISABLE_KEYBOARD, false);
      case TEST_AUX_PORT:
      case TEST_KEYBOARD_PORT:
        return this.#answer(PORT_TEST_PASSED);
      case SELF_TEST:
        s.ram[0] |= SYSTEM;
        return this.#answer(SELF_TEST_PASSED);
      case READ_INPUT_PORT:
        return this.#answer(INPUT_PORT);
      case READ_OUTPUT_PORT:
        return this.#answer(this.#outputPort());
      case READ_TEST_INPUTS:
        return this.#answer(TEST_DATA | (s.ram[0] & DISABLE_KEYBOARD ? 0 : TEST_CLOCK));
      case DISABLE_A20:
      case ENABLE_A20:
        return this.#setA20(command === ENABLE_A20);
      case WRITE_OUTPUT_PORT:
      case WRITE_KEYBOARD_BUFFER:
      case WRITE_AUX_BUFFER:
      case WRITE_AUX:
        s.awaiting = command;
        return;
    }
  }

  #setPort(disable: number, closed: boolean): void {
    const { ram } = this.#state;
    ram[0] = closed ? ram[0] | disable : ram[0] & ~disable;
    this.#updateIrqs();
    this.#load();
  }

  #setA20(on: boolean): void {
    this.#state.gateA20 = on;
    this.#wiring.a20(on);
  }

  #outputPort(): number {
    const s = this.#state;
    const irq = s.outputSource === Source.aux ? OUTPUT_AUX_IRQ : OUTPUT_KEYBOARD_IRQ;
    return OUTPUT_CLOCK_AND_DATA | NOT_RESET | (s.gateA20 ? GATE_A20 : 0) |
      (s.outputFull ? irq : 0);
  }

  #answer(byte: number, source: Source = Source.controller): void {
    const { answers } = this.#state;
    if (answers.length + 2 > answers.capacity) return; // nobody reads them
    answers.push(byte);
    answers.push(source);
    this.#load();
  }

  /** Fills the output buffer when it is empty and there is something that may come now. */
  #load(): void {
    const s = this.#state;
    if (s.outputFull) return;
    const answer = s.answers.shift();
    if (answer >= 0) return this.#fill(answer, s.answers.shift() as Source);
    const { keyboard, mouse, timer, clock } = this.#wiring;
    const fromKeyboard = keyboard.pending && !(s.ram[0] & DISABLE_KEYBOARD);
    const fromMouse = mouse.pending && !(s.ram[0] & DISABLE_AUX);
    if (!fromKeyboard && !fromMouse) return;
    if (clock.nowNs() < s.notBeforeNs) {
      timer.arm(s.notBeforeNs);
    } else if (!fromKeyboard || !this.#loadKeyboard()) {
      if (fromMouse) this.#fill(mouse.take(), Source.aux);
    }
  }

  /** One byte for the system from as many of the keyboard's as it takes; false when there is none. */
  #loadKeyboard(): boolean {
    const s = this.#state;
    const { keyboard } = this.#wiring;
    while (keyboard.pending) {
      const byte = keyboard.take();
      if (!(s.ram[0] & TRANSLATE)) {
        this.#fill(byte, Source.keyboard);
        return true;
      }
      if (isBreakPrefix(byte)) {
        s.breakPrefix = true;
      } else {
        const code = toSet1(byte, s.breakPrefix);
        s.breakPrefix = false;
        this.#fill(code, Source.keyboard);
        return true;
      }
    }
    return false;
  }

  #fill(byte: number, source: Source): void {
    const s = this.#state;
    s.output = byte;
    s.outputSource = source;
    s.outputFull = true;
    this.#updateIrqs();
  }

  #updateIrqs(): void {
    const s = this.#state;
    const { keyboardIrq, mouseIrq } = this.#wiring;
    const isAux = s.outputSource === Source.aux;
    const control = s.ram[0];
    // Answers to commands given while the keyboard port is closed are polled for.
    const keyboardOn = (control & (ENABLE_KEYBOARD_IRQ | DISABLE_KEYBOARD)) === ENABLE_KEYBOARD_IRQ;
    keyboardIrq.set(s.outputFull && !isAux && keyboardOn);
    mouseIrq.set(s.outputFull && isAux && (control & ENABLE_AUX_IRQ) !== 0);
  }
}
