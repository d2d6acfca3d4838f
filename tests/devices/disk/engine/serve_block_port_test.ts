import assert from "node:assert/strict";
import type { DiskImage } from "../../../../devices/disk/disk_image.ts";
import { serveBlockPort } from "../../../../devices/disk/engine/serve_block_port.ts";
import {
  BLOCK_BUFFER_BYTES,
  BlockOp,
  BlockPort,
  BlockPortState,
  BlockResult,
} from "../../../../hv/core/media/block.ts";
import { RateLimit, RateLimitState } from "../../../../hv/core/time/rate_limit.ts";
import { seeded } from "../../../support/random.ts";
import { TestBench } from "../../../support/test_bench.ts";

/** An image in memory that checks what it is asked. */
class MemoryImage implements DiskImage {
  readonly data = Uint8Array.from({ length: 8192 }, (_, i) => i >> 9);
  readonly sizeBytes = 8192;
  flushed = 0;
  readonly readOnly: boolean;
  constructor({ readOnly = false } = {}) {
    this.readOnly = readOnly;
  }
  read(offset: number, into: Uint8Array): void {
    assert.ok(offset >= 0 && offset + into.length <= this.sizeBytes);
    into.set(this.data.subarray(offset, offset + into.length));
  }
  write(offset: number, from: Uint8Array): void {
    assert.ok(offset >= 0 && offset + from.length <= this.sizeBytes && !this.readOnly);
    this.data.set(from, offset);
  }
  flush(): void {
    this.flushed++;
  }
  discard(): void {}
  writeZeroes(offset: number, length: number): void {
    this.data.fill(0, offset, offset + length);
  }
  zerosAt(): number {
    return 0;
  }
  [Symbol.dispose](): void {}
}

function setUp(image: DiskImage | undefined) {
  const bench = new TestBench();
  let rings = 0;
  const port = new BlockPort(bench.state(BlockPortState), () => rings++);
  const errors: string[] = [];
  const service = {
    image,
    memory: bench.memory,
    lock: bench.arena.lock("controller"),
    onError: (error: Error) => errors.push(error.message),
  };
  const serve = (op: BlockOp, offset: number, length: number, guestAddress?: number) => {
    let result = -1;
    port.onDone = (value) => result = value;
    port.start(op, offset, length, guestAddress);
    assert.ok(serveBlockPort(port, service));
    assert.ok(!port.busy);
    return result;
  };
  return { bench, port, serve, service, errors, rings: () => rings };
}

Deno.test("a block port's request is carried out through its buffer", () => {
  const image = new MemoryImage();
  const { port, serve, service, rings } = setUp(image);
  assert.equal(serveBlockPort(port, service), false, "nothing is posted");
  assert.equal(serve(BlockOp.read, 1024, 512), BlockResult.ok);
  assert.equal(port.buffer[511], 2);
  port.buffer.fill(0x77, 0, 512);
  assert.equal(serve(BlockOp.write, 7680, 512), BlockResult.ok);
  assert.equal(image.data[8191], 0x77);
  assert.equal(serve(BlockOp.flush, 0, 0), BlockResult.ok);
  assert.equal(image.flushed, 1);
  assert.equal(rings(), 3);
});

Deno.test("a block port's request may go straight to guest memory, and only there", () => {
  const { bench, serve } = setUp(new MemoryImage());
  const end = bench.memory.ramBytes;
  assert.equal(serve(BlockOp.read, 512, 1024, end - 1024), BlockResult.ok);
  assert.deepEqual([...bench.memory.view(end - 1, 1)!], [2]);
  assert.equal(serve(BlockOp.read, 512, 1024, end - 1023), BlockResult.ioError);
  assert.equal(serve(BlockOp.read, 512, 1024, NaN), BlockResult.ioError);
  assert.equal(serve(BlockOp.read, 512, 1024, 2 ** 60), BlockResult.ioError);
});

Deno.test("a block port's request out of range, on a read-only or no medium", () => {
  const { serve } = setUp(new MemoryImage());
  assert.equal(serve(BlockOp.read, 8192, 512), BlockResult.outOfRange);
  assert.equal(serve(BlockOp.read, 7681, 512), BlockResult.outOfRange);
  assert.equal(serve(BlockOp.write, -512, 512), BlockResult.outOfRange);
  assert.equal(serve(BlockOp.read, NaN, 0), BlockResult.outOfRange);
  assert.equal(serve(BlockOp.read, 0.5, 1), BlockResult.outOfRange);
  assert.equal(serve(BlockOp.read, 0, BLOCK_BUFFER_BYTES + 1), BlockResult.outOfRange);
  assert.equal(serve(9 as BlockOp, 0, 512), BlockResult.ioError);
  assert.equal(setUp(new MemoryImage({ readOnly: true })).serve(BlockOp.write, 0, 512), 2);
  assert.equal(setUp(undefined).serve(BlockOp.read, 0, 512), BlockResult.noMedium);
});

Deno.test("a block port's guest gets an I/O error when the host fails, and the host is told", () => {
  const image = new MemoryImage();
  image.read = () => {
    throw new Error("disk on fire");
  };
  const { serve, errors } = setUp(image);
  assert.equal(serve(BlockOp.read, 0, 512), BlockResult.ioError);
  assert.deepEqual(errors, ["disk on fire"]);
  assert.equal(serve(BlockOp.write, 0, 512), BlockResult.ok, "the machine goes on");
});

Deno.test("a block port's service survives any request", () => {
  seeded((random) => {
    const { serve, errors } = setUp(new MemoryImage());
    const number = () =>
      random.pick([0, -1, 512, 8192, 2 ** 32, 2 ** 53, NaN, Infinity, random.u32(), 0.5]);
    for (let i = 0; i < 5000; i++) {
      const op = random.below(5) as BlockOp;
      const result = serve(op, number(), random.pick([0, 512, 8192, random.u32()]), number());
      assert.ok(result >= 0 && result <= 4);
    }
    assert.deepEqual(errors, [], "no image was asked for what it has not");
  });
});

Deno.test("a request of a limited medium stays posted until there is room for it", () => {
  const { port, bench, service } = setUp(new MemoryImage());
  const limit = new RateLimit({ bytesPerSecond: 10_240 }, {
    state: bench.state(RateLimitState),
    clock: bench.clock,
    timer: bench.timer("limit"),
  });
  let expired = 0;
  limit.timer.onExpire = () => expired++;
  const limited = { ...service, limit };
  port.start(BlockOp.read, 0, 4096);
  assert.equal(serveBlockPort(port, limited), true);
  port.start(BlockOp.read, 0, 512);
  assert.equal(serveBlockPort(port, limited), false);
  bench.advance(299_000_000);
  assert.equal(expired, 0);
  assert.equal(serveBlockPort(port, limited), false);
  bench.advance(2_000_000);
  assert.equal(expired, 1, "400 ms for 4096 bytes, less a burst of 100");
  assert.equal(serveBlockPort(port, limited), true);
});
