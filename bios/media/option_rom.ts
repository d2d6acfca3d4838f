/**
 * Option ROMs: those of PCI cards are copied to where they can run, and every image between C8000h and
 * DFFFFh gets its initialisation entry called by the stub.
 *
 * Reference: IBM PC/AT Technical Reference, "ROM modules"; PCI Firmware Specification 3.0 §5.
 */

import { PciCommand, PciHeader } from "../../devices/pci/config_header.ts";
import { alignUp } from "../../hv/core/align.ts";
import { Ebda } from "../bda.ts";
import type { Guest } from "../guest.ts";
import type { ExpansionRom } from "../pci_setup.ts";
import { PciConfig } from "../pci_config.ts";
import { romCode } from "../rom/rom.ts";

const START = 0xc8000;
const END = 0xe0000;
const STEP = 2048;
const UNIT = 512;
const INITIALISE = 3;
const ROM_ENABLE = 1;
const CODE_X86 = 0;
const LAST_IMAGE = 0x80;

/** Copies the PC images of PCI expansion ROMs to C8000h up. */
export function prepareOptionRoms(guest: Guest, roms: readonly ExpansionRom[]): void {
  const { host, space } = guest;
  const config = new PciConfig(host.ports);
  host.memory.writeU32(Ebda.optionRom, START);
  let next = START;
  for (const { at, address, size } of roms) {
    const command = config.read(at, PciHeader.PCICMD, 2);
    config.write(at, PciHeader.PCICMD, 2, command | PciCommand.memorySpace);
    config.write(at, PciHeader.ROMBAR, 4, address | ROM_ENABLE);
    const image = findImage((offset) => host.bus.read(address + offset, 1), size);
    if (image !== undefined && next + image.length <= END) {
      for (let i = 0; i < image.length; i++) {
        space.write8(next + i, host.bus.read(address + image.offset + i, 1));
      }
      setOrigin(guest, next, at.device << 3 | at.function);
      next = alignUp(next + image.length, STEP);
    }
    config.write(at, PciHeader.ROMBAR, 4, address);
    config.write(at, PciHeader.PCICMD, 2, command);
  }
}

/** Remembers from which function an image came, for AX at its entry: one word for each 2 KiB. */
function setOrigin({ host: { memory } }: Guest, address: number, function_: number): void {
  memory.writeU16(Ebda.optionRomOrigins + ((address - START) / STEP) * 2, 0x8000 | function_);
}

/** The first image for PCs in an expansion ROM. */
function findImage(read: (offset: number) => number, size: number) {
  const word = (offset: number) => read(offset) | read(offset + 1) << 8;
  for (let offset = 0; offset + 0x1c < size;) {
    if (word(offset) !== 0xaa55) return undefined;
    const data = offset + word(offset + 0x18);
    if (data + 0x18 > size) return undefined;
    const pcir = word(data) === 0x4350 && word(data + 2) === 0x5249;
    if (!pcir) return undefined;
    const length = word(data + 0x10) * UNIT;
    if (length === 0 || offset + length > size) return undefined;
    if (read(data + 0x14) === CODE_X86) return { offset, length };
    if ((read(data + 0x15) & LAST_IMAGE) !== 0) return undefined;
    offset += length;
  }
  return undefined;
}

/** Sends the guest into the next option ROM; when there is none, the stub goes on. */
export function callOptionRom(guest: Guest): void {
  const { memory } = guest.host;
  for (let at = memory.readU32(Ebda.optionRom); at >= START && at < END; at += STEP) {
    const units = memory.readU8(at + 2);
    if (memory.readU16(at) !== 0xaa55 || units === 0 || at + units * UNIT > END) continue;
    const length = units * UNIT;
    const image = memory.view(at, length);
    if (image === undefined || (image.reduce((sum, byte) => sum + byte, 0) & 0xff) !== 0) continue;
    memory.writeU32(Ebda.optionRom, at + alignUp(length, STEP));
    const origin = memory.readU16(Ebda.optionRomOrigins + ((at - START) / STEP) * 2);
    guest.ax = origin & 0x7fff;
    guest.push(0xf000);
    guest.push(romCode().label("optionRomNext"));
    guest.push(at >>> 4);
    guest.push(INITIALISE);
    return guest.goTo("farReturn");
  }
  memory.writeU32(Ebda.optionRom, END);
}
