/** A block engine that does one request after the other, each before `start` returns. */

import { BlockResult } from "../../../hv/core/media/block.ts";
import type { BlockEngine, BlockRequest, GuestRange } from "../../../hv/core/media/block_engine.ts";
import type { GuestMemory } from "../../../hv/core/memory/guest_memory.ts";
import type { DiskImage } from "../disk_image.ts";

/** See above. */
export class SerialEngine implements BlockEngine {
  readonly #image: DiskImage;
  readonly #memory: GuestMemory;
  readonly #onError: (error: Error) => void;

  /** @param onError Told of what the host failed with; the guest gets an I/O error and goes on. */
  constructor(image: DiskImage, memory: GuestMemory, onError: (error: Error) => void) {
    this.#image = image;
    this.#memory = memory;
    this.#onError = onError;
  }

  start(request: BlockRequest, done: (result: BlockResult) => void): void {
    done(this.#carryOut(request));
  }

  #carryOut(request: BlockRequest): BlockResult {
    const image = this.#image;
    try {
      if (request.op === "flush") {
        image.flush();
        return BlockResult.ok;
      }
      const { offset, length } = request;
      if (request.op !== "read" && image.readOnly) return BlockResult.readOnly;
      if (!Number.isSafeInteger(offset) || offset < 0 || offset + length > image.sizeBytes) {
        return BlockResult.outOfRange;
      }
      switch (request.op) {
        case "discard":
          image.discard(offset, length);
          return BlockResult.ok;
        case "writeZeroes":
          image.writeZeroes(offset, length, request.unmap);
          return BlockResult.ok;
        default:
          return this.#transfer(request.op, offset, request.ranges);
      }
    } catch (error) {
      this.#onError(error as Error);
      return BlockResult.ioError;
    }
  }

  #transfer(op: "read" | "write", offset: number, ranges: readonly GuestRange[]): BlockResult {
    let at = offset;
    for (const { address, length } of ranges) {
      const data = this.#memory.view(address, length);
      if (data === undefined) return BlockResult.ioError;
      if (op === "read") this.#image.read(at, data);
      else this.#image.write(at, data);
      at += length;
    }
    return BlockResult.ok;
  }
}
