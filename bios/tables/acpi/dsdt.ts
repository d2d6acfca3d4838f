/**
 * The differentiated system description table's definition block: the PCI root, its interrupt
 * routing, the devices of the ISA bus, the processors and the soft-off state.
 *
 * Reference: ACPI 6.4, chapters 6 "Device configuration" and 7.3 "OEM-supplied system-level control
 * methods"; Intel 82371SB (290550), PIRQRC.
 */

import { SLP_TYP_S5 } from "../../../devices/system/acpi_pm.ts";
import { pirqOf, PIRQS } from "../../../devices/pci/pirq_router.ts";
import {
  type Aml,
  and,
  arg,
  byteFields,
  device,
  dwordField,
  eisaId,
  integer,
  local,
  method,
  named,
  or,
  packageOf,
  path,
  pciConfigRegion,
  processor,
  returns,
  scope,
  store,
  when,
} from "./aml.ts";
import {
  busRange,
  INTERRUPT_NUMBER_OFFSET,
  io,
  ioRange,
  isaDma,
  isaIrq,
  levelInterrupts,
  memory32,
  memoryRange,
  memoryRange64,
  resources,
} from "./aml_resources.ts";
import { hotplugEvent, hotplugSlots } from "./hotplug.ts";
import { virtioDevices } from "./virtio.ts";
import type { BoardDescription } from "../board_description.ts";
import { PCI_HOTPLUG_PORTS } from "../../../devices/system/acpi_pci_hotplug.ts";

const SLOTS = 32;
/** Slot of the south bridge, whose power management pulls the system control interrupt. */
const SOUTH_BRIDGE_SLOT = 1;
const LINKS = ["LNKA", "LNKB", "LNKC", "LNKD"];
const ROUTING_FIELDS = ["PRQA", "PRQB", "PRQC", "PRQD"];
/** PIRQRC bit 7: the line leads nowhere. */
const ROUTING_DISABLED = 0x80;
/** _STA: present and functioning; and enabled, i.e. decoding its resources. */
const PRESENT = 0x09;
const ENABLED = 0x0b;

/** A device of the ISA bus with what it occupies. */
const isaDevice = (name: string, hid: string, ...descriptors: Aml[]): Aml =>
  device(name, named("_HID", eisaId(hid)), named("_CRS", resources(...descriptors)));

/** The definition block of `board`, without the table's header. */
export function dsdtBlock(board: BoardDescription): Uint8Array {
  const { pciHotplug } = board;
  const terms = [
    named("PICF", integer(0)),
    // 5.8.1: 0 PIC, 1 APIC. The links are the same ISA interrupt requests in both.
    method("_PIC", { args: 1 }, store(arg(0), path("PICF"))),
    scope("\\_PR", ...Array.from({ length: board.cpus }, (_, n) => processor(cpuName(n), n))),
    scope(
      "\\_SB",
      pciRoot(board),
      ...LINKS.map((_, n) => pirqLink(board, n)),
      sciLink(board),
      ...virtioDevices(board),
    ),
    ...(pciHotplug === undefined ? [] : [hotplugEvent("\\_SB.PCI0")]),
    named("\\_S5", packageOf(integer(SLP_TYP_S5), integer(SLP_TYP_S5), integer(0), integer(0))),
  ];
  return Uint8Array.from(terms.flat());
}

const cpuName = (n: number): string => `C${n.toString(16).toUpperCase().padStart(3, "0")}`;

function pciRoot(board: BoardDescription): Aml {
  const { pciHole, pciHole64, pciHotplug } = board;
  const last = (range: { base: number; length: number }) => range.base + range.length - 1;
  return device(
    "PCI0",
    named("_HID", eisaId("PNP0A03")),
    named("_UID", integer(0)),
    named("_BBN", integer(0)),
    named(
      "_CRS",
      resources(
        busRange(0, 0xff),
        // The configuration ports are the bridge's own; all others lie behind it.
        io(0xcf8, 8),
        ioRange(0, 0xcf7),
        ioRange(0xd00, 0xffff),
        memoryRange(0xa_0000, 0xb_ffff, { cacheable: true }),
        memoryRange(pciHole.base, last(pciHole)),
        ...(pciHole64 === undefined ? [] : [memoryRange64(pciHole64.base, last(pciHole64))]),
      ),
    ),
    named("_PRT", routingTable()),
    isaBridge(board),
    ...(pciHotplug === undefined ? [] : hotplugSlots(pciHotplug)),
  );
}

/** _PRT (6.2.13): what every pin of every slot is linked to. Pins count from 0 here. */
function routingTable(): Aml {
  const entries: Aml[] = [];
  for (let slot = 0; slot < SLOTS; slot++) {
    for (let pin = 0; pin < PIRQS; pin++) {
      const isSci = slot === SOUTH_BRIDGE_SLOT && pin === 0;
      const link = isSci ? "LNKS" : LINKS[pirqOf(slot, pin + 1)];
      const address = integer(slot * 0x1_0000 + 0xffff);
      entries.push(packageOf(address, integer(pin), path(link), integer(0)));
    }
  }
  return packageOf(...entries);
}

/** One of PIRQA#-PIRQD# (6.2.11): its routing register tells and takes the interrupt request. */
function pirqLink({ pciIrqs }: BoardDescription, n: number): Aml {
  const register = path(`\\_SB.PCI0.ISA.${ROUTING_FIELDS[n]}`);
  return device(
    LINKS[n],
    named("_HID", eisaId("PNP0C0F")),
    named("_UID", integer(n)),
    named("_PRS", resources(levelInterrupts(pciIrqs))),
    method(
      "_STA",
      {},
      when(and(register, integer(ROUTING_DISABLED)), returns(integer(PRESENT))),
      returns(integer(ENABLED)),
    ),
    method("_DIS", {}, or(register, integer(ROUTING_DISABLED), register)),
    method(
      "_CRS",
      { serialized: true },
      store(resources(levelInterrupts([0])), local(0)),
      dwordField(local(0), INTERRUPT_NUMBER_OFFSET, "IRQN"),
      store(and(register, integer(0x0f)), path("IRQN")),
      returns(local(0)),
    ),
    method(
      "_SRS",
      { args: 1, serialized: true },
      dwordField(arg(0), INTERRUPT_NUMBER_OFFSET, "IRQN"),
      store(path("IRQN"), register),
    ),
  );
}

/** The system control interrupt is wired for good. */
function sciLink({ sciIrq }: BoardDescription): Aml {
  const interrupt = resources(levelInterrupts([sciIrq]));
  return device(
    "LNKS",
    named("_HID", eisaId("PNP0C0F")),
    named("_UID", integer(LINKS.length)),
    named("_PRS", interrupt),
    named("_CRS", interrupt),
    named("_STA", integer(ENABLED)),
    method("_DIS", {}),
    method("_SRS", { args: 1 }),
  );
}

function isaBridge(board: BoardDescription): Aml {
  const { serialPorts, hasFloppy, hpetAddress, pmBase, gpe0Base, smiPort, pciHotplug } = board;
  const serial = serialPorts.map(({ port, irq }, n) =>
    device(
      `COM${n + 1}`,
      named("_HID", eisaId("PNP0501")),
      named("_UID", integer(n + 1)),
      named("_CRS", resources(io(port, 8), isaIrq(irq))),
    )
  );
  const floppy = isaDevice("FDC0", "PNP0700", io(0x3f2, 4), io(0x3f7, 1), isaIrq(6), isaDma(2));
  return device(
    "ISA",
    named("_ADR", integer(SOUTH_BRIDGE_SLOT * 0x1_0000)),
    pciConfigRegion("PIRQ", 0x60, 4),
    byteFields("PIRQ", ROUTING_FIELDS),
    isaDevice("PIC", "PNP0000", io(0x20, 2), io(0xa0, 2), io(0x4d0, 2), isaIrq(2)),
    isaDevice("DMAC", "PNP0200", io(0x00, 16), io(0x81, 15), io(0xc0, 32), isaDma(4)),
    isaDevice("TIMR", "PNP0100", io(0x40, 4), isaIrq(0)),
    isaDevice("RTC", "PNP0B00", io(0x70, 2), isaIrq(8)),
    isaDevice("SPKR", "PNP0800", io(0x61, 1)),
    isaDevice("FPU", "PNP0C04", io(0xf0, 1), isaIrq(13)),
    isaDevice("KBD", "PNP0303", io(0x60, 1), io(0x64, 1), isaIrq(1)),
    isaDevice("MOU", "PNP0F13", isaIrq(12)),
    ...(hasFloppy ? [floppy] : []),
    ...serial,
    ...(hpetAddress === undefined
      ? []
      : [isaDevice("HPET", "PNP0103", memory32(hpetAddress, 0x400))]),
    // What belongs to the board itself, so that nothing else is put there.
    isaDevice(
      "MBRD",
      "PNP0C02",
      io(0x92, 1),
      io(smiPort, 2),
      io(pmBase, 64),
      io(gpe0Base, 4),
      ...(pciHotplug === undefined ? [] : [io(pciHotplug.port, PCI_HOTPLUG_PORTS)]),
    ),
  );
}
