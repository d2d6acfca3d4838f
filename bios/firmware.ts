/**
 * The firmware: a device behind one port, which the ROM's stubs write to. It finds the service by the
 * address of the `out`, so that code outside of the ROM cannot call it.
 *
 * One object a vCPU thread. It holds nothing: what is to be remembered lies in guest memory. No lock is
 * held; only the services of processor 0 meet each other, and they run on one thread.
 */

import type { IoHandler } from "../hv/core/bus/device.ts";
import { int19 } from "./media/boot.ts";
import { Console } from "./monitor/console.ts";
import { numberDrives } from "./media/drives.ts";
import { Guest } from "./guest.ts";
import type { FirmwareHost } from "./host.ts";
import { int09, int09Key } from "./services/int09.ts";
import { int10 } from "./video/int10.ts";
import { int13 } from "./services/int13.ts";
import { int14, int17 } from "./services/int14.ts";
import { continueWait, int15 } from "./services/int15.ts";
import { int16 } from "./services/int16.ts";
import { int1a, int70 } from "./services/int1a.ts";
import { monitor } from "./monitor/monitor.ts";
import { int74 } from "./services/mouse.ts";
import { callOptionRom } from "./media/option_rom.ts";
import { bios32, pciBios32 } from "./services/pci_bios.ts";
import { post, reset } from "./post.ts";
import { ROM_BASE, ROM_BYTES, romCode, type RomTable } from "./rom/rom.ts";
import type { ServiceName } from "./rom/stub_names.ts";
import { TextScreen } from "./video/text_screen.ts";

/** Where the ROM is seen a second time: below 4 GiB. */
const ROM_ALIAS = 0xffff_0000;
/** Length of the `out` instruction: an accelerator reports IP before or behind it. */
const OUT_LENGTH = 2;

/** See above. */
export class Firmware implements IoHandler {
  readonly #guest: Guest;
  readonly #services: Readonly<Record<ServiceName, () => void>>;
  /** A service is under way on this thread. */
  #isServing = false;

  /** @param tables ACPI, SMBIOS and MP tables; those outside of the ROM are put into RAM by POST. */
  constructor(host: FirmwareHost, tables: readonly RomTable[] = []) {
    const guest = new Guest({ ...host, drives: numberDrives(host.drives) });
    const screen = new TextScreen(guest);
    const console = new Console(guest, screen);
    this.#guest = guest;
    this.#services = {
      reset: () => reset(guest),
      post: () => post(guest, screen, console, tables),
      optionRom: () => callOptionRom(guest),
      int09: () => int09(guest),
      int09Key: () => int09Key(guest),
      int10: () => int10(guest, screen),
      int13: () => int13(guest),
      int14: () => int14(guest),
      int15: () => int15(guest),
      int15Wait: () => continueWait(guest),
      int16: () => int16(guest),
      int17: () => int17(guest),
      int19: () => int19(guest, console),
      int1a: () => int1a(guest),
      int70: () => int70(guest),
      int74: () => int74(guest),
      monitor: () => monitor(guest, console),
      bios32: () => bios32(guest),
      pciBios32: () => pciBios32(guest),
    };
  }

  /** Nothing is to be read. */
  read(_offset: number, _size: number): number {
    return 0xff;
  }

  /**
   * A stub calls; from anywhere else nothing happens. A service that writes to ports which the guest
   * names (COM1's base in the BIOS data area) could come back here, and does not.
   */
  write(_offset: number, _size: number, _value: number): void {
    if (this.#isServing) return;
    const { registers } = this.#guest;
    registers.load();
    const service = serviceAt(registers.cs.base + registers.ip);
    if (service === undefined) return;
    this.#isServing = true;
    try {
      this.#services[service]();
    } finally {
      this.#isServing = false;
    }
    registers.store();
  }

  /** Runs a service with the registers as they are loaded; for tests. */
  serve(service: ServiceName): void {
    this.#services[service]();
  }
}

/** The service whose `out` is at, or just before, a linear address. */
function serviceAt(linear: number): ServiceName | undefined {
  const offset = linear >= ROM_ALIAS ? linear - ROM_ALIAS : linear - ROM_BASE;
  if (offset < 0 || offset >= ROM_BYTES) return undefined;
  const { services } = romCode();
  return services.get(offset) ?? services.get(offset - OUT_LENGTH);
}
