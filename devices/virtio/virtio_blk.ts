/**
 * Virtio block device: requests of a driver, with many under way at a time, carried out by a block
 * engine on the I/O worker straight between the medium and guest memory.
 *
 * A request is a chain of a header (type, sector), the data, and a status byte that the device writes
 * last. Left out: discard, write zeroes, secure erase, zoned devices, lifetime; the cache is always
 * write-back.
 *
 * Threats: every number of a header; the engine checks offsets against the medium, the chain's ranges
 * have been checked.
 *
 * Reference: Virtual I/O Device (VIRTIO) 1.3, 5.2 "Block Device".
 */

import { BlockResult } from "../../hv/core/block.ts";
import type { BlockEngine, BlockRequest } from "../../hv/core/block_engine.ts";
import type { Geometry } from "../../hv/core/disk_geometry.ts";
import { type DescriptorChain, slices } from "./descriptor_chain.ts";
import { type VirtioDevice, VirtioDeviceId } from "./virtio_device.ts";
import type { Virtqueue } from "./virtqueue.ts";

/** Feature bits (5.2.3). */
export const BlkFeature = {
  SEG_MAX: 2,
  GEOMETRY: 4,
  RO: 5,
  BLK_SIZE: 6,
  FLUSH: 9,
  TOPOLOGY: 10,
  MQ: 12,
} as const;

/** Request types (5.2.6). */
export const BlkType = { IN: 0, OUT: 1, FLUSH: 4, GET_ID: 8 } as const;
/** Values of the status byte. */
export const BlkStatus = { OK: 0, IOERR: 1, UNSUPP: 2 } as const;

const SECTOR = 512;
const HEADER_BYTES = 16;
const STATUS_BYTES = 1;
const ID_BYTES = 20;
const QUEUE_SIZE = 256;
/** Descriptors of a request that are not data: header and status. */
const FRAME_DESCRIPTORS = 2;

/** Offsets in the configuration space (5.2.4). */
const Config = {
  capacity: 0,
  seg_max: 12,
  cylinders: 16,
  heads: 18,
  sectors: 19,
  blk_size: 20,
  physical_block_exp: 24,
  min_io_size: 26,
  opt_io_size: 28,
  num_queues: 34,
  bytes: 36,
} as const;
/** Sectors of a physical block, as a power of two: a page of the host. */
const PHYSICAL_BLOCK_EXP = 3;

/** A disk as its driver is told of it. */
export interface VirtioBlkOptions {
  /** Size of the medium in bytes, a whole number of sectors. */
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  readonly geometry: Geometry;
  /** At most 20 bytes of ASCII, by which the guest tells disks from each other. */
  readonly serial: string;
  /** Queues, e.g. one for each processor. */
  readonly queues: number;
}

/** See above. */
export class VirtioBlk implements VirtioDevice {
  readonly id = VirtioDeviceId.block;
  readonly features: readonly number[];
  readonly queueSizes: readonly number[];
  readonly config: Uint8Array;
  /** What carries out requests; the I/O worker sets it. */
  engine: BlockEngine | undefined;
  readonly #serial: Uint8Array;
  readonly #readOnly: boolean;
  readonly #header = new Uint8Array(HEADER_BYTES);
  readonly #headerView = new DataView(this.#header.buffer);
  /** Within `serve`: whoever gives buffers back need not signal. */
  #serving = false;

  constructor(options: VirtioBlkOptions) {
    const { readOnly, serial, queues } = options;
    this.#readOnly = readOnly;
    this.#serial = new TextEncoder().encode(serial).subarray(0, ID_BYTES);
    this.features = [
      BlkFeature.SEG_MAX,
      BlkFeature.GEOMETRY,
      BlkFeature.BLK_SIZE,
      BlkFeature.FLUSH,
      BlkFeature.TOPOLOGY,
      BlkFeature.MQ,
      ...(readOnly ? [BlkFeature.RO] : []),
    ];
    this.queueSizes = new Array(queues).fill(QUEUE_SIZE);
    this.config = configSpace(options);
  }

  reset(): void {}

  serve(queue: Virtqueue): void {
    this.#serving = true;
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
      this.#begin(queue, chain);
    }
    this.#serving = false;
  }

  #begin(queue: Virtqueue, chain: DescriptorChain): void {
    // Without a header there is no question, without a status byte no way to answer.
    if (chain.read(0, this.#header) < HEADER_BYTES || chain.writableBytes < STATUS_BYTES) {
      return queue.reject(chain);
    }
    const type = this.#headerView.getUint32(0, true);
    const sector = this.#headerView.getUint32(8, true) +
      this.#headerView.getUint32(12, true) * 2 ** 32;
    switch (type) {
      case BlkType.IN:
      case BlkType.OUT:
        return this.#transfer(queue, chain, type === BlkType.OUT, sector * SECTOR);
      case BlkType.FLUSH:
        return this.#start(queue, chain, { op: "flush" }, 0);
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

  #transfer(queue: Virtqueue, chain: DescriptorChain, isWrite: boolean, offset: number): void {
    const length = isWrite
      ? chain.readableBytes - HEADER_BYTES
      : chain.writableBytes - STATUS_BYTES;
    // 5.2.6.1: whole sectors; 5.2.6.2: a read-only device fails writes.
    if (length % SECTOR !== 0 || (isWrite && this.#readOnly)) {
      return this.#finish(queue, chain, BlkStatus.IOERR, 0);
    }
    const ranges = isWrite
      ? slices(chain.readable, HEADER_BYTES, length)
      : slices(chain.writable, 0, length);
    const op = isWrite ? "write" : "read";
    this.#start(queue, chain, { op, offset, ranges, length }, isWrite ? 0 : length);
  }

  #start(queue: Virtqueue, chain: DescriptorChain, request: BlockRequest, written: number): void {
    const { engine } = this;
    if (engine === undefined) return this.#finish(queue, chain, BlkStatus.IOERR, 0);
    engine.start(request, (result) => {
      if (result === BlockResult.ok) this.#finish(queue, chain, BlkStatus.OK, written);
      else this.#finish(queue, chain, BlkStatus.IOERR, 0);
      if (!this.#serving) queue.signal();
    });
  }

  /** @param written Bytes of data that the device has written. */
  #finish(queue: Virtqueue, chain: DescriptorChain, status: number, written: number): void {
    const last = chain.writableBytes - STATUS_BYTES;
    chain.write(last, Uint8Array.of(status));
    // Only what lies in one piece from the start counts as written (2.7.8.2).
    queue.push(chain, written === last ? written + STATUS_BYTES : written);
  }
}

function configSpace({ sizeBytes, geometry, queues }: VirtioBlkOptions): Uint8Array {
  const config = new DataView(new ArrayBuffer(Config.bytes));
  config.setBigUint64(Config.capacity, BigInt(Math.floor(sizeBytes / SECTOR)), true);
  config.setUint32(Config.seg_max, QUEUE_SIZE - FRAME_DESCRIPTORS, true);
  config.setUint16(Config.cylinders, geometry.cylinders, true);
  config.setUint8(Config.heads, geometry.heads);
  config.setUint8(Config.sectors, geometry.sectors);
  config.setUint32(Config.blk_size, SECTOR, true);
  config.setUint8(Config.physical_block_exp, PHYSICAL_BLOCK_EXP);
  config.setUint16(Config.min_io_size, 1 << PHYSICAL_BLOCK_EXP, true);
  config.setUint16(Config.num_queues, queues, true);
  return new Uint8Array(config.buffer);
}
