/**
 * Which pins of the interrupt controllers a global system interrupt (GSI) reaches.
 *
 * As on a PC with ACPI: ISA interrupts 0-15 go to the 8259s and to the I/O APIC's pin of the same
 * number, but for the timer's, IRQ 0, which goes to pin 2 (the 8259s' cascade takes no pin): the
 * MADT must say so with an interrupt source override 0 → 2. GSI 16-23 go to the I/O APIC alone.
 */

import { call, KVM_SET_GSI_ROUTING } from "./api/ioctl.ts";
import {
  kvm_irq_routing,
  kvm_irq_routing_entry,
  KVM_IRQ_ROUTING_IRQCHIP,
  KVM_IRQCHIP_IOAPIC,
  KVM_IRQCHIP_PIC_MASTER,
  KVM_IRQCHIP_PIC_SLAVE,
} from "./api/structs.ts";

/** A pin that a GSI reaches. */
export interface Route {
  readonly gsi: number;
  readonly chip: number;
  readonly pin: number;
}

/** Pin of the cascade on the master 8259. */
const CASCADE = 2;
const ISA_LINES = 16;
const IOAPIC_PINS = 24;
const TIMER_PIN = 2;

/** The routes of the PC. */
export function pcRoutes(): Route[] {
  const routes: Route[] = [];
  for (let gsi = 0; gsi < IOAPIC_PINS; gsi++) {
    if (gsi === CASCADE) continue;
    if (gsi < ISA_LINES) {
      const chip = gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE;
      routes.push({ gsi, chip, pin: gsi % 8 });
    }
    routes.push({ gsi, chip: KVM_IRQCHIP_IOAPIC, pin: gsi === 0 ? TIMER_PIN : gsi });
  }
  return routes;
}

/** Gives machine `vmFd` the routes of the PC. */
export function routeInterrupts(vmFd: number): void {
  const routes = pcRoutes();
  const headWords = kvm_irq_routing.byteLength / 4;
  const entryWords = kvm_irq_routing_entry.byteLength / 4;
  const words = new Uint32Array(headWords + routes.length * entryWords);
  words[0] = routes.length;
  routes.forEach(({ gsi, chip, pin }, i) => {
    words.set([gsi, KVM_IRQ_ROUTING_IRQCHIP, 0, 0, chip, pin], headWords + i * entryWords);
  });
  call(vmFd, KVM_SET_GSI_ROUTING, words);
}
