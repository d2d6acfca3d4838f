/**
 * Descriptor tables of split virtqueues: from the first descriptor of a chain to all of it.
 *
 * A descriptor has 16 bytes: address (8), length (4), flags (2), next (2).
 *
 * Reference: Virtual I/O Device (VIRTIO) 1.3, 2.7.5 "The Virtqueue Descriptor Table", 2.7.5.3
 * "Indirect Descriptors".
 */

import type { GuestMemory } from "../../../hv/core/memory/guest_memory.ts";
import { type DescriptorChain, VirtqueueFault } from "./descriptor_chain.ts";

/** Bytes of a descriptor. */
export const DESCRIPTOR_BYTES = 16;

/** Flags of a descriptor. */
export const DescriptorFlag = { NEXT: 1, WRITE: 2, INDIRECT: 4 } as const;

/** Where a chain is, and what its queue allows. */
export interface TableReader {
  readonly memory: GuestMemory;
  /** Guest-physical. */
  readonly table: number;
  /** Descriptors in the table. */
  readonly entries: number;
  /** Most descriptors of a chain. */
  readonly limit: number;
  /** Has VIRTIO_F_INDIRECT_DESC been negotiated? */
  readonly indirect: boolean;
}

/** A descriptor as it was read: the guest may change it at any time. */
const words = new Uint32Array(DESCRIPTOR_BYTES / 4);

/** Appends the descriptors from `first` on to `chain`. */
export function readDescriptors(
  chain: DescriptorChain,
  reader: TableReader,
  first: number,
): VirtqueueFault {
  const { memory, table, entries, limit, indirect } = reader;
  let index = first;
  for (let count = 0; count < limit; count++) {
    if (index >= entries) return VirtqueueFault.descriptorIndex;
    memory.readU32s(table + index * DESCRIPTOR_BYTES, words);
    const address = words[0] + words[1] * 2 ** 32;
    const length = words[2];
    const flags = words[3] & 0xffff;
    const next = words[3] >>> 16;
    if ((flags & DescriptorFlag.INDIRECT) !== 0) {
      if (!indirect || (flags & DescriptorFlag.NEXT) !== 0) return VirtqueueFault.indirect;
      return readIndirect(chain, reader, address, length);
    }
    const fault = chain.add(address, length, (flags & DescriptorFlag.WRITE) !== 0);
    if (fault !== VirtqueueFault.none) return fault;
    if ((flags & DescriptorFlag.NEXT) === 0) return VirtqueueFault.none;
    index = next;
  }
  return VirtqueueFault.chainLength;
}

function readIndirect(
  chain: DescriptorChain,
  reader: TableReader,
  table: number,
  length: number,
): VirtqueueFault {
  if (length === 0 || length % DESCRIPTOR_BYTES !== 0) return VirtqueueFault.indirect;
  if (reader.memory.offsetOf(table, length) < 0) return VirtqueueFault.bufferAddress;
  const entries = length / DESCRIPTOR_BYTES;
  return readDescriptors(chain, { ...reader, table, entries, indirect: false }, 0);
}
