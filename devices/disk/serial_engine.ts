/** A block engine that does one request after the other, each before `start` returns. */

import { BlockResult } from "../../hv/core/block.ts";
import type { BlockEngine, BlockRequest } from "../../hv/core/block_engine.ts";
import type { GuestMemory } from "../../hv/core/guest_memory.ts";
import type { DiskImage } from "./disk_image.ts";

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
      const { op, length, ranges } = request;
      let { offset } = request;
      if (op === "write" && image.readOnly) return BlockResult.readOnly;
      if (!Number.isSafeInteger(offset) || offset < 0 || offset + length > image.sizeBytes) {
        return BlockResult.outOfRange;
      }
      for (const range of ranges) {
        const data = this.#memory.view(range.address, range.length);
        if (data === undefined) return BlockResult.ioError;
        if (op === "read") image.read(offset, data);
        else image.write(offset, data);
        offset += range.length;
      }
      return BlockResult.ok;
    } catch (error) {
      this.#onError(error as Error);
      return BlockResult.ioError;
    }
  }
}
