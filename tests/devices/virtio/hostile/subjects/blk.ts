/** Requests of a hostile driver to a disk whose engine ends them late and in any order. */

import assert from "node:assert/strict";
import { SerialEngine } from "../../../../../devices/disk/engine/serial_engine.ts";
import { VirtioBlk, VirtioBlkState } from "../../../../../devices/virtio/blk/virtio_blk.ts";
import type { BlockResult } from "../../../../../hv/core/media/block.ts";
import type { BlockEngine, BlockRequest } from "../../../../../hv/core/media/block_engine.ts";
import { bytes, record } from "../../../../../hv/core/state/record.ts";
import type { Random } from "../../../../support/random.ts";
import { MemoryImage } from "../../../../support/memory_image.ts";
import type { MakeRequest, MakeSubject } from "./subject.ts";

const SECTORS = 32;
const QUEUES = 2;
const HEADER_BYTES = 16;
const MediumState = record("test.medium", 1, { data: bytes(SECTORS * 512) });

/** Ends requests when it is told to, or at once. */
class LateEngine implements BlockEngine {
  /** Ends this one before `start` returns. */
  isPrompt: (request: BlockRequest) => boolean = () => false;
  readonly #engine: BlockEngine;
  readonly #waiting: { request: BlockRequest; done: (result: BlockResult) => void }[] = [];
  constructor(engine: BlockEngine) {
    this.#engine = engine;
  }
  get isIdle(): boolean {
    return this.#waiting.length === 0;
  }
  start(request: BlockRequest, done: (result: BlockResult) => void): void {
    if (this.isPrompt(request)) this.#engine.start(request, done);
    else this.#waiting.push({ request, done });
  }
  /** Ends one of those that wait. */
  end(choose: (waiting: number) => number): void {
    if (this.isIdle) return;
    const [{ request, done }] = this.#waiting.splice(choose(this.#waiting.length), 1);
    this.#engine.start(request, done);
  }
}

/** A virtio disk. */
export const blk: MakeSubject = (bench) => {
  const image = new MemoryImage(SECTORS * 512, false, bench.state(MediumState).data);
  const device = new VirtioBlk(bench.state(VirtioBlkState), {
    sizeBytes: SECTORS * 512,
    readOnly: false,
    geometry: { cylinders: 1, heads: 4, sectors: 8 },
    serial: "HV-7",
    queues: QUEUES,
  });
  const engine = new LateEngine(
    new SerialEngine(image, bench.memory, (error) => {
      throw error;
    }),
  );
  // By what is asked, so that a twin does alike.
  engine.isPrompt = (request) => request.op !== "flush" && request.offset % 1024 === 0;
  device.engine = engine;
  return {
    device,
    get isQuiet() {
      return engine.isIdle;
    },
    settle: () => {
      while (!engine.isIdle) engine.end(() => 0);
      device.signal();
    },
    host: (random) => {
      engine.end((waiting) => random.below(waiting));
      device.signal();
    },
    mayReject: (_queue, { readableBytes, writableBytes }) =>
      readableBytes < HEADER_BYTES || writableBytes < 1,
    request: blkRequest,
    check: (exchange, memory) => {
      const contents = Uint8Array.from({ length: 1024 }, (_, i) => i * 7);
      const request = (type: number) =>
        memory.put(Uint8Array.of(type, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0));
      for (const queue of [0, 1]) {
        const status = memory.take(1, true);
        memory.bytes(status)[0] = 0xee;
        assert.equal(exchange(queue, request(1), memory.put(contents), status), 1);
        assert.equal(memory.bytes(status)[0], 0);
        const back = memory.take(1024, true);
        memory.bytes(back).fill(0xee);
        assert.equal(exchange(queue, request(0), back, status), 1025);
        assert.deepEqual(memory.bytes(back).slice(), contents);
      }
    },
  };
};

/** A request of any type. */
export const blkRequest: MakeRequest = (random, _queue, memory) => {
  const header = new DataView(new ArrayBuffer(HEADER_BYTES));
  const type = random.pick([0, 0, 0, 1, 1, 4, 8, 11, 13, 0x8000_0000]);
  header.setUint32(0, type, true);
  header.setUint32(8, random.chance(90) ? random.below(SECTORS) : random.u32(), true);
  header.setUint32(12, random.chance(97) ? 0 : random.u32(), true);
  const length = random.chance(90) ? 512 * random.below(9) : random.below(0x8000);
  const isRead = type === 0 || type === 8;
  const count = 1 + random.below(3);
  const data = type === 11 || type === 13
    ? [memory.put(segments(random))]
    : Array.from({ length: count }, () => memory.take(length, isRead));
  return [memory.put(new Uint8Array(header.buffer)), ...data, memory.take(1, true)];
};

/** Ranges to discard, or to write zeros to. */
function segments(random: Random) {
  const count = random.below(4);
  const data = new DataView(new ArrayBuffer(count * 16 + (random.chance(10) ? 3 : 0)));
  for (let i = 0; i < count; i++) {
    data.setUint32(i * 16, random.below(SECTORS + 2), true);
    data.setUint32(i * 16 + 4, random.chance(95) ? 0 : random.u32(), true);
    data.setUint32(i * 16 + 8, random.chance(90) ? random.below(8) : random.u32(), true);
    data.setUint32(i * 16 + 12, random.chance(80) ? random.below(2) : random.u32(), true);
  }
  return new Uint8Array(data.buffer);
}
