/**
 * INT 19h, bootstrap: the devices in the configured order, the first that can be booted; a message
 * for each that cannot. With none left, the ROM monitor begins, as it does when a system that was booted
 * gives up by INT 18h.
 *
 * Reference: IBM PC/AT Technical Reference, BIOS, INT 19h; BIOS Boot Specification 1.01, appendix D.
 */

import type { BootDevice } from "../../hv/core/media/drive_kind.ts";
import { Ebda } from "../bda.ts";
import { clearMonitor, type Console } from "../monitor/console.ts";
import { drivesOf, readBytes, RETRY, Status } from "./drives.ts";
import { endEmulation, loadBootImage } from "./el_torito.ts";
import type { Guest } from "../guest.ts";
import type { FirmwareDrive, FirmwareHost } from "../host.ts";

const BOOT_ADDRESS = 0x7c00;
const SECTOR = 512;
const SIGNATURE = 0xaa55;
/** Bytes at the start of a diskette's boot sector that are not all the same, with or without signature. */
const VARIED = 16;
const IF = 0x0200;

/** One thing that may be booted. */
type Candidate = { readonly kind: "kernel" } | {
  readonly kind: "drive";
  readonly drive: FirmwareDrive;
};

/** The kinds in the order of their numbers in `Ebda.bootOnly`, which begin with 1. */
export const BOOT_KINDS: readonly BootDevice[] = ["floppy", "disk", "cdrom", "kernel"];

/** Everything that may be booted, in order; only one kind when the monitor was told so. */
function candidates(host: FirmwareHost): Candidate[] {
  const only = BOOT_KINDS[host.memory.readU8(Ebda.bootOnly) - 1];
  const order = only === undefined ? host.config.bootOrder : [only];
  return order.flatMap((device): Candidate[] => {
    if (device === "kernel") return host.config.kernel === undefined ? [] : [{ kind: "kernel" }];
    return drivesOf(host, device).map((drive) => ({ kind: "drive", drive }));
  });
}

/** What messages call a drive. */
export function driveName({ kind, number }: FirmwareDrive): string {
  if (kind === "floppy") return `floppy ${String.fromCharCode(0x41 + number)}`;
  if (kind === "disk") return `disk ${number - 0x80}`;
  return `CD-ROM ${number - 0xe0}`;
}

/** Serves INT 19h. */
export function int19(guest: Guest, console: Console): void {
  const { host } = guest;
  const { memory } = host;
  const all = candidates(host);
  endEmulation(guest);
  if (memory.readU8(Ebda.bootIndex) === 0) host.boot.clear();
  for (let index = memory.readU8(Ebda.bootIndex); index < all.length; index++) {
    memory.writeU8(Ebda.bootIndex, index);
    const candidate = all[index];
    const problem = candidate.kind === "kernel"
      ? host.config.kernel!()
      : bootDrive(guest, candidate.drive);
    if (problem === RETRY) return guest.goTo("retry19");
    if (problem === undefined) {
      memory.writeU8(Ebda.bootIndex, 0);
      memory.writeU8(Ebda.bootOnly, 0);
      const name = candidate.kind === "kernel" ? "kernel" : driveName(candidate.drive);
      host.log(`booting ${name}`);
      host.boot.add(`What was booted from ${name} gave up (INT 18h)`);
      return;
    }
    console.print(`${problem}\n`);
    host.boot.add(String(problem));
    host.log(String(problem));
  }
  memory.writeU8(Ebda.bootIndex, 0);
  memory.writeU8(Ebda.bootOnly, 0);
  if (all.length === 0) {
    console.print("There is no drive to boot from.\n");
    host.boot.add("There is no drive to boot from");
  }
  clearMonitor(guest);
  guest.goTo("startMonitor");
}

/** Boots one drive; undefined when it is under way, `RETRY`, or a message. */
function bootDrive(guest: Guest, drive: FirmwareDrive): string | typeof RETRY | undefined {
  const name = driveName(drive);
  if (!drive.port.present) return `No medium in ${name}`;
  if (drive.kind === "cdrom") {
    const image = loadBootImage(guest, drive);
    if (image === RETRY) return RETRY;
    if (typeof image === "string") return `Cannot boot ${name}: ${image}`;
    enter(guest, image.address, image.drive);
    return undefined;
  }
  const { status, bytes } = readBytes(guest.host, drive, 0, SECTOR);
  if (status === RETRY) return RETRY;
  if (status !== Status.ok) return `Cannot boot ${name}: its first sector cannot be read`;
  if (!bootable(drive.kind, bytes)) {
    return `No bootable medium in ${name}: its first sector has no boot signature (55h AAh)`;
  }
  drive.port.state.changed = false;
  guest.space.write(BOOT_ADDRESS, bytes);
  enter(guest, BOOT_ADDRESS, drive.number);
  return undefined;
}

/** Diskettes older than the signature are taken when their sector holds anything at all. */
function bootable(kind: "floppy" | "disk", sector: Uint8Array): boolean {
  if ((sector[510] | sector[511] << 8) === SIGNATURE) return true;
  return kind === "floppy" && sector.subarray(0, VARIED).some((byte) => byte !== sector[0]);
}

/** Sets the registers for a boot sector; the stub's IRET takes the frame left under 7C00h. */
function enter(guest: Guest, address: number, drive: number): void {
  const { registers } = guest;
  const segment = address > 0xffff ? address >>> 4 : 0;
  const offset = address > 0xffff ? address & 0xf : address;
  for (const register of [registers.ds, registers.es, registers.ss]) guest.setSegment(register, 0);
  registers.eax = 0xaa55;
  registers.ebx = 0;
  registers.ecx = 0;
  registers.edx = drive;
  registers.esi = 0;
  registers.edi = 0;
  registers.ebp = 0;
  registers.esp = BOOT_ADDRESS;
  guest.push(IF);
  guest.push(segment);
  guest.push(offset);
}
