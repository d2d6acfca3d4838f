/**
 * The PS/2 mouse: INT 15h AH=C2h, and IRQ 12, which calls the handler that a program has set with
 * each packet.
 *
 * Commands to the mouse go through the keyboard controller with its interrupt off. Its answers come as
 * fast as the cable is: some milliseconds for a reset, which the service spends asking for them.
 *
 * Reference: IBM PS/2 and PC BIOS Interface Technical Reference, INT 15h AH=C2h; Ralf Brown, INT 15/C2.
 */

import { Bda, Ebda } from "../bda.ts";
import type { Guest } from "../guest.ts";
import type { BusAccess, FirmwareHost } from "../host.ts";
import { romCode } from "../rom/rom.ts";

const INVALID_FUNCTION = 1;
const INVALID_INPUT = 2;
const INTERFACE_ERROR = 3;
const NO_HANDLER = 5;

const DATA = 0x60;
const COMMAND = 0x64;
const STATUS_FULL = 0x01;
const STATUS_INPUT_FULL = 0x02;
const STATUS_MOUSE = 0x20;
const READ_COMMAND_BYTE = 0x20;
const WRITE_COMMAND_BYTE = 0x60;
const ENABLE_MOUSE = 0xa8;
const DISABLE_MOUSE = 0xa7;
const WRITE_MOUSE = 0xd4;
const MOUSE_INTERRUPT = 0x02;
const MOUSE_CLOCK_OFF = 0x20;
const ACKNOWLEDGE = 0xfa;
/** How long a byte of an answer may take, and how often it is asked for at most. */
const ANSWER_NS = 20e6;
const PATIENCE = 1_000_000;
const HANDLER_SET = 0x80;
/** Reports a second that BH 0 to 6 mean. */
const SAMPLE_RATES = [10, 20, 40, 60, 80, 100, 200];

/** Mouse commands. */
const Mouse = {
  scaling1: 0xe6,
  scaling2: 0xe7,
  resolution: 0xe8,
  status: 0xe9,
  deviceId: 0xf2,
  sampleRate: 0xf3,
  enable: 0xf4,
  disable: 0xf5,
  reset: 0xff,
} as const;

/** Serves INT 15h AH=C2h. */
export function mouseService(guest: Guest): void {
  const status = guest.host.config.mouse ? serve(guest) : INTERFACE_ERROR;
  guest.ah = status;
  guest.carry = status !== 0;
}

function serve(guest: Guest): number {
  const { host } = guest;
  const { memory } = host;
  switch (guest.al) {
    case 0x00:
      return enable(guest);
    case 0x01:
      return reset(guest);
    case 0x02: {
      const rate = SAMPLE_RATES[guest.bh];
      return rate === undefined ? INVALID_INPUT : send(host, [Mouse.sampleRate, rate]);
    }
    case 0x03:
      return guest.bh > 3 ? INVALID_INPUT : send(host, [Mouse.resolution, guest.bh]);
    case 0x04: {
      const answer = ask(host, [Mouse.deviceId], 1);
      if (answer === undefined) return INTERFACE_ERROR;
      guest.bh = answer[0];
      return 0;
    }
    case 0x05:
      if (guest.bh < 1 || guest.bh > 8) return INVALID_INPUT;
      memory.writeU8(
        Ebda.mouseFlags,
        (memory.readU8(Ebda.mouseFlags) & HANDLER_SET) | (guest.bh - 1),
      );
      return reset(guest);
    case 0x06:
      return extended(guest);
    case 0x07:
      memory.writeU16(Ebda.mouseHandler, guest.bx);
      memory.writeU16(Ebda.mouseHandler + 2, guest.registers.es.selector);
      setHandlerFlag(guest, guest.bx !== 0 || guest.registers.es.selector !== 0);
      return 0;
  }
  return INVALID_FUNCTION;
}

function setHandlerFlag({ host: { memory } }: Guest, set: boolean): void {
  const flags = memory.readU8(Ebda.mouseFlags) & ~HANDLER_SET;
  memory.writeU8(Ebda.mouseFlags, set ? flags | HANDLER_SET : flags);
}

/** AL=00h: BH 1 switches the mouse on, 0 off. */
function enable(guest: Guest): number {
  const { host } = guest;
  const { memory } = host;
  if (guest.bh > 1) return INVALID_INPUT;
  memory.writeU8(Ebda.mouseCount, 0);
  if (guest.bh === 0) {
    const status = send(host, [Mouse.disable]);
    setInterrupt(host, false);
    return status;
  }
  if ((memory.readU8(Ebda.mouseFlags) & HANDLER_SET) === 0) return NO_HANDLER;
  return send(host, [Mouse.enable], true);
}

function reset(guest: Guest): number {
  guest.host.memory.writeU8(Ebda.mouseCount, 0);
  const answer = ask(guest.host, [Mouse.reset], 2);
  if (answer === undefined) return INTERFACE_ERROR;
  guest.bl = answer[0]; // AAh
  guest.bh = answer[1]; // 00h
  return 0;
}

/** AL=06h: BH 0 asks for the status, 1 and 2 set the scaling. */
function extended(guest: Guest): number {
  const { host } = guest;
  if (guest.bh === 1) return send(host, [Mouse.scaling1]);
  if (guest.bh === 2) return send(host, [Mouse.scaling2]);
  if (guest.bh !== 0) return INVALID_FUNCTION;
  const answer = ask(host, [Mouse.status], 3);
  if (answer === undefined) return INTERFACE_ERROR;
  guest.bl = answer[0];
  guest.cl = answer[1];
  guest.dl = answer[2];
  return 0;
}

const send = (host: FirmwareHost, bytes: readonly number[], interrupt = false): number =>
  ask(host, bytes, 0, interrupt) === undefined ? INTERFACE_ERROR : 0;

/** Sends bytes to the mouse, each acknowledged, and reads `count` bytes of answer. */
function ask(
  host: FirmwareHost,
  bytes: readonly number[],
  count: number,
  interrupt?: boolean,
): number[] | undefined {
  const { ports } = host;
  const before = commandByte(host);
  setCommandByte(ports, before & ~(MOUSE_INTERRUPT | MOUSE_CLOCK_OFF));
  ports.write(COMMAND, 1, ENABLE_MOUSE);
  let good = true;
  for (const byte of bytes) {
    ready(ports);
    ports.write(COMMAND, 1, WRITE_MOUSE);
    ready(ports);
    ports.write(DATA, 1, byte);
    good &&= receive(host) === ACKNOWLEDGE;
  }
  const answer: number[] = [];
  for (let i = 0; good && i < count; i++) {
    const byte = receive(host);
    good = byte >= 0;
    answer.push(byte);
  }
  const restored = interrupt === undefined
    ? before
    : interrupt
    ? (before | MOUSE_INTERRUPT) & ~MOUSE_CLOCK_OFF
    : before & ~MOUSE_INTERRUPT;
  setCommandByte(ports, interrupt === false ? restored | MOUSE_CLOCK_OFF : restored);
  return good ? answer : undefined;
}

function setInterrupt(host: FirmwareHost, on: boolean): void {
  const { ports } = host;
  const value = commandByte(host);
  setCommandByte(ports, on ? value | MOUSE_INTERRUPT : value & ~MOUSE_INTERRUPT);
  if (!on) ports.write(COMMAND, 1, DISABLE_MOUSE);
}

function commandByte(host: FirmwareHost): number {
  ready(host.ports);
  host.ports.write(COMMAND, 1, READ_COMMAND_BYTE);
  return receive(host) & 0xff;
}

function setCommandByte(ports: BusAccess, value: number): void {
  ready(ports);
  ports.write(COMMAND, 1, WRITE_COMMAND_BYTE);
  ready(ports);
  ports.write(DATA, 1, value);
}

/** Waits, a little, until the controller takes a byte. */
function ready(ports: BusAccess): void {
  for (let i = 0; i < 64; i++) {
    if ((ports.read(COMMAND, 1) & STATUS_INPUT_FULL) === 0) return;
  }
}

/** The next byte of the controller, or -1. */
function receive({ ports, clock }: FirmwareHost): number {
  const end = clock.nowNs() + ANSWER_NS;
  for (let i = 0; i < PATIENCE && clock.nowNs() <= end; i++) {
    if ((ports.read(COMMAND, 1) & STATUS_FULL) !== 0) return ports.read(DATA, 1);
  }
  return -1;
}

/** IRQ 12: collects a packet; when it is whole, the handler is called with it on the stack. */
export function int74(guest: Guest): void {
  const { memory, ports } = guest.host;
  const status = ports.read(COMMAND, 1);
  if ((status & (STATUS_FULL | STATUS_MOUSE)) !== (STATUS_FULL | STATUS_MOUSE)) return;
  const byte = ports.read(DATA, 1);
  const flags = memory.readU8(Ebda.mouseFlags);
  if ((flags & HANDLER_SET) === 0) return;
  const count = memory.readU8(Ebda.mouseCount) & 7;
  // A first byte has bit 3 set: anything else means that the packets are out of step.
  if (count === 0 && (byte & 0x08) === 0) return;
  memory.writeU8(Ebda.mousePacket + count, byte);
  if (count < (flags & 7)) return memory.writeU8(Ebda.mouseCount, count + 1);
  memory.writeU8(Ebda.mouseCount, 0);
  for (let i = 0; i < 4; i++) {
    guest.push(i <= (flags & 7) ? memory.readU8(Ebda.mousePacket + i) : 0);
  }
  guest.push(0xf000);
  guest.push(romCode().label("mouseDone"));
  guest.push(memory.readU16(Ebda.mouseHandler + 2));
  guest.push(memory.readU16(Ebda.mouseHandler));
  guest.goTo("farReturn");
}

/** POST: the keyboard controller tested and programmed; keyboard on, mouse off. */
export function setUpKeyboardController(guest: Guest): void {
  const { memory, ports } = guest.host;
  for (let i = 0; i < 16 && (ports.read(COMMAND, 1) & STATUS_FULL) !== 0; i++) ports.read(DATA, 1);
  ports.write(COMMAND, 1, 0xaa);
  receive(guest.host);
  ports.write(COMMAND, 1, DISABLE_MOUSE);
  setCommandByte(ports, 0x64); // translation, mouse off, system flag, no interrupts yet
  ready(ports);
  ports.write(DATA, 1, 0xf4); // keyboard: scan
  receive(guest.host);
  setCommandByte(ports, 0x65);
  memory.writeU8(Bda.keyboardStatus, 0x10);
}
