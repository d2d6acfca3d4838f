/**
 * PS/2 mouse with wheel: the standard mouse with three buttons, which becomes an IntelliMouse (wheel)
 * or IntelliMouse Explorer (wheel and five buttons) when the driver asks for it by sample rates.
 *
 * References: IBM Personal System/2 hardware interface technical reference (1990), section "Mouse";
 * Microsoft, "IntelliMouse: PS/2 hardware and data formats".
 *
 * The sample rate is kept and told but paces nothing: a packet is made when the one before has been
 * fetched. The controller holds the lock; so must whoever calls `move`.
 */

import type { Device } from "../../hv/core/bus/device.ts";
import { bytesOf, flag, i32, record, ring, u8 } from "../../hv/core/state/record.ts";
import { Ps2Answer, type Ps2Device, Ps2Output } from "./ps2_device.ts";

/** Commands from the system. */
const SCALING_1_1 = 0xe6;
const SCALING_2_1 = 0xe7;
const SET_RESOLUTION = 0xe8;
const STATUS_REQUEST = 0xe9;
const SET_STREAM = 0xea;
const READ_DATA = 0xeb;
const RESET_WRAP = 0xec;
const SET_WRAP = 0xee;
const SET_REMOTE = 0xf0;
const READ_ID = 0xf2;
const SET_SAMPLE_RATE = 0xf3;
const ENABLE = 0xf4;
const DISABLE = 0xf5;
const SET_DEFAULT = 0xf6;
const RESEND = 0xfe;
const RESET = 0xff;

/** Device identifiers. */
const ID_STANDARD = 0;
const ID_WHEEL = 3;
const ID_FIVE_BUTTONS = 4;

/** Status byte 0. */
const STATUS_REMOTE = 0x40;
const STATUS_ENABLED = 0x20;
const STATUS_2_1 = 0x10;

const DEFAULT_RATE = 100;
/** 4 counts a millimetre. */
const DEFAULT_RESOLUTION = 2;
const QUEUE_BYTES = 64;
/** Movement that is kept for later packets, counts. */
const MAX_KEPT = 0x7fff;

/** The mouse's state. */
export const Ps2MouseState = record("ps2_mouse", 1, {
  reporting: flag,
  remote: flag,
  wrap: flag,
  doubleScaling: flag,
  resolution: u8,
  rate: u8,
  /** The last two rates that were set, newest first: with a third they ask for another ID. */
  knock1: u8,
  knock2: u8,
  id: u8,
  /** The command whose argument is awaited; 0: none. */
  awaiting: u8,
  lastSent: u8,
  /** Pressed now: left, right, middle, fourth, fifth in bits 0 to 4. */
  buttons: u8,
  /** Buttons as the last packet told. */
  sentButtons: u8,
  /** Movement not yet told: right, up, wheel towards the user. */
  dx: i32,
  dy: i32,
  dz: i32,
  answers: ring(16),
  queue: ring(QUEUE_BYTES),
});
/** A view of `Ps2MouseState`. */
export type Ps2MouseState = InstanceType<typeof Ps2MouseState>;

const clamp = (value: number, low: number, high: number) => Math.max(low, Math.min(high, value));

/** 2:1 scaling (command E7h): small counts keep, larger ones double. */
function scale(count: number): number {
  const small = [0, 1, 1, 3, 6, 9];
  const magnitude = Math.abs(count);
  return Math.sign(count) * (small[magnitude] ?? magnitude * 2);
}

/** See above. */
export class Ps2Mouse implements Device, Ps2Device {
  onData: () => void = () => {};
  readonly #state: Ps2MouseState;
  readonly #output: Ps2Output;

  constructor(state: Ps2MouseState) {
    this.#state = state;
    this.#output = new Ps2Output(state);
  }

  reset(): void {
    bytesOf(this.#state).fill(0);
    this.#setDefaults();
  }

  /**
   * The user moves the mouse or presses its buttons.
   *
   * @param dx Counts to the right.
   * @param dy Counts towards the user: down on the screen.
   * @param dz Notches of the wheel towards the user: text moves up.
   * @param buttons Those pressed now: left, right, middle, fourth, fifth in bits 0 to 4.
   * @returns False when the guest does not listen.
   */
  move(dx: number, dy: number, dz: number, buttons: number): boolean {
    const s = this.#state;
    s.buttons = buttons & 0x1f;
    if (!s.reporting && !s.remote) return false;
    s.dx = clamp(s.dx + dx, -MAX_KEPT, MAX_KEPT);
    s.dy = clamp(s.dy - dy, -MAX_KEPT, MAX_KEPT);
    s.dz = clamp(s.dz + dz, -MAX_KEPT, MAX_KEPT);
    if (this.#sample()) this.onData();
    return true;
  }

  /** Has the guest fetched every movement so far? */
  get idle(): boolean {
    return this.#state.queue.length === 0;
  }

  get pending(): boolean {
    return this.#output.pending;
  }

  take(): number {
    const byte = this.#output.take();
    // No `onData`: it is the controller that is taking.
    if (!this.pending) this.#sample();
    return byte;
  }

  send(byte: number): void {
    const s = this.#state;
    byte &= 0xff;
    if (s.wrap && byte !== RESET && byte !== RESET_WRAP) this.#answer(byte);
    else if (s.awaiting !== 0) this.#argument(s.awaiting, byte);
    else this.#command(byte);
    if (this.pending) this.onData();
  }

  #answer(...answer: number[]): void {
    this.#output.answer(...answer);
  }

  #setDefaults(): void {
    const s = this.#state;
    s.rate = DEFAULT_RATE;
    s.resolution = DEFAULT_RESOLUTION;
    s.reporting =
      s.remote =
      s.wrap =
      s.doubleScaling =
        false;
    this.#forgetMovement();
  }

  #forgetMovement(): void {
    const s = this.#state;
    s.dx = s.dy = s.dz = 0;
    s.queue.clear();
  }

  #command(command: number): void {
    const s = this.#state;
    if (command === RESEND) return this.#answer(s.lastSent);
    // A command ends the packet that was being sent.
    s.queue.clear();
    switch (command) {
      case SCALING_1_1:
      case SCALING_2_1:
        s.doubleScaling = command === SCALING_2_1;
        return this.#answer(Ps2Answer.ack);
      case SET_RESOLUTION:
      case SET_SAMPLE_RATE:
        s.awaiting = command;
        return this.#answer(Ps2Answer.ack);
      case STATUS_REQUEST:
        return this.#answer(Ps2Answer.ack, this.#status(), s.resolution, s.rate);
      case SET_STREAM:
      case SET_REMOTE:
        s.remote = command === SET_REMOTE;
        this.#forgetMovement();
        return this.#answer(Ps2Answer.ack);
      case READ_DATA:
        return this.#answer(Ps2Answer.ack, ...this.#packet());
      case RESET_WRAP:
      case SET_WRAP:
        s.wrap = command === SET_WRAP;
        return this.#answer(Ps2Answer.ack);
      case READ_ID:
        return this.#answer(Ps2Answer.ack, s.id);
      case ENABLE:
        s.reporting = true;
        this.#forgetMovement();
        return this.#answer(Ps2Answer.ack);
      case DISABLE:
        s.reporting = false;
        return this.#answer(Ps2Answer.ack);
      case SET_DEFAULT:
        this.#setDefaults();
        return this.#answer(Ps2Answer.ack);
      case RESET:
        s.answers.clear();
        this.#setDefaults();
        s.awaiting = 0;
        s.knock1 = s.knock2 = 0;
        s.id = ID_STANDARD;
        return this.#answer(Ps2Answer.ack, Ps2Answer.bat, ID_STANDARD);
      default:
        return this.#answer(Ps2Answer.resend);
    }
  }

  #argument(command: number, value: number): void {
    const s = this.#state;
    s.awaiting = 0;
    if (command === SET_RESOLUTION) {
      if (value > 3) return this.#answer(Ps2Answer.resend);
      s.resolution = value;
      return this.#answer(Ps2Answer.ack);
    }
    const knock = `${s.knock2},${s.knock1},${value}`;
    s.knock2 = s.knock1;
    s.knock1 = value;
    s.rate = value;
    if (knock === "200,100,80" && s.id === ID_STANDARD) s.id = ID_WHEEL;
    if (knock === "200,200,80" && s.id === ID_WHEEL) s.id = ID_FIVE_BUTTONS;
    this.#answer(Ps2Answer.ack);
  }

  /** Here, unlike in packets, left is bit 2 and right bit 0. */
  #status(): number {
    const { buttons, remote, reporting, doubleScaling } = this.#state;
    return (remote ? STATUS_REMOTE : 0) | (reporting ? STATUS_ENABLED : 0) |
      (doubleScaling ? STATUS_2_1 : 0) |
      ((buttons & 1) << 2) | ((buttons & 4) >> 1) | ((buttons & 2) >> 1);
  }

  /** In stream mode: a packet at once for a button, for movement when the last has been fetched. */
  #sample(): boolean {
    const s = this.#state;
    if (!s.reporting || s.remote || s.wrap) return false;
    const pressed = s.buttons !== s.sentButtons;
    const moved = s.dx !== 0 || s.dy !== 0 || s.dz !== 0;
    if (!pressed && !(moved && s.queue.length === 0)) return false;
    if (s.queue.length + 4 > QUEUE_BYTES) return false;
    for (const byte of this.#packet(s.doubleScaling)) s.queue.push(byte);
    return true;
  }

  #packet(doubled = false): number[] {
    const s = this.#state;
    const rawX = clamp(s.dx, doubled ? -127 : -255, doubled ? 127 : 255);
    const rawY = clamp(s.dy, doubled ? -127 : -255, doubled ? 127 : 255);
    const z = s.id === ID_STANDARD ? s.dz : clamp(s.dz, -8, 7);
    s.dx -= rawX;
    s.dy -= rawY;
    s.dz -= z;
    s.sentButtons = s.buttons;
    const x = doubled ? scale(rawX) : rawX;
    const y = doubled ? scale(rawY) : rawY;
    const packet = [
      0x08 | (s.buttons & 7) | (x < 0 ? 0x10 : 0) | (y < 0 ? 0x20 : 0),
      x & 0xff,
      y & 0xff,
    ];
    if (s.id === ID_WHEEL) packet.push(z & 0xff);
    if (s.id === ID_FIVE_BUTTONS) packet.push((z & 0x0f) | ((s.buttons & 0x18) << 1));
    return packet;
  }
}
