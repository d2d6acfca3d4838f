/**
 * INT 15h: system services — A20, waiting, memory sizes and maps, block move, configuration. Power
 * management (AH=53h) is in apm.ts, the mouse (AH=C2h) in mouse.ts.
 *
 * Reference: IBM PS/2 and PC BIOS Interface Technical Reference, INT 15h; Ralf Brown, INT 15; ACPI 5.0
 * §15.1 (E820h).
 */

import { E820Type, type MemoryRange } from "../../hv/core/memory/e820.ts";
import { apm } from "./apm.ts";
import { Bda, Ebda, EBDA_SEGMENT } from "../bda.ts";
import { Cmos, readCmos, StatusB, writeCmos } from "../cmos.ts";
import type { Guest } from "../guest.ts";
import { mouseService } from "./mouse.ts";
import { RomOffset } from "../rom/rom.ts";

const UNSUPPORTED = 0x86;
const SMAP = 0x534d_4150;
const MIB = 1 << 20;
const SYSTEM_CONTROL_A = 0x92;
const A20 = 0x02;
/** Above this the stub halts between its questions, below it asks at once: a tick lasts 55 ms. */
const HALT_ABOVE_NS = 60e6;

/** Serves one call. */
export function int15(guest: Guest): void {
  switch (guest.ah) {
    case 0x24:
      return gateA20(guest);
    case 0x41: // wait for an event: none
      return unsupported(guest);
    case 0x53:
      return apm(guest);
    case 0x80: // device open, close, terminate; switch of PS/2: nothing to do
    case 0x81:
    case 0x82:
    case 0x85:
    case 0x90:
    case 0x91:
      guest.ah = 0;
      guest.carry = false;
      return;
    case 0x83:
      return eventWait(guest);
    case 0x86:
      return wait(guest);
    case 0x87:
      return blockMove(guest);
    case 0x88:
      guest.ax = Math.min(0xfc00, (contiguous(guest) - MIB) / 1024);
      guest.carry = false;
      return;
    case 0xc0:
      guest.setSegment(guest.registers.es, 0xf000);
      guest.bx = RomOffset.configTable;
      guest.ah = 0;
      guest.carry = false;
      return;
    case 0xc1:
      guest.setSegment(guest.registers.es, EBDA_SEGMENT);
      guest.ah = 0;
      guest.carry = false;
      return;
    case 0xc2:
      return mouseService(guest);
    case 0xe8:
      return memorySizes(guest);
  }
  unsupported(guest);
}

function unsupported(guest: Guest): void {
  guest.ah = UNSUPPORTED;
  guest.carry = true;
}

/** AX=24xxh (IBM PS/2): the A20 gate by port 92h. */
function gateA20(guest: Guest): void {
  const { ports } = guest.host;
  const control = ports.read(SYSTEM_CONTROL_A, 1) & ~1; // bit 0 would reset the processor
  switch (guest.al) {
    case 0x00:
      ports.write(SYSTEM_CONTROL_A, 1, control & ~A20);
      break;
    case 0x01:
      ports.write(SYSTEM_CONTROL_A, 1, control | A20);
      break;
    case 0x02:
      guest.al = (control & A20) !== 0 ? 1 : 0;
      break;
    case 0x03:
      guest.bx = 0x0003; // by the keyboard controller and by port 92h
      break;
    default:
      return unsupported(guest);
  }
  guest.ah = 0;
  guest.carry = false;
}

/** AH=86h: CX:DX microseconds. The deadline lies in the EBDA, the stub asks until it has passed. */
function wait(guest: Guest): void {
  const { host: { clock, memory } } = guest;
  const microseconds = guest.cx * 65536 + guest.dx;
  const deadline = Math.ceil(clock.nowNs() / 1000) + microseconds;
  memory.writeU32(Ebda.waitDeadline, deadline % 2 ** 32);
  memory.writeU32(Ebda.waitDeadline + 4, Math.floor(deadline / 2 ** 32));
  continueWait(guest);
}

/** Asked by the stub that waits. */
export function continueWait(guest: Guest): void {
  const { host: { clock, memory } } = guest;
  const deadline = memory.readU32(Ebda.waitDeadline) +
    memory.readU32(Ebda.waitDeadline + 4) * 2 ** 32;
  const leftNs = deadline * 1000 - clock.nowNs();
  if (leftNs > 0) return guest.goTo(leftNs > HALT_ABOVE_NS ? "wait15" : "spin15");
  guest.ah = 0;
  guest.carry = false;
}

/** AH=83h: sets bit 7 of the byte at ES:BX after CX:DX microseconds; the clock's interrupt counts. */
function eventWait(guest: Guest): void {
  const { host: { memory, ports }, registers } = guest;
  const status = readCmos(ports, Cmos.statusB);
  if (guest.al === 1) {
    memory.writeU8(Bda.waitActive, 0);
    writeCmos(ports, Cmos.statusB, status & ~StatusB.periodic);
    guest.ah = 0;
    guest.carry = false;
    return;
  }
  if (guest.al !== 0) return unsupported(guest);
  if ((memory.readU8(Bda.waitActive) & 1) !== 0) {
    guest.ah = 0;
    guest.carry = true; // one is under way
    return;
  }
  memory.writeU16(Bda.waitFlag, guest.bx);
  memory.writeU16(Bda.waitFlag + 2, registers.es.selector);
  memory.writeU32(Bda.waitMicroseconds, guest.cx * 65536 + guest.dx);
  memory.writeU8(Bda.waitActive, 1);
  writeCmos(ports, Cmos.statusA, 0x26); // 32768 Hz base, 1024 Hz periodic
  writeCmos(ports, Cmos.statusB, status | StatusB.periodic);
  guest.ah = 0;
  guest.carry = false;
}

/** Base of a descriptor of a GDT. */
function descriptorBase(guest: Guest, at: number): number {
  const { space } = guest;
  return ((space.read32(at + 2) & 0xff_ffff) | space.read8(at + 7) << 24) >>> 0;
}

/** AH=87h: moves CX words between the addresses in the descriptors at ES:SI. */
function blockMove(guest: Guest): void {
  const { space, registers } = guest;
  const table = guest.linear(registers.es, guest.si);
  const from = descriptorBase(guest, table + 0x10);
  const to = descriptorBase(guest, table + 0x18);
  const length = Math.min(guest.cx, 0x8000) * 2;
  const source = plainRam(guest, from, length);
  const target = plainRam(guest, to, length);
  if (source !== undefined && target !== undefined) target.set(source);
  else {
    const bytes = new Uint8Array(length);
    space.read(from, bytes);
    space.write(to, bytes);
  }
  guest.ah = 0;
  guest.carry = false;
  guest.zero = true;
}

function plainRam({ space, host }: Guest, address: number, length: number): Uint8Array | undefined {
  const start = space.ramAddress(address, length);
  return start < 0 ? undefined : host.memory.view(start, length);
}

/** End of the RAM that begins at 1 MiB; 1 MiB when there is none. */
function contiguous(guest: Guest): number {
  const { memoryMap } = guest.host.config;
  const range = memoryMap.find(({ base, type }) => type === E820Type.ram && base === MIB);
  return range === undefined ? MIB : MIB + range.length;
}

/** AX=E801h, E820h, E881h. */
function memorySizes(guest: Guest): void {
  switch (guest.al) {
    case 0x01:
    case 0x81: {
      const wide = guest.al === 0x81;
      const end = contiguous(guest);
      const below16 = Math.floor((Math.min(end, 16 * MIB) - MIB) / 1024);
      const above16 = Math.floor(Math.max(0, Math.min(end, 0x1_0000_0000) - 16 * MIB) / 65536);
      guest.ax = below16;
      guest.bx = above16;
      guest.cx = below16;
      guest.dx = above16;
      if (wide) clearUpperHalves(guest);
      guest.carry = false;
      return;
    }
    case 0x20:
      return memoryMap(guest);
  }
  unsupported(guest);
}

function clearUpperHalves({ registers }: Guest): void {
  registers.eax &= 0xffff;
  registers.ebx &= 0xffff;
  registers.ecx &= 0xffff;
  registers.edx &= 0xffff;
}

function memoryMap(guest: Guest): void {
  const { registers, space, host: { config } } = guest;
  const index = registers.ebx;
  const range: MemoryRange | undefined = config.memoryMap[index];
  if (registers.edx !== SMAP || registers.ecx < 20 || range === undefined) {
    return unsupported(guest);
  }
  const entry = new Uint8Array(20);
  const data = new DataView(entry.buffer);
  data.setBigUint64(0, BigInt(range.base), true);
  data.setBigUint64(8, BigInt(range.length), true);
  data.setUint32(16, range.type, true);
  space.write(guest.linear(registers.es, guest.di), entry);
  registers.eax = SMAP;
  registers.ebx = index + 1 < config.memoryMap.length ? index + 1 : 0;
  registers.ecx = 20;
  guest.carry = false;
}
