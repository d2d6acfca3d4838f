/**
 * POST: what the firmware does between reset and boot, and what a reset means that a program made to
 * leave protected mode.
 *
 * Reference: IBM PC/AT Technical Reference, BIOS: POST, CMOS shutdown byte.
 */

import { Bda, Ebda, EBDA_SEGMENT } from "./bda.ts";
import { Cmos, readCmos, readTime, writeCmos } from "./cmos.ts";
import type { Console } from "./monitor/console.ts";
import { drivesOf, geometryOf } from "./media/drives.ts";
import { driveName } from "./media/boot.ts";
import type { Guest } from "./guest.ts";
import type { FirmwareDrive } from "./host.ts";
import { setUpKeyboardController } from "./services/mouse.ts";
import { setUpPci } from "./pci_setup.ts";
import { prepareOptionRoms } from "./media/option_rom.ts";
import { ROM_BASE, romCode, RomOffset, type RomTable, VECTORS } from "./rom/rom.ts";
import type { TextScreen } from "./video/text_screen.ts";
import { setVideoMode } from "./video/video_mode.ts";

const MIB = 1 << 20;
const KIB = 1024;
const BASE_MEMORY_KIB = 639;
const TICKS_PER_SECOND = 1193182 / 65536;
/** Shutdown codes: jump through 40:67h with and without an end of interrupt, return of a block move. */
const JUMP_WITH_EOI = 0x05;
const BLOCK_MOVE = 0x09;
const JUMP = 0x0a;

/** First call after a reset: cold start, or back into the program that asked for the reset. */
export function reset(guest: Guest): void {
  const { ports } = guest.host;
  const code = readCmos(ports, Cmos.shutdown);
  writeCmos(ports, Cmos.shutdown, 0);
  if (code === JUMP_WITH_EOI) guest.goTo("warmJumpEoi");
  else if (code === JUMP || code === BLOCK_MOVE) guest.goTo("warmJump");
  else guest.goTo("coldStart");
}

/** POST, after the stub has set up stack, interrupt controllers and timer. */
export function post(
  guest: Guest,
  screen: TextScreen,
  console: Console,
  tables: readonly RomTable[],
): void {
  const { host } = guest;
  setVectors(guest);
  setDataAreas(guest);
  for (const { address, bytes } of tables) {
    if (address < ROM_BASE || address >= MIB) host.memory.view(address, bytes.length)?.set(bytes);
  }
  const roms = setUpPci(host.ports);
  setUpKeyboardController(guest);
  if (host.config.vga) setVideoMode(guest, screen, 3, true);
  setTicks(guest);
  prepareOptionRoms(guest, roms);
  banner(guest, console);
}

function setVectors({ host: { memory } }: Guest): void {
  const code = romCode();
  const set = (vector: number, offset: number) => {
    memory.writeU16(vector * 4, offset);
    memory.writeU16(vector * 4 + 2, ROM_BASE >>> 4);
  };
  for (let vector = 0; vector < 0x78; vector++) {
    if (vector < 0x60 || vector > 0x67) set(vector, RomOffset.dummyReturn);
    else memory.writeU32(vector * 4, 0); // 60h-67h are the user's: empty
  }
  for (let vector = 0x78; vector < 0x100; vector++) memory.writeU32(vector * 4, 0);
  for (const [vector, at] of VECTORS) set(vector, code.vector(at));
  set(0x1f, RomOffset.font8Upper);
  set(0x43, RomOffset.font16);
  memory.writeU32(0x1d * 4, 0);
  memory.writeU32(0x41 * 4, 0);
  memory.writeU32(0x46 * 4, 0);
}

function setDataAreas(guest: Guest): void {
  const { memory, config } = guest.host;
  const warm = memory.readU16(Bda.resetFlag);
  memory.view(0x400, Bda.end - 0x400)?.fill(0);
  memory.view(Ebda.sizeKib, Ebda.end - Ebda.sizeKib)?.fill(0);
  memory.writeU8(Ebda.sizeKib, 1);
  memory.writeU16(Bda.ebdaSegment, EBDA_SEGMENT);
  memory.writeU16(Bda.memoryKib, BASE_MEMORY_KIB);
  memory.writeU16(Bda.resetFlag, warm === 0x1234 ? warm : 0);
  for (const slot of [Bda.keyHead, Bda.keyTail, Bda.keyBufferStart]) memory.writeU16(slot, 0x1e);
  memory.writeU16(Bda.keyBufferEnd, 0x3e);
  for (const [index, port] of config.serialPorts.slice(0, 4).entries()) {
    memory.writeU16(Bda.serialPorts + index * 2, port);
    memory.writeU8(Bda.serialTimeouts + index, 1);
  }
  const floppies = drivesOf(guest.host, "floppy").length;
  const disks = drivesOf(guest.host, "disk");
  const equipment = (floppies > 0 ? 1 | (floppies - 1) << 6 : 0) | // diskette drives
    0x0002 | // coprocessor
    (config.mouse ? 0x0004 : 0) |
    (config.vga ? 0x0020 : 0x0000) | // 80×25 colour
    Math.min(config.serialPorts.length, 4) << 9;
  memory.writeU16(Bda.equipment, equipment);
  memory.writeU8(Bda.diskCount, disks.length);
  const tables = [[0x41, Ebda.diskParameters0], [0x46, Ebda.diskParameters1]] as const;
  for (const [index, [vector, address]] of tables.entries()) {
    if (disks[index] !== undefined) setDiskTable(guest, disks[index], vector, address);
  }
}

/** The fixed disk parameter table to which INT 41h and 46h point. */
function setDiskTable(guest: Guest, drive: FirmwareDrive, vector: number, address: number): void {
  const { memory } = guest.host;
  const { cylinders, heads, sectors } = geometryOf(drive);
  memory.writeU16(address, cylinders);
  memory.writeU8(address + 2, heads);
  memory.writeU16(address + 5, 0xffff); // no write precompensation
  memory.writeU8(address + 8, heads > 8 ? 0x08 : 0x00);
  memory.writeU16(address + 12, cylinders); // landing zone
  memory.writeU8(address + 14, sectors);
  memory.writeU16(vector * 4, address - EBDA_SEGMENT * 16);
  memory.writeU16(vector * 4 + 2, EBDA_SEGMENT);
}

/** The tick count from the clock's time of day. */
function setTicks({ host: { memory, ports } }: Guest): void {
  const { hours, minutes, seconds } = readTime(ports);
  const ticks = (hours * 3600 + minutes * 60 + seconds) * TICKS_PER_SECOND;
  memory.writeU32(Bda.ticks, Math.min(Math.floor(ticks), 0x1800af));
}

function banner({ host }: Guest, console: Console): void {
  const { config, memory } = host;
  const cpus = config.cpus === 1 ? "1 processor" : `${config.cpus} processors`;
  console.print(`${config.name}, ${config.accelerator}, ${cpus}, ${memory.ramBytes / MIB} MiB\n`);
  for (const drive of host.drives) {
    console.print(`  ${driveName(drive)}: ${describe(drive)}\n`);
  }
  console.print("\n");
}

/** What is in a drive. */
export function describe({ port, label }: FirmwareDrive): string {
  if (!port.present) return "empty";
  const { sizeBytes } = port;
  const size = sizeBytes < 10 * MIB
    ? `${Math.round(sizeBytes / KIB)} KiB`
    : `${Math.round(sizeBytes / MIB)} MiB`;
  return [size, port.readOnly ? "read-only" : "", label ?? ""].filter((part) => part !== "").join(
    ", ",
  );
}
