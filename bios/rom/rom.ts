/**
 * The 64 KiB ROM image at F0000h, which is also at the top of the first 4 GiB: the stubs, and what
 * programs expect at fixed addresses since the PC/AT.
 *
 * Layout (offsets): 0000h-9BFFh tables of others (ACPI, SMBIOS, MP), 9C00h-9FFFh upper half of the
 * 8×8 font, A000h-BFFFh stubs, C000h-CFFFh 8×16 font, D000h-DDFFh 8×14 font, E000h-FFFFh the fixed
 * entry points and the lower half of the 8×8 font.
 *
 * Reference: IBM PC/AT Technical Reference, BIOS listing (the fixed addresses).
 */

import { vgaFont } from "../../devices/vga/font.ts";
import { addressText } from "../../hv/core/hex.ts";
import { Assembler, offset } from "../assembler/assembler.ts";
import { ROM_BASE, ROM_BYTES } from "./rom_area.ts";
import type { ServiceName, StubLabel } from "./stub_names.ts";
import { emitStubs, STUBS_START } from "./stubs.ts";
import { checksumFor } from "../tables/table_writer.ts";

export { ROM_BASE, ROM_BYTES };
/** Offset behind the last byte that tables may occupy. */
export const TABLES_END = 0x9c00;
/** Offsets of the fonts and fixed tables. */
export const RomOffset = {
  font16: 0xc000,
  font14: 0xd000,
  font8: 0xfa6e,
  font8Upper: 0x9c00,
  configTable: 0xe6f5,
  disketteTable: 0xefc7,
  dummyReturn: 0xff53,
} as const;

/** Model byte of a PC/AT. */
const MODEL_AT = 0xfc;
/** Slots of the PCI bus with entries in the interrupt routing table. */
const PIR_SLOTS = 31;
/** Device of the PCI-to-ISA bridge, which routes the interrupts. */
const ROUTER_DEVICE = 1;
/** IRQs that a PCI interrupt may be routed to: 5, 10, 11. */
const PIR_BITMAP = 0x0c20;

const FIXED_ENTRIES: readonly (readonly [at: number, label: string])[] = [
  [0xe05b, "reset"],
  [0xe2c3, "dummyReturn"],
  [0xe3fe, "int13"],
  [0xe6f2, "int19"],
  [0xe739, "int14"],
  [0xe82e, "int16"],
  [0xe987, "int09"],
  [0xec59, "int13"],
  [0xef57, "int0e"],
  [0xefd2, "int17"],
  [0xf065, "int10"],
  [0xf841, "int12"],
  [0xf84d, "int11"],
  [0xf859, "int15"],
  [0xfe6e, "int1a"],
  [0xfea5, "int08"],
  [0xff54, "int05"],
];

/** Interrupt vectors that POST sets; every other one below 20h and from 60h is `dummyReturn`. */
export const VECTORS: readonly (readonly [vector: number, at: number | string])[] = [
  [0x02, 0xe2c3],
  [0x05, 0xff54],
  [0x08, 0xfea5],
  [0x09, 0xe987],
  [0x0a, "irqLow"],
  [0x0b, "irqLow"],
  [0x0c, "irqLow"],
  [0x0d, "irqLow"],
  [0x0e, 0xef57],
  [0x0f, "irqLow"],
  [0x10, 0xf065],
  [0x11, 0xf84d],
  [0x12, 0xf841],
  [0x13, 0xe3fe],
  [0x14, 0xe739],
  [0x15, 0xf859],
  [0x16, 0xe82e],
  [0x17, 0xefd2],
  [0x18, "int18"],
  [0x19, 0xe6f2],
  [0x1a, 0xfe6e],
  [0x1e, RomOffset.disketteTable],
  [0x40, 0xec59],
  [0x70, "int70"],
  [0x71, "int71"],
  [0x72, "irqHigh"],
  [0x73, "irqHigh"],
  [0x74, "int74"],
  [0x75, "int75"],
  [0x76, "int76"],
  [0x77, "int76"],
];

/** A table of another part (ACPI, SMBIOS, MP) and where it belongs. */
export interface RomTable {
  /** Physical address. */
  readonly address: number;
  readonly bytes: Uint8Array;
}

/** The code of the ROM, the same in every machine. */
export interface RomCode {
  readonly image: Uint8Array;
  /** Services by the offset of the `out` that calls them. */
  readonly services: ReadonlyMap<number, ServiceName>;
  /** Offset of INT 10h AH=1Bh's table of what never changes. */
  readonly staticFunctions: number;
  /** The $PIR table. */
  readonly routing: Uint8Array;
  /** Offset of a stub's label. */
  label(name: StubLabel): number;
  /** Offset that an entry of `VECTORS` means. */
  vector(at: number | string): number;
}

let code: RomCode | undefined;

/** Assembles the ROM's code, once a thread. */
export function romCode(): RomCode {
  return code ??= assemble();
}

function assemble(): RomCode {
  const a = new Assembler(ROM_BYTES);
  a.org(STUBS_START);
  const services = emitStubs(a);
  emitBios32Directory(a);
  const routing = emitInterruptRouting(a);
  a.label("staticFunctions");
  // Modes 0-7, 8-Fh, 10h-13h; lines 200, 350, 400; 2 fonts at once of 8; palette, DAC, save, …
  a.db(0xff, 0xe0, 0x0f, 0, 0, 0, 0, 0x07, 0x02, 0x08, 0xe7, 0x0c, 0, 0, 0, 0);
  a.label("stubsEnd");
  if (a.here > RomOffset.font16) throw new Error("Cannot build the ROM: the stubs are too long");
  a.org(RomOffset.dummyReturn);
  a.label("dummyReturn");
  a.iret();
  for (const [at, label] of FIXED_ENTRIES) {
    a.org(at);
    a.jmp(label);
  }
  a.org(RomOffset.configTable);
  // Length; model, submodel, revision; second PIC, clock, keyboard hook, EBDA; INT 16h AH=09h.
  a.dw(8);
  a.db(MODEL_AT, 0x01, 0x00, 0x74, 0x40, 0, 0, 0);
  a.org(RomOffset.disketteTable);
  // Step rate, DMA, motor-off ticks, 512 bytes, 18 sectors, gap, length, format gap, fill, settle, start.
  a.db(0xdf, 0x02, 0x25, 0x02, 0x12, 0x1b, 0xff, 0x6c, 0xf6, 0x0f, 0x08);
  a.org(0xfff0);
  a.jmpFar(ROM_BASE >>> 4, 0xe05b);
  a.db("01/01/26", 0, MODEL_AT);
  a.link();
  setFonts(a.image);
  return {
    image: a.image,
    services,
    routing: a.image.subarray(routing, routing + 32 + PIR_SLOTS * 16),
    staticFunctions: a.offsetOf("staticFunctions"),
    label: (name) => a.offsetOf(name),
    vector: (at) => typeof at === "number" ? at : a.offsetOf(at),
  };
}

function setFonts(image: Uint8Array): void {
  image.set(vgaFont(16).rows.subarray(0, 4096), RomOffset.font16);
  image.set(vgaFont(14).rows.subarray(0, 3584), RomOffset.font14);
  const font8 = vgaFont(8).rows;
  image.set(font8.subarray(0, 1024), RomOffset.font8);
  image.set(font8.subarray(1024, 2048), RomOffset.font8Upper);
}

/** The BIOS32 service directory (PCI BIOS 2.1 §3; Standard BIOS 32-bit Service Directory 0.4). */
function emitBios32Directory(a: Assembler): void {
  a.align(16);
  const start = a.here;
  a.db("_32_");
  a.dw(offset("bios32"), ROM_BASE >>> 16);
  a.db(0, 1, 0, 0, 0, 0, 0, 0);
  // The entry is a fixup yet, so the checksum is made from its value, which is known by now.
  const entry = a.offsetOf("bios32");
  const sum = checksumFor(a.image.subarray(start, start + 16), 10);
  a.image[start + 10] = sum - (entry & 0xff) - (entry >>> 8);
}

/** The $PIR table (Microsoft PCI IRQ Routing Table Specification 1.0), slots 1 to 31 of bus 0. */
function emitInterruptRouting(a: Assembler): number {
  a.align(16);
  const start = a.here;
  const length = 32 + PIR_SLOTS * 16;
  a.db("$PIR");
  a.dw(0x0100, length);
  a.db(0, ROUTER_DEVICE << 3);
  a.dw(0); // no IRQs for PCI alone
  a.dw(0x8086, 0x122e); // compatible with the 82371FB
  a.dd(0);
  a.db(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  for (let device = 1; device <= PIR_SLOTS; device++) emitRoutingSlot(a, device);
  a.image[start + 31] = checksumFor(a.image.subarray(start, start + length), 31);
  return start;
}

/** Offset of the table of INT 10h AH=1Bh that never changes. */
export const staticTableOffset = (): number => romCode().staticFunctions;

/** The $PIR table: 32 bytes of header, 16 a slot. */
export const routingTable = (): Uint8Array => romCode().routing;

/** One slot: bus, device, four pins with the router's register and the possible IRQs, slot number. */
function emitRoutingSlot(a: Assembler, device: number): void {
  a.db(0, device << 3);
  for (let pin = 0; pin < 4; pin++) {
    a.db(0x60 + ((pin + device - 1) & 3));
    a.dw(PIR_BITMAP);
  }
  a.db(device > 2 ? device - 2 : 0, 0);
}

/**
 * The image of a machine.
 *
 * @throws {Error} When a table lies neither in the ROM's part for tables nor elsewhere in memory.
 */
export function romImage(tables: readonly RomTable[] = []): Uint8Array {
  const image = romCode().image.slice();
  for (const { address, bytes } of tables) {
    const at = address - ROM_BASE;
    if (at + bytes.length <= 0 || at >= ROM_BYTES) continue; // in RAM: POST puts it there
    if (at < 0 || at + bytes.length > TABLES_END) {
      throw new Error(
        `Cannot put a table of ${bytes.length} bytes at ${addressText(address)}: ` +
          `the ROM has room for tables from F0000h to ${addressText(ROM_BASE + TABLES_END - 1)}`,
      );
    }
    image.set(bytes, at);
  }
  return image;
}
