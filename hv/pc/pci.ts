/** The board's PCI side: 440FX, PIIX3 with its IDE function, PIIX4 power management. */

import { AcpiPm, AcpiPmState } from "../../devices/system/acpi_pm.ts";
import { I440fx } from "../../devices/pci/i440fx.ts";
import { PciBus, PciBusState } from "../../devices/pci/pci_bus.ts";
import { PciFunctionState } from "../../devices/pci/pci_function.ts";
import { Piix3 } from "../../devices/pci/piix3.ts";
import { Piix3Ide } from "../../devices/pci/piix3_ide.ts";
import { Piix4Smbus, Piix4SmbusState } from "../../devices/pci/piix4_smbus.ts";
import { Piix4Pm } from "../../devices/pci/piix4_pm.ts";
import { PirqRouter, PirqRouterState } from "../../devices/pci/pirq_router.ts";
import { ResetControl, ResetControlState } from "../../devices/system/reset_control.ts";
import type { Lock } from "../core/state/lock.ts";
import type { PcBuilder } from "./builder.ts";
import { FREE_SLOTS, GPE0_PORT, SCI_IRQ, SMI_PORT } from "./layout.ts";
import type { PcMemory } from "./memory.ts";
import { FixedSlot, type PciSlot, type SlotPlace } from "./pci_slot.ts";
import type { PcStorage } from "./storage.ts";

/** Slots of the chip set, as on QEMU's board, which SeaBIOS and OVMF know. */
const HOST_BRIDGE = 0;
const PIIX = 1;
/** Function numbers of the PIIX. */
const ISA = 0;
const IDE = 1;
const PM = 3;

/** Interrupt requests that a PIRQ line can be led to (82371SB, PIRQRC). */
const PIRQ_IRQS = [3, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15];
/** What the chip set asks of the machine. */
export interface PcPciRequests {
  reset(): void;
  /** The processor alone, as the AT's RC line does it. */
  cpuReset(): void;
  powerOff(): void;
}

/** See above. */
export class PcPci {
  readonly bus: PciBus;
  readonly lock: Lock;
  readonly hostBridge: I440fx;
  readonly pm: AcpiPm;
  /** Guards power management, and what raises its events. */
  readonly pmLock: Lock;
  readonly #builder: PcBuilder;
  readonly #router: PirqRouter;
  #nextFree: number = FREE_SLOTS.first;

  constructor(
    b: PcBuilder,
    memory: PcMemory,
    storage: PcStorage,
    { reset, cpuReset, powerOff }: PcPciRequests,
  ) {
    this.#builder = b;
    const lock = this.lock = b.lock("pci");
    const resetControl = b.device(
      new ResetControl(
        b.state(ResetControlState),
        (kind) => kind === "hard" ? reset() : cpuReset(),
      ),
    );
    const bus = this.bus = b.device(
      new PciBus(b.state(PciBusState), { ports: b.ports, memory: b.mmio, resetControl }),
    );
    const widths = { max: 4 } as const;
    b.ports.claim({ name: "pci", base: 0xcf8, length: 4, device: bus.address, widths, lock });
    b.ports.claim({ name: "pci", base: 0xcfc, length: 4, device: bus.data, widths, lock });

    const irqs = Array.from(
      { length: 16 },
      (_, irq) => PIRQ_IRQS.includes(irq) ? b.irq(irq) : undefined,
    );
    const router = this.#router = new PirqRouter(b.state(PirqRouterState), b.lock("pirq"), irqs);
    const state = (name: string) => b.state(PciFunctionState, name);

    this.hostBridge = b.device(
      new I440fx(state("i440fx"), (after, before) => memory.shadowChanged(after, before)),
    );
    bus.attach(HOST_BRIDGE, 0, this.hostBridge.pci);
    bus.attach(PIIX, ISA, b.device(new Piix3(state("piix3"), router)).pci);
    const { busMaster, ideLock } = storage;
    const ide = new Piix3Ide(state("piix3 ide"), {
      device: busMaster,
      lock: ideLock,
      onMaster: () => ideLock.with(() => busMaster.resume()),
    });
    busMaster.mayMaster = () => ide.pci.isMaster;
    bus.attach(PIIX, IDE, b.device(ide).pci);

    const pmLock = this.pmLock = b.lock("acpi pm");
    const pm = this.pm = b.device(
      new AcpiPm(b.state(AcpiPmState), {
        clock: b.clock,
        timer: b.timers.create("acpi pm", pmLock),
        sci: b.irq(SCI_IRQ),
        powerOff,
      }),
    );
    const piix4 = new Piix4Pm(state("piix4 pm"), {
      ports: b.ports,
      pm: { device: pm.block, lock: pmLock },
      smbus: { device: b.device(new Piix4Smbus(b.state(Piix4SmbusState))), lock: b.lock("smbus") },
    });
    bus.attach(PIIX, PM, b.device(piix4).pci);
    b.ports.claim({
      name: "gpe0",
      base: GPE0_PORT,
      length: 4,
      device: pm.gpe0,
      widths,
      lock: pmLock,
    });
    b.ports.claim({ name: "smi", base: SMI_PORT, length: 2, device: pm.command, lock: pmLock });
  }

  /**
   * The next slot for a device of one function.
   *
   * @throws {Error} When there is none left: whoever configures the board sees to that.
   */
  freeSlot(): PciSlot {
    if (this.#nextFree === FREE_SLOTS.first + FREE_SLOTS.count) {
      throw new Error("Cannot add a device: the bus is full");
    }
    return new FixedSlot(this.#builder, this.slot(this.#nextFree++));
  }

  /** Where a slot is. */
  slot(number: number): SlotPlace {
    return { bus: this.bus, number, pin: this.#router.pin(number, 0, 1) };
  }
}
