/**
 * The board's firmware: our own, served in TypeScript (bios/), or an image such as SeaBIOS or OVMF, which
 * learns about the machine through fw_cfg.
 */

import {
  ACPI_LOADER_FILE,
  ACPI_RSDP_FILE,
  ACPI_TABLES_FILE,
  buildAcpi,
  loaderScript,
  placeAcpi,
} from "../../bios/acpi.ts";
import { describeBoard } from "../../bios/board_description.ts";
import { Firmware } from "../../bios/firmware.ts";
import type { FirmwareDrive, FirmwareHost } from "../../bios/host.ts";
import { buildMpTable } from "../../bios/mptable.ts";
import { ROM_BASE, ROM_BYTES, romImage, type RomTable } from "../../bios/rom.ts";
import { buildSmbios, placeSmbios } from "../../bios/smbios.ts";
import { FIRMWARE_PORT } from "../../bios/stubs.ts";
import { FwCfg, fwCfgState } from "../../devices/fw_cfg.ts";
import { FwCfgContents, FwCfgKey } from "../../devices/fw_cfg_contents.ts";
import type { RegisterFile, Vcpu } from "../accel/accelerator.ts";
import type { EntryState } from "../boot/mod.ts";
import { Request } from "../control.ts";
import { e820, e820Bytes, type MemoryRange, ramRanges } from "../core/e820.ts";
import { LOW_RAM_LIMIT } from "../core/guest_memory.ts";
import { SERIAL_PORTS } from "./legacy.ts";
import type { PcBuilder } from "./builder.ts";
import type { PcMemory } from "./memory.ts";
import type { PcStorage } from "./storage.ts";
import { VERSION } from "../version.ts";

/** Length of the built-in firmware's ROM, bytes. */
export const BUILTIN_ROM_BYTES = ROM_BYTES;
/** Where the built-in firmware's ROM has the ACPI root pointer. */
export const RSDP_ADDRESS = ROM_BASE;
/** RAM at the end of low RAM that holds the ACPI tables of the built-in firmware. */
const ACPI_BYTES = 0x1_0000;
const TABLE_ALIGNMENT = 16;

/** The memory map that the built-in firmware reports, for a machine with `ramBytes` of RAM. */
export function firmwareMemoryMap(ramBytes: number): MemoryRange[] {
  const lowBytes = Math.min(ramBytes, LOW_RAM_LIMIT);
  return e820({
    lowBytes,
    highBytes: ramBytes - lowBytes,
    acpiBytes: ACPI_BYTES,
    romBytes: BUILTIN_ROM_BYTES,
  });
}

/** See above. */
export class PcFirmware {
  readonly #builder: PcBuilder;
  readonly #memory: PcMemory;
  readonly #drives: readonly FirmwareDrive[];
  #tables: readonly RomTable[] | undefined;

  constructor(builder: PcBuilder, memory: PcMemory, storage: PcStorage) {
    this.#builder = builder;
    this.#memory = memory;
    this.#drives = storage.drives.map(({ config: { kind, unit, geometry }, firmwarePort: port }) =>
      kind === "floppy" ? { kind, number: unit, port, sectorBytes: 512 } : {
        kind,
        number: (kind === "disk" ? 0x80 : 0xe0) + unit,
        port,
        geometry,
        sectorBytes: kind === "disk" ? 512 : 2048,
        ata: {
          pci: { bus: 0, device: 1, function: 1 },
          channel: unit < 2 ? 0 as const : 1 as const,
          slave: unit % 2 === 1,
        },
      }
    );
    const contents = builder.config.firmware === "image"
      ? imageContents(builder)
      : new FwCfgContents();
    const b = builder;
    const lock = b.lock("fw_cfg");
    const fwCfg = b.device(new FwCfg(b.state(fwCfgState(contents)), contents, b.memory));
    const { ports, dma } = fwCfg;
    b.ports.claim({
      name: "fw_cfg",
      base: 0x510,
      length: 2,
      device: ports,
      widths: { max: 2 },
      lock,
    });
    b.ports.claim({
      name: "fw_cfg",
      base: 0x514,
      length: 8,
      device: dma,
      widths: { max: 4 },
      lock,
    });
  }

  /** Puts the firmware into its ROM. */
  reset(image?: Uint8Array): void {
    this.#memory.rom.bytes.set(image ?? romImage(this.#builtinTables()));
  }

  /** Connects the built-in firmware to the processor that this thread runs. */
  attachVcpu(vcpu: Vcpu): void {
    const { config, ports } = this.#builder;
    if (config.firmware !== "builtin") return;
    const device = new Firmware(this.#host(vcpu.registers), this.#builtinTables());
    ports.claim({ name: "firmware", base: FIRMWARE_PORT, length: 1, device });
  }

  /**
   * What POST does without the processor, for a kernel that is entered directly: tables, PCI, video mode.
   * Main calls it while nothing runs.
   */
  prepareWithoutPost(): void {
    if (this.#builder.config.firmware !== "builtin") return;
    const firmware = new Firmware(this.#host(NO_REGISTERS), this.#builtinTables());
    firmware.serve("post");
  }

  #host(registers: RegisterFile): FirmwareHost {
    const { config, control, memory, ports, mmio, clock } = this.#builder;
    return {
      memory,
      registers,
      ports,
      bus: mmio,
      rom: this.#memory.rom.bytes.subarray(-ROM_BYTES),
      clock,
      drives: this.#drives,
      config: {
        memoryMap: firmwareMemoryMap(config.ramBytes),
        bootOrder: config.bootOrder,
        cpus: config.cpus,
        serialPorts: SERIAL_PORTS.slice(0, config.serialPorts).map(({ base }) => base),
        mouse: true,
        vga: true,
        accelerator: config.accelerator === "kvm" ? "KVM" : "software CPU",
        name: `hv ${VERSION}`,
        serialConsole: config.serialPorts > 0,
        kernel: config.kernelEntry === undefined
          ? undefined
          : () => enterKernel(registers, config.kernelEntry!),
      },
      stopped: () => control.requested !== Request.run,
      log: (line) => this.#log(line),
    };
  }

  #log(line: string): void {
    const { ports } = this.#builder;
    for (const char of `${line}\n`) ports.write(0x402, 1, char.charCodeAt(0) & 0xff);
  }

  /** ACPI, SMBIOS and MP tables: the small ones in the ROM, ACPI's at the end of low RAM. */
  #builtinTables(): readonly RomTable[] {
    return this.#tables ??= buildTables(this.#builder);
  }
}

function boardOf({ config, memory }: PcBuilder) {
  return describeBoard({
    cpus: config.cpus,
    lowRamBytes: memory.lowBytes,
    highRamBytes: memory.highBytes,
    serialPorts: config.serialPorts,
    hasFloppy: config.drives.some(({ kind }) => kind === "floppy"),
  });
}

const IDENTITY = { version: VERSION, uuid: new Uint8Array(16) };

function buildTables(builder: PcBuilder): RomTable[] {
  const board = boardOf(builder);
  const acpiAddress = builder.memory.lowBytes - ACPI_BYTES;
  const { tables, rsdp } = placeAcpi(buildAcpi(board), acpiAddress);
  let next = RSDP_ADDRESS;
  const place = (bytesAt: (address: number) => Uint8Array): RomTable => {
    const address = next;
    const bytes = bytesAt(address);
    next = Math.ceil((address + bytes.length) / TABLE_ALIGNMENT) * TABLE_ALIGNMENT;
    return { address, bytes };
  };
  const smbios = buildSmbios(board, IDENTITY);
  const root = place(() => rsdp);
  const mp = place((address) => buildMpTable(board, address));
  const structures = place(() => smbios.structures);
  const entry = place(() => placeSmbios(smbios, structures.address));
  return [root, mp, structures, entry, { address: acpiAddress, bytes: tables }];
}

/** What a firmware image asks fw_cfg for. */
function imageContents(builder: PcBuilder): FwCfgContents {
  const { config, memory } = builder;
  const { lowBytes, highBytes } = memory;
  const board = boardOf(builder);
  const contents = new FwCfgContents();
  contents.number(FwCfgKey.ramSize, config.ramBytes, 8);
  contents.number(FwCfgKey.nbCpus, config.cpus, 2);
  contents.number(FwCfgKey.maxCpus, config.cpus, 2);
  contents.number(FwCfgKey.noGraphic, 0, 2);
  contents.file("etc/e820", e820Bytes(ramRanges({ lowBytes, highBytes })));
  const acpi = buildAcpi(board);
  contents.file(ACPI_TABLES_FILE, acpi.tables);
  contents.file(ACPI_RSDP_FILE, acpi.rsdp);
  contents.file(ACPI_LOADER_FILE, loaderScript(acpi));
  const { entryPoint, structures } = buildSmbios(board, IDENTITY);
  contents.file("etc/smbios/smbios-anchor", entryPoint);
  contents.file("etc/smbios/smbios-tables", structures);
  if (config.vgaRom !== undefined) contents.file("vgaroms/vgabios.bin", config.vgaRom);
  return contents;
}

/** Puts the registers where a kernel's 16-bit entry wants them. */
function enterKernel(registers: RegisterFile, entry: EntryState): undefined {
  const { registers: r } = entry;
  registers.eax = r.rax;
  registers.ebx = r.rbx;
  registers.ecx = r.rcx;
  registers.edx = r.rdx;
  registers.esi = r.rsi;
  registers.edi = r.rdi;
  registers.ebp = r.rbp;
  registers.esp = r.rsp;
  registers.eflags = r.rflags;
  registers.ip = r.rip;
  registers.cs.selector = entry.cs.selector;
  registers.ds.selector = entry.ds.selector;
  registers.es.selector = entry.es.selector;
  registers.ss.selector = entry.ss.selector;
  return undefined;
}

const segment = () => ({ selector: 0, base: 0 });

/** Registers of nobody, for what POST does without a processor. */
const NO_REGISTERS: RegisterFile = {
  load() {},
  store() {},
  eax: 0,
  ebx: 0,
  ecx: 0,
  edx: 0,
  esi: 0,
  edi: 0,
  ebp: 0,
  esp: 0,
  ip: 0,
  eflags: 0,
  cs: segment(),
  ds: segment(),
  es: segment(),
  ss: segment(),
  cr0: 0,
};
