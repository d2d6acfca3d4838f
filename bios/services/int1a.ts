/**
 * INT 1Ah: the tick count, the clock, and the PCI BIOS; IRQ 8.
 *
 * Reference: IBM PS/2 and PC BIOS Interface Technical Reference, INT 1Ah; Ralf Brown, INT 1A; PCI BIOS
 * Specification 2.1.
 */

import { fromBcd, toBcd } from "../../hv/core/bcd.ts";
import { Bda } from "../bda.ts";
import { Cmos, readClock, readCmos, readTime, StatusB, writeCmos } from "../cmos.ts";
import type { Guest } from "../guest.ts";
import { pciBios } from "./pci_bios.ts";

/** Serves one call. */
export function int1a(guest: Guest): void {
  const { memory, ports } = guest.host;
  switch (guest.ah) {
    case 0x00: {
      const ticks = memory.readU32(Bda.ticks);
      guest.cx = ticks >>> 16;
      guest.dx = ticks;
      guest.al = memory.readU8(Bda.midnight);
      memory.writeU8(Bda.midnight, 0);
      guest.carry = false;
      return;
    }
    case 0x01:
      memory.writeU32(Bda.ticks, (guest.cx << 16 | guest.dx) >>> 0);
      memory.writeU8(Bda.midnight, 0);
      guest.ah = 0;
      guest.carry = false;
      return;
    case 0x02: {
      const { hours, minutes, seconds } = readTime(ports);
      guest.ch = toBcd(hours);
      guest.cl = toBcd(minutes);
      guest.dh = toBcd(seconds);
      guest.dl = readCmos(ports, Cmos.statusB) & 1;
      guest.carry = false;
      return;
    }
    case 0x03:
      setClock(guest, [[Cmos.hours, guest.ch], [Cmos.minutes, guest.cl], [Cmos.seconds, guest.dh]]);
      return;
    case 0x04:
      guest.ch = toBcd(readClock(ports, Cmos.century));
      guest.cl = toBcd(readClock(ports, Cmos.year));
      guest.dh = toBcd(readClock(ports, Cmos.month));
      guest.dl = toBcd(readClock(ports, Cmos.day));
      guest.carry = false;
      return;
    case 0x05:
      setClock(guest, [
        [Cmos.century, guest.ch],
        [Cmos.year, guest.cl],
        [Cmos.month, guest.dh],
        [Cmos.day, guest.dl],
      ]);
      return;
    case 0x06:
      return setAlarm(guest);
    case 0x07: {
      const status = readCmos(ports, Cmos.statusB);
      writeCmos(ports, Cmos.statusB, status & ~StatusB.alarm);
      guest.carry = false;
      return;
    }
    case 0xb1:
      return pciBios(guest);
  }
  guest.carry = true;
}

/** Stops the clock, sets registers from BCD, lets it go on. */
function setClock(
  guest: Guest,
  values: readonly (readonly [register: number, bcd: number])[],
): void {
  const { ports } = guest.host;
  const status = readCmos(ports, Cmos.statusB);
  writeCmos(ports, Cmos.statusB, status | StatusB.set);
  for (const [register, bcd] of values) {
    writeCmos(ports, register, (status & StatusB.binary) !== 0 ? fromBcd(bcd) : bcd);
  }
  writeCmos(ports, Cmos.statusB, status & ~StatusB.set);
  guest.ah = 0;
  guest.carry = false;
}

function setAlarm(guest: Guest): void {
  const { ports } = guest.host;
  if ((readCmos(ports, Cmos.statusB) & StatusB.alarm) !== 0) {
    guest.carry = true; // one is set already
    return;
  }
  setClock(guest, [
    [Cmos.hoursAlarm, guest.ch],
    [Cmos.minutesAlarm, guest.cl],
    [Cmos.secondsAlarm, guest.dh],
  ]);
  const status = readCmos(ports, Cmos.statusB);
  writeCmos(ports, Cmos.statusB, status | StatusB.alarm);
}

const PERIODIC_CAME = 0x40;
const ALARM_CAME = 0x20;
/** Microseconds between periodic interrupts at 1024 Hz. */
const PERIOD_MICROSECONDS = 976;

/** IRQ 8: counts down INT 15h AH=83h, and has the stub call INT 4Ah at an alarm. */
export function int70(guest: Guest): void {
  const { memory, ports } = guest.host;
  const enabled = readCmos(ports, Cmos.statusB);
  const came = readCmos(ports, Cmos.statusC) & enabled;
  if ((came & PERIODIC_CAME) !== 0 && (memory.readU8(Bda.waitActive) & 1) !== 0) {
    const left = memory.readU32(Bda.waitMicroseconds);
    if (left > PERIOD_MICROSECONDS) {
      memory.writeU32(Bda.waitMicroseconds, left - PERIOD_MICROSECONDS);
    } else {
      memory.writeU8(Bda.waitActive, 0);
      memory.writeU32(Bda.waitMicroseconds, 0);
      writeCmos(ports, Cmos.statusB, enabled & ~StatusB.periodic);
      const flag = memory.readU16(Bda.waitFlag + 2) * 16 + memory.readU16(Bda.waitFlag);
      guest.space.write8(flag, guest.space.read8(flag) | 0x80);
    }
  }
  if ((came & ALARM_CAME) !== 0) guest.goTo("alarm");
}
