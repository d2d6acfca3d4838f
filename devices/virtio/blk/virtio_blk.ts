/**
 * Virtio block device: requests of a driver, with many under way at a time, carried out by a block
 * engine on the I/O worker straight between the medium and guest memory.
 *
 * A request is a chain of a header (type, sector), the data, and a status byte that the device writes
 * last. Left out: secure erase, zoned devices, lifetime.
 *
 * Threats: every number of a header; the engine checks offsets against the medium, the chain's ranges
 * have been checked.
 *
 * Reference: Virtual I/O Device (VIRTIO) 1.3, 5.2 "Block Device".
 */

import { BlockResult } from "../../../hv/core/media/block.ts";
import {
  type BlockEngine,
  type BlockRequest,
  slices,
} from "../../../hv/core/media/block_engine.ts";
import type { RateLimit } from "../../../hv/core/time/rate_limit.ts";
import { bytes, flag, record } from "../../../hv/core/state/record.ts";
import type { DescriptorChain } from "../queue/descriptor_chain.ts";
import {
  BLK_CONFIG_BYTES,
  BLK_QUEUE_SIZE,
  BLK_SECTOR_BYTES,
  BlkConfig,
  BlkFeature,
  blkFeatures,
  type BlkIdentity,
  MAX_DISCARD_SECTORS,
  MAX_RANGES,
  MAX_ZEROES_SECTORS,
  resetBlkConfig,
} from "./config.ts";
import { type VirtioDevice, type VirtioDeviceCore, VirtioDeviceId } from "../virtio_device.ts";
import type { Virtqueue } from "../queue/virtqueue.ts";

/** Request types (5.2.6). */
export const BlkType = {
  IN: 0,
  OUT: 1,
  FLUSH: 4,
  GET_ID: 8,
  DISCARD: 11,
  WRITE_ZEROES: 13,
} as const;
/** Values of the status byte. */
export const BlkStatus = { OK: 0, IOERR: 1, UNSUPP: 2 } as const;

const HEADER_BYTES = 16;
const STATUS_BYTES = 1;
const ID_BYTES = 20;
/**
 * What is under way at most, but for the last request: a machine that is to stand still waits for it,
 * and a guest can ask for the same memory in every request, gigabytes each.
 */
const MAX_UNDER_WAY_BYTES = 256 << 20;
/** Requests that are taken at once. */
const TOGETHER = 64;
/** struct virtio_blk_discard_write_zeroes: sector (8), number of sectors (4), flags (4). */
const RANGE_BYTES = 16;
const UNMAP = 1;

/** State of the device. */
export const VirtioBlkState = record("virtio_blk", 1, {
  config: bytes(BLK_CONFIG_BYTES),
  /** The driver may change `writeback`: CONFIG_WCE has been accepted. */
  cacheCanChange: flag,
  /** The driver knows of no cache: what is written has to last when it is told so. */
  cacheIsUnknown: flag,
});
/** A view of `VirtioBlkState`. */
export type VirtioBlkState = InstanceType<typeof VirtioBlkState>;

/** See above. */
export class VirtioBlk implements VirtioDevice {
  readonly id = VirtioDeviceId.block;
  readonly features: readonly number[];
  readonly queueSizes: readonly number[];
  readonly anyOrder = true;
  readonly config: Uint8Array;
  /** What carries out requests; the I/O worker sets it. */
  engine: BlockEngine | undefined;
  readonly #state: VirtioBlkState;
  readonly #disk: BlkIdentity;
  readonly #limit: RateLimit | undefined;
  readonly #serial: Uint8Array;
  readonly #header = new Uint8Array(HEADER_BYTES);
  readonly #headerView = new DataView(this.#header.buffer);
  readonly #status = new Uint8Array(STATUS_BYTES);
  /** Requests that have been taken from a queue and not begun. */
  readonly #taken: DescriptorChain[] = [];
  /** Bytes that the engine has been told to transfer, and has not; queues that wait for that. */
  #underWayBytes = 0;
  readonly #held = new Set<Virtqueue>();
  #core: VirtioDeviceCore | undefined;

  /** @param limit Who owns it has the queues served again when it lets go. */
  constructor(state: VirtioBlkState, disk: BlkIdentity, limit?: RateLimit) {
    this.#state = state;
    this.#disk = disk;
    this.#limit = limit;
    this.#serial = new TextEncoder().encode(disk.serial).subarray(0, ID_BYTES);
    this.config = state.config;
    this.features = blkFeatures(disk.readOnly);
    this.queueSizes = new Array(disk.queues).fill(BLK_QUEUE_SIZE);
  }

  connect(core: VirtioDeviceCore): void {
    this.#core = core;
  }

  reset(): void {
    resetBlkConfig(this.config, this.#disk);
    this.#state.cacheCanChange = false;
    this.#state.cacheIsUnknown = false;
  }

  negotiated(accepted: (bit: number) => boolean): void {
    const canFlush = accepted(BlkFeature.FLUSH);
    this.#state.cacheCanChange = accepted(BlkFeature.CONFIG_WCE);
    // 5.2.6.2, and 5.2.5.2: who cannot flush has no write-back cache.
    this.#state.cacheIsUnknown = !this.#state.cacheCanChange && !canFlush;
    if (!canFlush) this.config[BlkConfig.writeback] = 0;
  }

  writeConfig(offset: number, size: number, value: number): void {
    if (offset !== BlkConfig.writeback || size !== 1 || !this.#state.cacheCanChange) return;
    this.config[offset] = value & 1;
  }

  serve(queue: Virtqueue): void {
    // A limit is asked before every request.
    const most = this.#limit === undefined ? TOGETHER : 1;
    while (this.#limit?.mustWait() !== true) {
      if (this.#underWayBytes >= MAX_UNDER_WAY_BYTES) {
        this.#held.add(queue);
        break;
      }
      if (!this.#beginSome(queue, most)) break;
    }
  }

  /** Takes up to `most` requests and begins them; false: there was nothing to take. */
  #beginSome(queue: Virtqueue, most: number): boolean {
    const taken = this.#taken;
    queue.together(() => {
      while (taken.length < most) {
        const chain = queue.pop();
        if (chain === undefined) break;
        taken.push(chain);
      }
    });
    const isAny = taken.length > 0;
    let begun = 0;
    while (begun < taken.length && this.#underWayBytes < MAX_UNDER_WAY_BYTES) {
      this.#begin(queue, taken[begun++]);
    }
    while (taken.length > begun) queue.putBack(taken.pop()!);
    taken.length = 0;
    queue.signal();
    return isAny;
  }

  #begin(queue: Virtqueue, chain: DescriptorChain): void {
    // Without a header there is no question, without a status byte no way to answer.
    if (chain.read(0, this.#header) < HEADER_BYTES || chain.writableBytes < STATUS_BYTES) {
      return queue.reject(chain);
    }
    const type = this.#headerView.getUint32(0, true);
    const offset = sectorAt(this.#headerView, 8) * BLK_SECTOR_BYTES;
    switch (type) {
      case BlkType.IN:
        return this.#read(queue, chain, offset);
      case BlkType.OUT:
        return this.#write(queue, chain, offset);
      case BlkType.FLUSH:
        return this.#start(queue, chain, [{ op: "flush" }]);
      case BlkType.DISCARD:
      case BlkType.WRITE_ZEROES:
        return this.#clear(queue, chain, type);
      case BlkType.GET_ID: {
        const id = new Uint8Array(Math.min(ID_BYTES, chain.writableBytes - STATUS_BYTES));
        id.set(this.#serial.subarray(0, id.length));
        chain.write(0, id);
        return this.#finish(queue, chain, BlkStatus.OK, id.length);
      }
      default:
        return this.#finish(queue, chain, BlkStatus.UNSUPP, 0);
    }
  }

  /** Tells the driver of what has ended outside of `serve`: all at once, for each may be an interrupt. */
  signal(): void {
    for (const queue of this.#core?.queues ?? []) queue.signal();
  }

  #read(queue: Virtqueue, chain: DescriptorChain, offset: number): void {
    const length = chain.writableBytes - STATUS_BYTES;
    // 5.2.6.1: whole sectors.
    if (length % BLK_SECTOR_BYTES !== 0) return this.#finish(queue, chain, BlkStatus.IOERR, 0);
    const ranges = slices(chain.writable, 0, length);
    this.#start(queue, chain, [{ op: "read", offset, ranges, length }], length);
  }

  #write(queue: Virtqueue, chain: DescriptorChain, offset: number): void {
    const length = chain.readableBytes - HEADER_BYTES;
    if (length % BLK_SECTOR_BYTES !== 0 || this.#disk.readOnly) {
      return this.#finish(queue, chain, BlkStatus.IOERR, 0);
    }
    const ranges = slices(chain.readable, HEADER_BYTES, length);
    this.#start(queue, chain, [{ op: "write", offset, ranges, length }]);
  }

  /** Discards, or writes zeros to, a list of ranges. */
  #clear(queue: Virtqueue, chain: DescriptorChain, type: number): void {
    const length = chain.readableBytes - HEADER_BYTES;
    const count = length / RANGE_BYTES;
    if (!Number.isInteger(count) || count < 1 || count > MAX_RANGES || this.#disk.readOnly) {
      return this.#finish(queue, chain, BlkStatus.IOERR, 0);
    }
    const isDiscard = type === BlkType.DISCARD;
    const data = new DataView(new ArrayBuffer(length));
    chain.read(HEADER_BYTES, new Uint8Array(data.buffer));
    const requests: BlockRequest[] = [];
    for (let at = 0; at < length; at += RANGE_BYTES) {
      const sectors = data.getUint32(at + 8, true);
      const flags = data.getUint32(at + 12, true);
      // 5.2.6.2: unknown flags, and unmap where it says nothing.
      if ((flags & ~(isDiscard ? 0 : UNMAP)) !== 0) {
        return this.#finish(queue, chain, BlkStatus.UNSUPP, 0);
      }
      if (sectors > (isDiscard ? MAX_DISCARD_SECTORS : MAX_ZEROES_SECTORS)) {
        return this.#finish(queue, chain, BlkStatus.IOERR, 0);
      }
      requests.push({
        op: isDiscard ? "discard" : "writeZeroes",
        offset: sectorAt(data, at) * BLK_SECTOR_BYTES,
        length: sectors * BLK_SECTOR_BYTES,
        unmap: flags === UNMAP,
      });
    }
    this.#start(queue, chain, requests);
  }

  /**
   * Carries out requests side by side, of which all have to succeed.
   *
   * @param written Bytes of data that the device has written then.
   */
  #start(
    queue: Virtqueue,
    chain: DescriptorChain,
    requests: readonly BlockRequest[],
    written = 0,
  ): void {
    const { engine } = this;
    if (engine === undefined) return this.#finish(queue, chain, BlkStatus.IOERR, 0);
    let left = requests.length;
    let worst: BlockResult = BlockResult.ok;
    const end = (result: BlockResult) => {
      if (result === BlockResult.ok) this.#finish(queue, chain, BlkStatus.OK, written);
      else this.#finish(queue, chain, BlkStatus.IOERR, 0);
    };
    const changes = requests[0].op !== "read" && requests[0].op !== "flush";
    const mustLast = changes && this.#isWriteThrough;
    for (const request of requests) {
      const bytes = request.op === "read" || request.op === "write" ? request.length : 0;
      this.#limit?.spend(bytes);
      this.#underWayBytes += bytes;
      engine.start(request, (result) => {
        this.#landed(bytes);
        if (result !== BlockResult.ok) worst = result;
        if (--left > 0) return;
        if (mustLast && worst === BlockResult.ok) engine.start({ op: "flush" }, end);
        else end(worst);
      });
    }
  }

  /** So many bytes are not under way any more. */
  #landed(bytes: number): void {
    this.#underWayBytes -= bytes;
    if (this.#underWayBytes >= MAX_UNDER_WAY_BYTES) return;
    for (const queue of this.#held) this.#core?.revisit(queue.index);
    this.#held.clear();
  }

  /** Does what is written have to last when the driver is told that it is (5.2.6.2)? */
  get #isWriteThrough(): boolean {
    const { cacheCanChange, cacheIsUnknown } = this.#state;
    return cacheIsUnknown || (cacheCanChange && this.config[BlkConfig.writeback] === 0);
  }

  /** @param written Bytes of data that the device has written. */
  #finish(queue: Virtqueue, chain: DescriptorChain, status: number, written: number): void {
    const last = chain.writableBytes - STATUS_BYTES;
    this.#status[0] = status;
    chain.write(last, this.#status);
    // Only what lies in one piece from the start counts as written (2.7.8.2).
    queue.pushLater(chain, written === last ? written + STATUS_BYTES : written);
  }
}

/** A 64-bit sector number; beyond 2^53 it is rounded, and beyond any medium. */
const sectorAt = (data: DataView, at: number): number =>
  data.getUint32(at, true) + data.getUint32(at + 4, true) * 2 ** 32;
