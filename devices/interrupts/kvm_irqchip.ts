/**
 * Frame of the blobs in which KVM gives and takes its interrupt controllers (`struct kvm_irqchip` of
 * <linux/kvm.h>): the common form in which a machine's chips go from one accelerator to the other.
 */

import {
  bytes,
  type Fields,
  record,
  type RecordType,
  type RecordView,
  u32,
} from "../../hv/core/state/record.ts";

/** Numbers of the chips. */
export const KvmChip = { picMaster: 0, picSlave: 1, ioapic: 2 } as const;

const HEAD_BYTES = 8;
const Frame = record("kvm_irqchip", 1, { chip_id: u32, pad: u32, chip: bytes(512) });

/** A blob of chip `id`, and the structure in it. */
export function newIrqchip<F extends Fields>(
  id: number,
  type: RecordType<F>,
): { blob: Uint8Array; chip: RecordView<F> } {
  const blob = new Uint8Array(Frame.byteLength);
  new Frame(blob.buffer).chip_id = id;
  return { blob, chip: new type(blob.buffer, HEAD_BYTES) };
}

/**
 * The structure in a blob, copied.
 *
 * @throws {Error} For a blob of another length or chip.
 */
export function openIrqchip<F extends Fields>(
  id: number,
  type: RecordType<F>,
  blob: Uint8Array,
): RecordView<F> {
  const copy = sizedCopy("interrupt controller", blob, Frame.byteLength);
  const found = new Frame(copy.buffer).chip_id;
  if (found !== id) {
    throw new Error(`Cannot restore interrupt controller ${id}: the blob is of number ${found}`);
  }
  return new type(copy.buffer, HEAD_BYTES);
}

/**
 * A blob's bytes in a buffer of their own.
 *
 * @throws {Error} For a blob of another length.
 */
export function sizedCopy(
  name: string,
  blob: Uint8Array,
  byteLength: number,
): Uint8Array<ArrayBuffer> {
  if (blob.length !== byteLength) {
    throw new Error(
      `Cannot restore the ${name}: it has ${blob.length} bytes, ${byteLength} are required`,
    );
  }
  return new Uint8Array(blob);
}
