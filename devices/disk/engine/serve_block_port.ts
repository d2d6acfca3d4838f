/**
 * The medium's end of a block port: carries out what a controller has posted. What it was posted with
 * comes from a guest, so every number is checked here, whatever the controller has checked already.
 */

import {
  BLOCK_BUFFER_BYTES,
  BlockOp,
  type BlockPort,
  BlockResult,
} from "../../../hv/core/media/block.ts";
import type { GuestMemory } from "../../../hv/core/memory/guest_memory.ts";
import type { RateLimit } from "../../../hv/core/time/rate_limit.ts";
import type { Lock } from "../../../hv/core/state/lock.ts";
import type { DiskImage } from "../disk_image.ts";

/** What a port's medium is served with. */
export interface Service {
  /** The medium, or undefined when the drive is empty. */
  readonly image: DiskImage | undefined;
  readonly memory: GuestMemory;
  /** The controller's, taken for `finish` alone: not while the host works. */
  readonly lock: Lock;
  /** Told of what the host failed with; the guest gets an I/O error and the machine goes on. */
  readonly onError?: (error: Error) => void;
  /** What may be done in a second. */
  readonly limit?: RateLimit;
}

/** Carries out the request that is posted on `port`; false if there is none. */
export function serveBlockPort(port: BlockPort, service: Service): boolean {
  const { limit } = service;
  if (!port.posted || limit?.mustWait() === true) return false;
  limit?.spend(port.state.op === BlockOp.flush ? 0 : port.state.length);
  const result = transfer(port, service);
  service.lock.with(() => port.finish(result));
  return true;
}

function transfer(port: BlockPort, { image, memory, onError }: Service): BlockResult {
  const { op, offset, length, guestAddress } = port.state;
  if (image === undefined) return BlockResult.noMedium;
  try {
    if (op === BlockOp.flush) {
      image.flush();
      return BlockResult.ok;
    }
    if (op !== BlockOp.read && op !== BlockOp.write) return BlockResult.ioError;
    if (op === BlockOp.write && image.readOnly) return BlockResult.readOnly;
    if (!Number.isSafeInteger(offset) || offset < 0 || offset + length > image.sizeBytes) {
      return BlockResult.outOfRange;
    }
    const data = guestAddress < 0 ? ownBuffer(port, length) : memory.view(guestAddress, length);
    if (data === undefined) return BlockResult.ioError;
    if (op === BlockOp.read) image.read(offset, data);
    else image.write(offset, data);
    return BlockResult.ok;
  } catch (error) {
    onError?.(error as Error);
    return BlockResult.ioError;
  }
}

function ownBuffer(port: BlockPort, length: number): Uint8Array | undefined {
  return length <= BLOCK_BUFFER_BYTES ? port.buffer.subarray(0, length) : undefined;
}
