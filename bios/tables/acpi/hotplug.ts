/**
 * The part of the DSDT by which an operating system learns that PCI devices come and go, and lets them
 * go: a device for every slot that has room for that, and the method of the general purpose event.
 *
 * References: ACPI 6.4, 5.6.4.1 (methods of events), 5.6.6 (notifications), 6.3.3 "_EJx"; QEMU,
 * docs/specs/acpi_pci_hotplug.rst.
 */

import { PCI_HOTPLUG_GPE, PCI_HOTPLUG_PORTS } from "../../../devices/system/acpi_pci_hotplug.ts";
import {
  type Aml,
  and,
  arg,
  call,
  device,
  dwordFields,
  integer,
  method,
  named,
  notify,
  path,
  scope,
  shiftLeft,
  store,
  systemIoRegion,
  when,
} from "./aml.ts";

/** Notifications (5.6.6): look at the device; let it go. */
const DEVICE_CHECK = 1;
const EJECT_REQUEST = 3;

/** A slot's device is named for its function number on the bus, as on QEMU's board: SC0, SC8… */
const slotName = (slot: number): string => `S${(slot * 8).toString(16).toUpperCase()}`;

/** What the PCI root has: the registers' fields, the slots, the method that tells what has changed. */
export function hotplugSlots(
  { port, slots }: { readonly port: number; readonly slots: readonly number[] },
): Aml[] {
  return [
    systemIoRegion("PCST", port, PCI_HOTPLUG_PORTS),
    dwordFields("PCST", ["PCIU", "PCID", "B0EJ"]),
    method(
      "PCEJ",
      { args: 1, serialized: true },
      store(shiftLeft(integer(1), arg(0)), path("B0EJ")),
    ),
    ...slots.map((slot) =>
      device(
        slotName(slot),
        named("_SUN", integer(slot)),
        named("_ADR", integer(slot * 0x1_0000)),
        method("_EJ0", { args: 1 }, call("PCEJ", path("_SUN"))),
      )
    ),
    // Tells all slots of a set of bits what has happened to their devices.
    method(
      "DVNT",
      { args: 2 },
      ...slots.map((slot) =>
        when(and(arg(0), integer((1 << slot) >>> 0)), notify(path(slotName(slot)), arg(1)))
      ),
    ),
    method(
      "PCNT",
      {},
      call("DVNT", path("PCIU"), integer(DEVICE_CHECK)),
      call("DVNT", path("PCID"), integer(EJECT_REQUEST)),
    ),
  ];
}

/** The method of the general purpose event, which is an edge: its status is cleared before it runs. */
export const hotplugEvent = (root: string): Aml =>
  scope("\\_GPE", method(`_E0${PCI_HOTPLUG_GPE}`, {}, call(`${root}.PCNT`)));
