/**
 * The built-in firmware (bios/) on the board: its ROM with the tables, and its services, which are called
 * by a port. Loaded only by the threads of a machine that uses it.
 */

import { buildAcpi, placeAcpi } from "../../../bios/tables/acpi/acpi.ts";
import { Firmware } from "../../../bios/firmware.ts";
import type { FirmwareDrive, FirmwareHost } from "../../../bios/host.ts";
import { buildMpTable } from "../../../bios/tables/mptable.ts";
import { ROM_BYTES, romImage, type RomTable } from "../../../bios/rom/rom.ts";
import { buildSmbios, placeSmbios } from "../../../bios/tables/smbios.ts";
import { FIRMWARE_PORT } from "../../../bios/rom/stub_names.ts";
import type { RegisterFile, Vcpu } from "../../accel/accelerator.ts";
import { PlainRegisters } from "../../accel/plain_registers.ts";
import type { EntryState } from "../../boot/mod.ts";
import { EndKind, Request } from "../../core/control.ts";
import { alignUp } from "../../core/align.ts";
import type { IoHandler } from "../../core/bus/device.ts";
import { MAX_IDE_DRIVES } from "../board_config.ts";
import type { PcBuilder } from "../builder.ts";
import { ACPI_BYTES, firmwareMemoryMap, RSDP_ADDRESS } from "./firmware_memory.ts";
import { boardOf, IDENTITY } from "./firmware_tables.ts";
import { FIRMWARE_LOG_PORT, SERIAL_PORTS } from "../layout.ts";
import type { PcMemory } from "../memory.ts";
import type { PcDrive, PcStorage } from "../storage.ts";
import { VERSION } from "../../version.ts";

const TABLE_ALIGNMENT = 16;

/** See above. */
export class BuiltinFirmware {
  readonly #builder: PcBuilder;
  readonly #memory: PcMemory;
  readonly #storage: PcStorage;
  #builtTables: readonly RomTable[] | undefined;

  constructor(builder: PcBuilder, memory: PcMemory, storage: PcStorage) {
    this.#builder = builder;
    this.#memory = memory;
    this.#storage = storage;
  }

  /** What is in its ROM. */
  image(): Uint8Array {
    return romImage(this.#tables);
  }

  /** Connects it to the processor that this thread runs. */
  attachVcpu(vcpu: Vcpu): void {
    const storage = this.#storage;
    const made = () => new Firmware(this.#host(vcpu.registers), this.#tables);
    let hotDrives = storage.hotDrives;
    let firmware = made();
    // All of its state is in guest memory: with other disks it is simply another.
    const current = () => {
      if (storage.hotDrives !== hotDrives) {
        hotDrives = storage.hotDrives;
        firmware = made();
      }
      return firmware;
    };
    const device: IoHandler = {
      read: (offset, size) => current().read(offset, size),
      write: (offset, size, value) => current().write(offset, size, value),
    };
    this.#builder.ports.claim({ name: "firmware", base: FIRMWARE_PORT, length: 1, device });
  }

  /**
   * What POST does without the processor, for a kernel that is entered directly: tables, PCI, video mode.
   * Main calls it while nothing runs.
   */
  prepareWithoutPost(): void {
    new Firmware(this.#host(new PlainRegisters()), this.#tables).serve("post");
  }

  get #tables(): readonly RomTable[] {
    return this.#builtTables ??= buildTables(this.#builder);
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
      drives: [...this.#storage.drives, ...this.#storage.hotDrives].map(firmwareDrive),
      config: {
        memoryMap: firmwareMemoryMap(config.ramBytes),
        bootOrder: config.bootOrder,
        cpus: config.cpus,
        serialPorts: SERIAL_PORTS.slice(0, config.serialPorts).map(({ port }) => port),
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
      boot: control.boot,
      giveUp: () => control.end(EndKind.failed, 0, nothingToBoot(control.boot.reasons)),
    };
  }

  #log(line: string): void {
    const { ports } = this.#builder;
    for (const char of `${line}\n`) ports.write(FIRMWARE_LOG_PORT, 1, char.charCodeAt(0) & 0xff);
  }
}

/** Where the monitor was reached without INT 19h, nothing is known. */
const nothingToBoot = (reasons: string): string =>
  "nothing can be booted, and nobody is there to say what else" +
  (reasons === "" ? "" : `: ${reasons}`);

function firmwareDrive(
  { config, firmwarePort: port }: Pick<PcDrive, "config" | "firmwarePort">,
): FirmwareDrive {
  const { kind, unit, geometry } = config;
  if (kind === "floppy") return { kind, number: unit, port, sectorBytes: 512 };
  if (config.interface === "virtio") {
    // Behind the disks of both IDE channels.
    return { kind, number: 0x80 + MAX_IDE_DRIVES + unit, port, geometry, sectorBytes: 512 };
  }
  return {
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
  };
}

/** ACPI, SMBIOS and MP tables: the small ones in the ROM, ACPI's at the end of low RAM. */
function buildTables(builder: PcBuilder): RomTable[] {
  const board = boardOf(builder.config);
  const acpiAddress = builder.memory.lowBytes - ACPI_BYTES;
  const { tables, rsdp } = placeAcpi(buildAcpi(board), acpiAddress);
  let next = RSDP_ADDRESS;
  const place = (bytesAt: (address: number) => Uint8Array): RomTable => {
    const address = next;
    const bytes = bytesAt(address);
    next = alignUp(address + bytes.length, TABLE_ALIGNMENT);
    return { address, bytes };
  };
  const smbios = buildSmbios(board, IDENTITY);
  const root = place(() => rsdp);
  const mp = place((address) => buildMpTable(board, address));
  const structures = place(() => smbios.structures);
  const entry = place(() => placeSmbios(smbios, structures.address));
  return [root, mp, structures, entry, { address: acpiAddress, bytes: tables }];
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
