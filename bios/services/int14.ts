/**
 * INT 14h, serial ports, and INT 17h, printers (of which there are none).
 *
 * Reference: IBM PS/2 and PC BIOS Interface Technical Reference, INT 14h, INT 17h.
 */

import { Bda, Ebda } from "../bda.ts";
import type { Guest } from "../guest.ts";

const DIVISOR_LATCH = 0x80;
const RECEIVED = 0x01;
const TRANSMITTER_EMPTY = 0x20;
const TIME_OUT = 0x80;
/** 115200 divided by 110, 150, 300, 600, 1200, 2400, 4800, 9600. */
const DIVISORS = [1047, 768, 384, 192, 96, 48, 24, 12];
/** Of the extended initialisation: 110 to 19200. */
const EXTENDED_DIVISORS = [...DIVISORS, 6];
/** Line control's parity bits by AL bits 4-3, or BH: none, odd, even, stick odd, stick even. */
const PARITY = [0x00, 0x08, 0x00, 0x18];
const EXTENDED_PARITY = [0x00, 0x08, 0x18, 0x28, 0x38];

/** Serves INT 14h. */
export function int14(guest: Guest): void {
  const { memory } = guest.host;
  const port = guest.dx < 4 ? memory.readU16(Bda.serialPorts + guest.dx * 2) : 0;
  if (port === 0) return;
  switch (guest.ah) {
    case 0x00: {
      const parity = PARITY[(guest.al >>> 3) & 3];
      const lineControl = (guest.al & 0x07) | parity;
      return initialise(guest, port, DIVISORS[guest.al >>> 5], lineControl);
    }
    case 0x01:
      return send(guest, port);
    case 0x02:
      return receive(guest, port);
    case 0x03:
      return status(guest, port);
    case 0x04: {
      const divisor = EXTENDED_DIVISORS[guest.cl] ?? 12;
      const parity = EXTENDED_PARITY[guest.bh] ?? 0;
      const lineControl = (guest.ch & 3) | (guest.bl & 1) << 2 | parity;
      return initialise(guest, port, divisor, lineControl);
    }
    case 0x05: {
      const { ports } = guest.host;
      if (guest.al === 1) ports.write(port + 4, 1, guest.bl);
      guest.bl = ports.read(port + 4, 1);
      return status(guest, port);
    }
  }
}

function initialise(guest: Guest, port: number, divisor: number, lineControl: number): void {
  const { ports } = guest.host;
  ports.write(port + 3, 1, lineControl | DIVISOR_LATCH);
  ports.write(port, 1, divisor & 0xff);
  ports.write(port + 1, 1, divisor >>> 8);
  ports.write(port + 3, 1, lineControl);
  ports.write(port + 1, 1, 0);
  status(guest, port);
}

function status(guest: Guest, port: number): void {
  const { ports } = guest.host;
  guest.ah = ports.read(port + 5, 1);
  guest.al = ports.read(port + 6, 1);
}

function send(guest: Guest, port: number): void {
  const { ports } = guest.host;
  ports.write(port + 4, 1, (ports.read(port + 4, 1) & 0x18) | 0x03); // DTR, RTS
  if ((ports.read(port + 5, 1) & TRANSMITTER_EMPTY) === 0) return waitOn(guest, port);
  clearDeadline(guest);
  ports.write(port, 1, guest.al);
  guest.ah = ports.read(port + 5, 1) & ~TIME_OUT;
}

function receive(guest: Guest, port: number): void {
  const { ports } = guest.host;
  ports.write(port + 4, 1, (ports.read(port + 4, 1) & 0x18) | 0x01); // DTR
  const line = ports.read(port + 5, 1);
  if ((line & RECEIVED) === 0) return waitOn(guest, port);
  clearDeadline(guest);
  guest.al = ports.read(port, 1);
  guest.ah = line & 0x1e;
}

function clearDeadline({ host: { memory } }: Guest): void {
  memory.writeU32(Ebda.serialDeadline, 0);
}

/** Lets the guest wait until the port's time-out (in seconds, 40:7Ch) has passed. */
function waitOn(guest: Guest, port: number): void {
  const { memory, clock, ports } = guest.host;
  const now = Math.floor(clock.nowNs() / 1e6) >>> 0;
  const deadline = memory.readU32(Ebda.serialDeadline);
  if (deadline === 0) {
    const seconds = memory.readU8(Bda.serialTimeouts + guest.dx) || 1;
    memory.writeU32(Ebda.serialDeadline, (now + seconds * 1000) >>> 0);
  } else if (((deadline - now) | 0) <= 0) {
    clearDeadline(guest);
    guest.ah = ports.read(port + 5, 1) | TIME_OUT;
    return;
  }
  guest.goTo("wait14");
}

/** Serves INT 17h: no printer, so a call times out. */
export function int17(guest: Guest): void {
  if (guest.ah <= 2 && guest.dx < 3) guest.ah = 0x01;
}
