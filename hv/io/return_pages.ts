/** Guest memory that goes back to the host while the guest runs. */

import type { GuestMemory } from "../core/memory/guest_memory.ts";
import { discardPages } from "../sys/memory_map.ts";

/**
 * Gives whole pages of guest RAM back to the host; the guest finds zeros there, in new pages, when it
 * touches them again. False when not all of them are RAM.
 *
 * KVM hears of it from the host's kernel and drops its mappings. The software CPU's translations lead to
 * the same place as before, and stay; what it has decoded there goes, twice: it may have decoded the
 * old bytes again before they were gone.
 */
export function returnPages(memory: GuestMemory, address: number, length: number): boolean {
  const view = memory.view(address, length);
  if (view === undefined) return false;
  discardPages(view);
  memory.view(address, length);
  return true;
}
