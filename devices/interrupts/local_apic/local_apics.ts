/**
 * The local APICs of a machine as messages find them: which ones a destination means, and which of
 * those takes an interrupt for the lowest priority.
 *
 * Reference: Intel SDM volume 3, 11.6.2 "Determining IPI destination".
 *
 * May be called on any thread and under any lock. Where several processors have the lowest priority,
 * the vector chooses among them, so that different interrupts go to different processors.
 */

import { type ApicBus, type ApicMessage, DeliveryMode } from "../apic_message.ts";
import type { LocalApicReceiver } from "./receiver.ts";

/** See above. */
export class LocalApics implements ApicBus {
  readonly #receivers: LocalApicReceiver[] = [];

  /** Adds the local APIC of the next processor. */
  add(receiver: LocalApicReceiver): void {
    this.#receivers.push(receiver);
  }

  deliver(message: ApicMessage, except = -1): boolean {
    if (message.mode === DeliveryMode.lowestPriority) return this.#toLowest(message, except);
    let accepted = false;
    for (const [index, receiver] of this.#receivers.entries()) {
      if (index === except || !receiver.hears(message.destination, message.logical)) continue;
      if (receiver.accept(message)) accepted = true;
    }
    return accepted;
  }

  #toLowest(message: ApicMessage, except: number): boolean {
    let lowest = Infinity;
    let candidates: LocalApicReceiver[] = [];
    for (const [index, receiver] of this.#receivers.entries()) {
      if (index === except || !receiver.takesFixed) continue;
      if (!receiver.hears(message.destination, message.logical)) continue;
      const priority = receiver.ppr >> 4;
      if (priority < lowest) {
        lowest = priority;
        candidates = [];
      }
      if (priority === lowest) candidates.push(receiver);
    }
    if (candidates.length === 0) return false;
    return candidates[message.vector % candidates.length].accept(message);
  }
}
