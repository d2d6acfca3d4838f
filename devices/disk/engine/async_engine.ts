/**
 * A block engine with many requests under way at a time: what lies plainly in a file goes straight
 * between it and guest memory (`Transfers`); what does not (a cluster that must be made, unpacked or
 * copied first) is done by the image itself, at once.
 *
 * A guest that has several requests for the same bytes under way gets them in any order, as from a
 * real disk.
 */

import { BlockResult } from "../../../hv/core/media/block.ts";
import {
  type BlockEngine,
  type BlockRequest,
  type GuestRange,
  slices,
} from "../../../hv/core/media/block_engine.ts";
import type { GuestMemory } from "../../../hv/core/memory/guest_memory.ts";
import { addressOf } from "../../../hv/sys/address.ts";
import { SysError } from "../../../hv/sys/errors.ts";
import type { MemoryRange } from "../../../hv/sys/file/iovecs.ts";
import type { DiskImage, HostRange } from "../disk_image.ts";
import { SerialEngine } from "./serial_engine.ts";
import { MAX_PIECES } from "./transfer_engine.ts";
import type { Transfers } from "./transfers.ts";

type Transfer = Extract<BlockRequest, { op: "read" | "write" }>;
type Done = (result: BlockResult) => void;

/** Pieces of one request that are under way at once. */
const MAX_PARTS = 64;

/** See above. */
export class AsyncEngine implements BlockEngine {
  readonly #image: DiskImage;
  readonly #memory: GuestMemory;
  /** Host address of the memory's first byte. */
  readonly #base: number;
  readonly #transfers: Transfers;
  readonly #onError: (error: Error) => void;
  readonly #serial: SerialEngine;
  /** A flush of several steps is under way. */
  #isFlushing = false;
  /** What waits for its end. */
  readonly #held: { readonly request: BlockRequest; readonly done: Done }[] = [];

  /** @param onError Told of what the host failed with; the guest gets an I/O error and goes on. */
  constructor(
    image: DiskImage,
    memory: GuestMemory,
    transfers: Transfers,
    onError: (error: Error) => void,
  ) {
    this.#image = image;
    this.#memory = memory;
    this.#base = addressOf(new Uint8Array(memory.memory.buffer));
    this.#transfers = transfers;
    this.#onError = onError;
    this.#serial = new SerialEngine(image, memory, onError);
  }

  start(request: BlockRequest, done: Done): void {
    if (request.op === "flush") this.#flush(done);
    else if (!("ranges" in request)) this.#serially(request, done);
    else {
      const extent = this.#extent(request);
      if (extent !== undefined && extent.length < request.length) {
        this.#split(request, extent, done);
      } else this.#begin(request, extent, done);
    }
  }

  /** Begins a request that lies plainly at `extent`, or that the image has to do something about. */
  #begin(request: Transfer, extent: HostRange | undefined, done: Done): void {
    if (extent === undefined) this.#serially(request, done);
    else this.#transfer(request, extent, done);
  }

  /** Has the image do something, unless it would have to end a flush for that, which takes time. */
  #serially(request: BlockRequest, done: Done): void {
    if (this.#isFlushing && request.op !== "read") return void this.#held.push({ request, done });
    // A format may use the room for something else: nobody may write there any more.
    const frees = request.op === "discard" || request.op === "writeZeroes";
    if (frees && this.#image.syncedBy === undefined) this.#transfers.drain();
    this.#serial.start(request, done);
  }

  #flush(done: Done): void {
    const { syncedBy: fd, flushSteps } = this.#image;
    if (fd !== undefined) {
      this.#sync(fd, (failure) => {
        if (failure === undefined) done(BlockResult.ok);
        else this.#fail(failure, done);
      });
    } else if (flushSteps === undefined || this.#isFlushing) {
      this.#serially({ op: "flush" }, done);
    } else {
      this.#isFlushing = true;
      this.#step(flushSteps.call(this.#image), undefined, done);
    }
  }

  /** Goes on with a flush whose last step has ended, in failure or not. */
  #step(steps: Generator<number, void>, failure: SysError | undefined, done: Done): void {
    let fd: number;
    try {
      const step = failure === undefined ? steps.next() : steps.throw(failure);
      if (step.done) return this.#flushed(BlockResult.ok, done);
      fd = step.value;
    } catch (error) {
      this.#onError(error as Error);
      return this.#flushed(BlockResult.ioError, done);
    }
    this.#sync(fd, (failure) => this.#step(steps, failure, done));
  }

  #flushed(result: BlockResult, done: Done): void {
    this.#isFlushing = false;
    done(result);
    for (const { request, done } of this.#held.splice(0)) this.start(request, done);
  }

  #sync(fd: number, done: (failure: SysError | undefined) => void): void {
    this.#transfers.start({
      op: "flush",
      fd,
      offset: 0,
      pieces: [],
      length: 0,
      done: (result) => done(result < 0 ? new SysError("flush the disk", -result) : undefined),
    });
  }

  /** Where a request's first bytes lie plainly; undefined: the image has to do something about them. */
  #extent({ op, offset, length, ranges }: Transfer): HostRange | undefined {
    const image = this.#image;
    const isWrite = op === "write";
    // What is refused, the serial engine refuses, in one place.
    if ((isWrite && image.readOnly) || ranges.length > MAX_PIECES) return undefined;
    if (!Number.isSafeInteger(offset) || offset < 0 || offset + length > image.sizeBytes) {
      return undefined;
    }
    return image.extent?.(offset, length, isWrite);
  }

  /**
   * Carries a request out piece by piece, each as long as it lies plainly in one place, the first at
   * `first`; they end together. Only so many are under way at once, one after the other and not one within the other: a
   * guest can have a request of as many pieces as its gigabytes have clusters.
   */
  #split(request: Transfer, first: HostRange, done: Done): void {
    let at = 0;
    let underWay = 0;
    let worst: BlockResult = BlockResult.ok;
    let isBeginning = false;
    const goOn = () => {
      if (isBeginning) return;
      isBeginning = true;
      while (at < request.length && underWay < MAX_PARTS) {
        const rest = part(request, at, request.length - at);
        const extent = at === 0 ? first : this.#extent(rest);
        const length = Math.min(extent?.length ?? rest.length, rest.length);
        at += length;
        underWay++;
        this.#begin(part(rest, 0, length), extent, ended);
      }
      isBeginning = false;
      if (underWay === 0) done(worst);
    };
    const ended = (result: BlockResult) => {
      if (result !== BlockResult.ok) worst = result;
      underWay--;
      goOn();
    };
    goOn();
  }

  #transfer(request: Transfer, { fd, position }: HostRange, done: Done): void {
    const { op, ranges, length } = request;
    const pieces = this.#pieces(ranges);
    if (pieces === undefined) return done(BlockResult.ioError);
    this.#transfers.start({
      op,
      fd,
      offset: position,
      pieces,
      length,
      done: (result) => {
        if (result < 0) {
          return this.#fail(
            new SysError(`${op} the disk at byte ${request.offset}`, -result),
            done,
          );
        }
        // The accelerator's decoded code is of before: it hears of what has been written once it is.
        if (op === "read") { for (const range of ranges) this.#touch(range); }
        // The file's end, or a full disk: the image knows what that means.
        if (result < length) {
          return this.#serial.start(part(request, result, length - result), done);
        }
        done(BlockResult.ok);
      },
    });
  }

  /** Where on the host; undefined unless all of it is RAM. */
  #pieces(ranges: readonly GuestRange[]): MemoryRange[] | undefined {
    let isRam = true;
    const pieces = ranges.map(({ address, length }) => {
      const at = this.#memory.offsetOf(address, length);
      if (at < 0) isRam = false;
      return { address: this.#base + at, length };
    });
    return isRam ? pieces : undefined;
  }

  #touch({ address, length }: GuestRange): void {
    this.#memory.onTouch?.(this.#memory.offsetOf(address, length), length);
  }

  #fail(error: SysError, done: Done): void {
    this.#onError(error);
    done(BlockResult.ioError);
  }
}

function part({ op, offset, ranges }: Transfer, from: number, length: number): Transfer {
  return { op, offset: offset + from, ranges: slices(ranges, from, length), length };
}
