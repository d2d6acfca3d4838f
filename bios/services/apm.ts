/**
 * INT 15h AH=53h, Advanced Power Management by its real-mode interface: switching off, and idling.
 * The protected-mode interfaces are left out: systems that use them have ACPI.
 *
 * Reference: Intel, Microsoft: Advanced Power Management BIOS Interface Specification 1.2.
 */

import type { Guest } from "../guest.ts";

const VERSION = 0x0102;
/** "PM" in BX. */
const SIGNATURE = 0x504d;
const BIOS_DEVICE = 0x0000;
const ALL_DEVICES = 0x0001;
const STATE_OFF = 0x0003;
/** There is no such protected-mode interface. */
const NO_16_BIT = 0x06;
const NO_32_BIT = 0x08;
const UNRECOGNISED_DEVICE = 0x09;
const OUT_OF_RANGE = 0x0a;
const NO_EVENTS = 0x80;
const NOT_PRESENT = 0x86;

/** Serves one call. */
export function apm(guest: Guest): void {
  const status = serve(guest);
  guest.carry = status !== 0;
  if (status !== 0) guest.ah = status;
}

/** Carries out a function; the error code for AH, or 0. */
function serve(guest: Guest): number {
  switch (guest.al) {
    case 0x00: // installation check
      if (guest.bx !== BIOS_DEVICE) return UNRECOGNISED_DEVICE;
      guest.ax = VERSION;
      guest.bx = SIGNATURE;
      guest.cx = 0; // neither protected-mode interface; idling does not slow the clock
      return 0;
    case 0x02:
      return NO_16_BIT;
    case 0x03:
      return NO_32_BIT;
    case 0x01: // connect the real-mode interface
    case 0x04: // disconnect
    case 0x06: // processor busy
    case 0x08: // enable power management
    case 0x0d:
    case 0x0f: // engage
      return 0;
    case 0x05: // processor idle: until the next interrupt
      guest.goTo("idle16");
      return 0;
    case 0x07:
      return setState(guest);
    case 0x0a: // power status: on line, no battery
      if (guest.bx !== ALL_DEVICES) return UNRECOGNISED_DEVICE;
      guest.bx = 0x01ff;
      guest.cx = 0x80ff;
      guest.dx = 0xffff;
      return 0;
    case 0x0b:
      return NO_EVENTS;
    case 0x0e: // driver's version
      guest.ax = VERSION;
      return 0;
  }
  return NOT_PRESENT;
}

function setState(guest: Guest): number {
  if (guest.bx !== ALL_DEVICES) return UNRECOGNISED_DEVICE;
  if (guest.cx > STATE_OFF) return OUT_OF_RANGE;
  if (guest.cx === STATE_OFF) guest.goTo("powerOff");
  return 0;
}
