/** The commands of the ROM monitor. */

import { PciHeader } from "../../devices/pci/config_header.ts";
import { hex } from "../../hv/core/hex.ts";
import { Ebda } from "../bda.ts";
import { BOOT_KINDS, driveName } from "../media/boot.ts";
import { Cmos, readClock } from "../cmos.ts";
import type { Console } from "./console.ts";
import { drivesOf } from "../media/drives.ts";
import type { Guest } from "../guest.ts";
import type { BootDevice } from "../../hv/core/media/drive_kind.ts";
import { PciConfig } from "../pci_config.ts";
import { describe } from "../post.ts";

const DUMP_BYTES = 128;
const MEMORY_TYPES = ["", "RAM", "reserved", "ACPI tables", "ACPI NVS", "unusable"];
/** Names that `boot` takes. */
const BOOT_NAMES: Readonly<Record<string, BootDevice>> = {
  a: "floppy",
  floppy: "floppy",
  c: "disk",
  disk: "disk",
  cd: "cdrom",
  cdrom: "cdrom",
  kernel: "kernel",
};

/** A command. */
export interface MonitorCommand {
  readonly name: string;
  /** Arguments and what it does, for `help`. */
  readonly help: readonly [usage: string, what: string];
  /** Returns "gone" when the guest is sent elsewhere. */
  run(guest: Guest, console: Console, words: readonly string[]): "gone" | void;
}

/** See above; `cpu` is carried out by monitor.ts itself. */
export const COMMANDS: readonly MonitorCommand[] = [
  {
    name: "help",
    help: ["help", "this list"],
    run: (_guest, console) => help(console),
  },
  {
    name: "mem",
    help: ["mem [address]", "the memory map, or 128 bytes at an address (hexadecimal)"],
    run: memory,
  },
  { name: "pci", help: ["pci", "the functions on the PCI bus"], run: pci },
  { name: "disks", help: ["disks", "the drives and what is in them"], run: disks },
  {
    name: "ports",
    help: ["ports [port]", "serial ports, or what a port reads (hexadecimal)"],
    run: ports,
  },
  { name: "time", help: ["time", "the clock's date and time"], run: time },
  { name: "boot", help: ["boot [a|c|cd|kernel]", "boots, in order or from one drive"], run: boot },
  {
    name: "reboot",
    help: ["reboot", "resets the machine"],
    run: (guest) => {
      guest.goTo("reboot");
      return "gone";
    },
  },
  {
    name: "off",
    help: ["off", "switches the machine off"],
    run: (guest) => {
      guest.goTo("powerOff");
      return "gone";
    },
  },
];

function help(console: Console): void {
  const lines = COMMANDS.map(({ help }) => help);
  for (const [usage, what] of [...lines, ["cpu", "every leaf of CPUID"]]) {
    console.print(`  ${usage.padEnd(22)}${what}\n`);
  }
}

function memory(guest: Guest, console: Console, words: readonly string[]): void {
  if (words.length === 0) {
    for (const { base, length, type } of guest.host.config.memoryMap) {
      const range = `${hex(base, 10)}-${hex(base + length - 1, 10)}`;
      console.print(`  ${range}  ${MEMORY_TYPES[type] ?? `type ${type}`}\n`);
    }
    return;
  }
  const start = parseInt(words[0], 16);
  if (!/^[0-9a-f]{1,12}$/.test(words[0])) {
    return console.print(`Cannot show "${words[0]}": an address is hexadecimal, as in mem f0000\n`);
  }
  for (let line = start; line < start + DUMP_BYTES; line += 16) {
    const bytes = Array.from({ length: 16 }, (_, i) => guest.space.read8(line + i));
    const letters = bytes.map((b) => b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : ".");
    console.print(`${hex(line, 8)} ${bytes.map((b) => hex(b, 2)).join(" ")} ${letters.join("")}\n`);
  }
}

function pci(guest: Guest, console: Console): void {
  const config = new PciConfig(guest.host.ports);
  for (const at of config.functions()) {
    const place = `${hex(at.bus, 2)}:${hex(at.device, 2)}.${at.function}`;
    const bars = [0, 1, 2, 3, 4, 5].flatMap((index) => {
      const bar = config.read(at, PciHeader.BAR0 + index * 4, 4);
      return bar === 0 ? [] : [hex(bar, 8)];
    });
    const irq = config.read(at, PciHeader.INTPN, 1) === 0
      ? ""
      : ` irq ${config.read(at, PciHeader.INTLN, 1)}`;
    const identity = `${hex(at.vendor, 4)}:${hex(at.id, 4)} class ${hex(at.classCode, 6)}`;
    console.print(`  ${place} ${identity}${irq} ${bars.join(" ")}\n`);
  }
}

function disks(guest: Guest, console: Console): void {
  const { drives } = guest.host;
  if (drives.length === 0) console.print("There are no drives.\n");
  for (const drive of drives) {
    console.print(`  ${hex(drive.number, 2)}h ${driveName(drive)}: ${describe(drive)}\n`);
  }
}

function ports(guest: Guest, console: Console, words: readonly string[]): void {
  const { config, ports } = guest.host;
  if (words.length === 0) {
    for (const [index, port] of config.serialPorts.entries()) {
      console.print(`  COM${index + 1} at ${hex(port, 3)}h\n`);
    }
    return;
  }
  if (!/^[0-9a-f]{1,4}$/.test(words[0])) {
    return console.print(`Cannot read "${words[0]}": a port is hexadecimal, as in ports 3f8\n`);
  }
  const port = parseInt(words[0], 16);
  console.print(`  ${hex(port, 4)}h: ${hex(ports.read(port, 1), 2)}h\n`);
}

function time(guest: Guest, console: Console): void {
  const { ports } = guest.host;
  const two = (register: number) => String(readClock(ports, register)).padStart(2, "0");
  const date = `${two(Cmos.century)}${two(Cmos.year)}-${two(Cmos.month)}-${two(Cmos.day)}`;
  console.print(`  ${date} ${two(Cmos.hours)}:${two(Cmos.minutes)}:${two(Cmos.seconds)}\n`);
}

/** `boot` goes through the devices in order; `boot a` tries one kind, by the order's bit mask. */
function boot(guest: Guest, console: Console, words: readonly string[]): "gone" | void {
  const { memory, config } = guest.host;
  const kind = words.length === 0 ? undefined : BOOT_NAMES[words[0]];
  if (words.length > 0 && kind === undefined) {
    return console.print(`Cannot boot "${words[0]}": a, c, cd and kernel are possible\n`);
  }
  const there = kind === "kernel"
    ? config.kernel !== undefined
    : kind === undefined || drivesOf(guest.host, kind).length > 0;
  if (!there) return console.print(`There is no ${kind} to boot.\n`);
  memory.writeU8(Ebda.bootOnly, kind === undefined ? 0 : BOOT_KINDS.indexOf(kind) + 1);
  memory.writeU8(Ebda.bootIndex, 0);
  guest.goTo("bootAgain");
  return "gone";
}
