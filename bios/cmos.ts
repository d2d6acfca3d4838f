/** The clock chip's registers and memory (MC146818) as the firmware uses them, through ports 70h, 71h. */

import type { BusAccess } from "./host.ts";

/** Register numbers. */
export const Cmos = {
  seconds: 0x00,
  secondsAlarm: 0x01,
  minutes: 0x02,
  minutesAlarm: 0x03,
  hours: 0x04,
  hoursAlarm: 0x05,
  day: 0x07,
  month: 0x08,
  year: 0x09,
  statusA: 0x0a,
  statusB: 0x0b,
  statusC: 0x0c,
  statusD: 0x0d,
  shutdown: 0x0f,
  century: 0x32,
} as const;
/** Status B: set mode, periodic and alarm interrupts, binary, daylight saving. */
export const StatusB = {
  set: 0x80,
  periodic: 0x40,
  alarm: 0x20,
  binary: 0x04,
  hours24: 0x02,
} as const;

/** Reads a register. */
export function readCmos(ports: BusAccess, register: number): number {
  ports.write(0x70, 1, register);
  return ports.read(0x71, 1) & 0xff;
}

/** Writes a register. */
export function writeCmos(ports: BusAccess, register: number, value: number): void {
  ports.write(0x70, 1, register);
  ports.write(0x71, 1, value & 0xff);
}

/** A register of the time or date as a number, whether the chip counts in BCD or not. */
export function readClock(ports: BusAccess, register: number): number {
  const value = readCmos(ports, register);
  const binary = (readCmos(ports, Cmos.statusB) & StatusB.binary) !== 0;
  return binary ? value : (value >>> 4) * 10 + (value & 15);
}

/** The time of day; the second does not change while it is read. */
export function readTime(ports: BusAccess): { hours: number; minutes: number; seconds: number } {
  for (let again = 0;; again++) {
    const seconds = readClock(ports, Cmos.seconds);
    const minutes = readClock(ports, Cmos.minutes);
    const hours = readClock(ports, Cmos.hours);
    if (again === 3 || readClock(ports, Cmos.seconds) === seconds) {
      return { hours, minutes, seconds };
    }
  }
}
