/**
 * SMBIOS structures: what the machine is, for programs that report it.
 *
 * Reference: DMTF DSP0134, System Management BIOS 2.8, chapters 5.2 "Accessing SMBIOS information", 6
 * and 7. The entry point is the 32-bit one; its table's address is added when it is placed.
 */

import type { BoardDescription } from "./board_description.ts";
import { checksumFor, TableWriter } from "./table_writer.ts";

/** The two pieces, as fw_cfg's `etc/smbios/smbios-anchor` and `…-tables` hold them. */
export interface SmbiosTables {
  /** 31 bytes; needs an address that is a multiple of 16 in F0000h-FFFFFh. */
  readonly entryPoint: Uint8Array;
  /** Anywhere below 4 GiB. */
  readonly structures: Uint8Array;
}

/** What the machine calls itself. */
export interface MachineIdentity {
  /** Version of the program, e.g. "0.1.0". */
  readonly version: string;
  /** 16 bytes in the order of RFC 4122. */
  readonly uuid: Uint8Array;
}

/** Offsets in the entry point (5.2.1). */
const CHECKSUM = 4;
const MAX_STRUCTURE = 8;
const INTERMEDIATE = 16;
const INTERMEDIATE_CHECKSUM = 21;
const TABLE_LENGTH = 22;
const TABLE_ADDRESS = 24;
const STRUCTURE_COUNT = 28;
const ENTRY_POINT_BYTES = 31;

/** Strings that are the same everywhere. */
const MANUFACTURER = "hv";
const FIRMWARE_DATE = "01/01/2024";

/** Handles: one range a type. */
const HANDLE_CHASSIS = 0x0300;
const HANDLE_PROCESSOR = 0x0400;
const HANDLE_MEMORY_ARRAY = 0x1000;
const HANDLE_MEMORY_DEVICE = 0x1100;
const HANDLE_NONE = 0xfffe;

const UNKNOWN = 2;
const MIB = 1024 * 1024;
/** Largest size of type 16, in KiB. */
const EXTENDED_CAPACITY = 0x8000_0000;
/** Largest memory device that is told: its size in MiB fits into the old field of type 17. */
const MODULE_BYTES = 16 * 1024 * MIB;

interface Structure {
  readonly type: number;
  readonly handle: number;
  /** The formatted area behind the four bytes of the header. */
  readonly body: TableWriter;
  readonly strings?: readonly string[];
}

/** The structures of `board` (chapter 7) and their entry point. */
export function buildSmbios(board: BoardDescription, identity: MachineIdentity): SmbiosTables {
  const list = structureList(board, identity).map(encode);
  const structures = Uint8Array.from(list.flatMap((bytes) => [...bytes]));
  const entryPoint = new TableWriter().text("_SM_").u8(0, ENTRY_POINT_BYTES, 2, 8).u16(0)
    .zeros(6).text("_DMI_").u8(0).u16(structures.length).u32(0).u16(list.length).u8(0x28).bytes();
  const view = new DataView(entryPoint.buffer);
  view.setUint16(MAX_STRUCTURE, Math.max(...list.map((bytes) => bytes.length)), true);
  return { entryPoint: withChecksums(entryPoint), structures };
}

/** The entry point for structures that lie at `address` (physical, below 4 GiB). */
export function placeSmbios({ entryPoint }: SmbiosTables, address: number): Uint8Array {
  const placed = entryPoint.slice();
  new DataView(placed.buffer).setUint32(TABLE_ADDRESS, address, true);
  return withChecksums(placed);
}

/** Where things are in an entry point. */
export const EntryPointOffset = { TABLE_LENGTH, TABLE_ADDRESS, STRUCTURE_COUNT } as const;

function withChecksums(entryPoint: Uint8Array): Uint8Array {
  const intermediate = entryPoint.subarray(INTERMEDIATE);
  const at = INTERMEDIATE_CHECKSUM - INTERMEDIATE;
  intermediate[at] = checksumFor(intermediate, at);
  entryPoint[CHECKSUM] = checksumFor(entryPoint, CHECKSUM);
  return entryPoint;
}

/** 6.1.2, 6.1.3: header, body, strings, and a zero more. */
function encode({ type, handle, body, strings = [] }: Structure): Uint8Array {
  const formatted = body.bytes();
  const out = new TableWriter().u8(type, 4 + formatted.length).u16(handle).u8(...formatted);
  for (const text of strings) out.text(text).u8(0);
  if (strings.length === 0) out.u8(0);
  return out.u8(0).bytes();
}

function structureList(board: BoardDescription, identity: MachineIdentity): Structure[] {
  const { lowRamBytes, highRamBytes } = board;
  const ram = lowRamBytes + highRamBytes;
  const modules: number[] = [];
  for (let left = ram; left > 0; left -= MODULE_BYTES) modules.push(Math.min(left, MODULE_BYTES));
  return [
    firmwareInformation(identity),
    systemInformation(identity),
    chassis(),
    ...Array.from({ length: board.cpus }, (_, n) => processor(board, n)),
    memoryArray(ram, modules.length),
    ...modules.map(memoryDevice),
    mappedAddress(0, 0, lowRamBytes),
    ...(highRamBytes > 0 ? [mappedAddress(1, 2 ** 32, highRamBytes)] : []),
    // 7.33: no error.
    { type: 32, handle: 0x2000, body: new TableWriter().zeros(7) },
    { type: 127, handle: 0x7f00, body: new TableWriter() },
  ];
}

/** 7.1: PCI, El Torito, legacy diskette services; boot specification of a virtual machine. */
function firmwareInformation({ version }: MachineIdentity): Structure {
  const pciSupported = 1 << 7;
  const bootFromCd = 1 << 15;
  const selectableBoot = 1 << 16;
  const acpi = 0x01;
  const virtualMachine = 0x10;
  return {
    type: 0,
    handle: 0,
    body: new TableWriter().u8(1, 2).u16(0xf000).u8(3, 0)
      .u64(pciSupported | bootFromCd | selectableBoot)
      // No revision of an embedded controller's firmware.
      .u8(acpi, virtualMachine, 0, 0, 0xff, 0xff),
    strings: [MANUFACTURER, version, FIRMWARE_DATE],
  };
}

/** 7.2; 7.2.1: the first three fields of the UUID are little-endian. */
function systemInformation({ version, uuid }: MachineIdentity): Structure {
  const swapped = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15].map((i) => uuid[i]);
  const wokenByPowerSwitch = 6;
  return {
    type: 1,
    handle: 0x0100,
    body: new TableWriter().u8(1, 2, 3, 0).u8(...swapped).u8(wokenByPowerSwitch, 0, 0),
    strings: [MANUFACTURER, "Standard PC (i440FX + PIIX)", version],
  };
}

/** 7.4. */
function chassis(): Structure {
  const other = 1;
  const safe = 3;
  return {
    type: 3,
    handle: HANDLE_CHASSIS,
    body: new TableWriter().u8(1, other, 0, 0, 0, safe, safe, safe, UNKNOWN).u32(0)
      .u8(0, 1, 0, 0, 0),
    strings: [MANUFACTURER],
  };
}

/** 7.5: a socket for each processor. */
function processor({ cpuSignature, cpuFeatures }: BoardDescription, n: number): Structure {
  const central = 3;
  const otherFamily = 1;
  const populatedAndEnabled = 0x41;
  const noSocket = 6;
  const noCache = 0xffff;
  const is64Bit = 1 << 2;
  return {
    type: 4,
    handle: HANDLE_PROCESSOR + n,
    body: new TableWriter().u8(1, central, otherFamily, 2).u32(cpuSignature).u32(cpuFeatures)
      .u8(0, 0).u16(0).u16(0).u16(0).u8(populatedAndEnabled, noSocket)
      .u16(noCache).u16(noCache).u16(noCache).u8(0, 0, 0, 1, 1, 1).u16(is64Bit).u16(otherFamily),
    strings: [`CPU ${n}`, MANUFACTURER],
  };
}

/** 7.17. */
function memoryArray(ram: number, modules: number): Structure {
  const onBoard = 3;
  const systemMemory = 3;
  const noCorrection = 3;
  const kib = ram / 1024;
  const isLarge = kib >= EXTENDED_CAPACITY;
  return {
    type: 16,
    handle: HANDLE_MEMORY_ARRAY,
    body: new TableWriter().u8(onBoard, systemMemory, noCorrection)
      .u32(isLarge ? EXTENDED_CAPACITY : kib).u16(HANDLE_NONE).u16(modules).u64(isLarge ? ram : 0),
  };
}

/** 7.18. */
function memoryDevice(lengthBytes: number, n: number): Structure {
  const dimm = 9;
  const otherDetail = 2;
  const unknownWidth = 0xffff;
  return {
    type: 17,
    handle: HANDLE_MEMORY_DEVICE + n,
    body: new TableWriter().u16(HANDLE_MEMORY_ARRAY).u16(HANDLE_NONE).u16(unknownWidth)
      .u16(unknownWidth).u16(Math.floor(lengthBytes / MIB)).u8(dimm, 0, 1, 0, UNKNOWN)
      .u16(otherDetail).u16(0).u8(2, 0, 0, 0, 0).u32(0).u16(0)
      .u16(0).u16(0).u16(0),
    strings: [`DIMM ${n}`, MANUFACTURER],
  };
}

/** 7.20: addresses in KiB; those that do not fit go into the extended fields, in bytes. */
function mappedAddress(n: number, base: number, lengthBytes: number): Structure {
  const last = base + lengthBytes - 1;
  const lastKib = Math.floor(last / 1024);
  const fits = lastKib < 0xffff_ffff;
  return {
    type: 19,
    handle: 0x1300 + n,
    body: new TableWriter().u32(fits ? base / 1024 : 0xffff_ffff)
      .u32(fits ? lastKib : 0xffff_ffff).u16(HANDLE_MEMORY_ARRAY).u8(1)
      .u64(fits ? 0 : base).u64(fits ? 0 : last),
  };
}
