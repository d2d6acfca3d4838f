/** Block engines as one shared body: one request after the other, or many at once by either engine. */

import assert from "node:assert/strict";
import { AsyncEngine } from "../../../../devices/disk/engine/async_engine.ts";
import type { DiskImage } from "../../../../devices/disk/disk_image.ts";
import type { AioKind } from "../../../../devices/disk/engine/aio_kind.ts";
import { openTransfers } from "../../../../devices/disk/engine/open_transfers.ts";
import { RawImage } from "../../../../devices/disk/formats/raw_image.ts";
import { SerialEngine } from "../../../../devices/disk/engine/serial_engine.ts";
import { BlockResult } from "../../../../hv/core/media/block.ts";
import type {
  BlockEngine,
  BlockRequest,
  GuestRange,
} from "../../../../hv/core/media/block_engine.ts";
import { GuestMemory } from "../../../../hv/core/memory/guest_memory.ts";
import { FileHandle } from "../../../../hv/sys/file/file.ts";
import { ioUringIsThere } from "../../../../hv/sys/file/io_uring.ts";
import { Random } from "../../../support/random.ts";

const RAM_BYTES = 1 << 20;
const DISK_BYTES = 256 * 512;

/** An image in a file, guest memory, and an engine between them. */
class Bench implements Disposable {
  readonly path = Deno.makeTempFileSync({ prefix: "hv-test-" });
  readonly memory = GuestMemory.allocate(RAM_BYTES, 0);
  readonly errors: string[] = [];
  readonly image: DiskImage;
  readonly engine: BlockEngine;
  readonly #settle: () => void = () => {};
  readonly #end: () => void = () => {};

  constructor(
    kind: AioKind | "serial",
    { fileBytes = DISK_BYTES, write = true, wrap = (image: DiskImage) => image } = {},
  ) {
    Deno.truncateSync(this.path, fileBytes);
    this.image = wrap(new RawImage(FileHandle.open(this.path, { write }), DISK_BYTES));
    const onError = ({ message }: Error) => void this.errors.push(message);
    if (kind === "serial") {
      this.engine = new SerialEngine(this.image, this.memory, onError);
      return;
    }
    const transfers = openTransfers(kind);
    this.engine = new AsyncEngine(this.image, this.memory, transfers, onError);
    this.#settle = () => transfers.drain();
    this.#end = () => transfers[Symbol.dispose]();
  }

  /** Carries out `requests`, all of which are under way at once where the engine can. */
  run(...requests: BlockRequest[]): BlockResult[] {
    const results: BlockResult[] = [];
    for (const [i, request] of requests.entries()) {
      this.engine.start(request, (result) => {
        assert.equal(results[i], undefined, "a request ends once");
        results[i] = result;
      });
    }
    this.#settle();
    return results;
  }

  [Symbol.dispose](): void {
    this.#end();
    this.image[Symbol.dispose]();
    Deno.removeSync(this.path);
  }
}

function engineTest(
  name: string,
  body: (make: (options?: ConstructorParameters<typeof Bench>[1]) => Bench) => void,
): void {
  for (
    const kind of ["serial", "threads", ...(ioUringIsThere() ? ["io_uring"] as const : [])] as const
  ) {
    Deno.test(`${kind}: ${name}`, () => body((options) => new Bench(kind, options)));
  }
}

/** A request of `ranges`. */
const transfer = (
  op: "read" | "write",
  offset: number,
  ...ranges: readonly (readonly [address: number, length: number])[]
): BlockRequest => ({
  op,
  offset,
  ranges: ranges.map(([address, length]) => ({ address, length })),
  length: ranges.reduce((sum, [, length]) => sum + length, 0),
});

engineTest("what is written is read back, and lies in the file", (make) => {
  using b = make();
  const random = new Random(7);
  const model = new Uint8Array(DISK_BYTES);
  for (let round = 0; round < 50; round++) {
    const requests: BlockRequest[] = [];
    let at = 0;
    for (let sector = random.below(16); sector < 240; sector += 1 + random.below(16)) {
      const count = 1 + random.below(8);
      const ranges: GuestRange[] = [];
      for (let left = count * 512; left > 0;) {
        const length = Math.min(left, 1 + random.below(2000));
        ranges.push({ address: at, length });
        at += length + random.below(64);
        left -= length;
      }
      let offset = sector * 512;
      for (const { address, length } of ranges) {
        const bytes = b.memory.view(address, length)!;
        for (let i = 0; i < length; i++) bytes[i] = random.below(256);
        model.set(bytes, offset);
        offset += length;
      }
      requests.push({ op: "write", offset: sector * 512, ranges, length: count * 512 });
      sector += count;
    }
    const results = b.run(...requests);
    assert.deepEqual(results, requests.map(() => BlockResult.ok));
    const [first, second] = [DISK_BYTES / 4, 3 * DISK_BYTES / 4];
    const read = transfer("read", 0, [0x80000, first], [0xc0000, second]);
    assert.deepEqual(b.run(read, { op: "flush" }), [BlockResult.ok, BlockResult.ok]);
    assert.deepEqual(b.memory.view(0x80000, first), model.subarray(0, first));
    assert.deepEqual(b.memory.view(0xc0000, second), model.subarray(first));
  }
  assert.deepEqual(Deno.readFileSync(b.path), model);
});

engineTest("what is beyond the medium is refused, and touches nothing", (make) => {
  using b = make();
  const { outOfRange } = BlockResult;
  b.memory.view(0, 1024)!.fill(9);
  for (const offset of [DISK_BYTES, DISK_BYTES - 512, 2 ** 53, -512, NaN]) {
    assert.deepEqual(b.run(transfer("write", offset, [0, 1024])), [outOfRange], `${offset}`);
    assert.deepEqual(b.run(transfer("read", offset, [0, 1024])), [outOfRange], `${offset}`);
  }
  assert.deepEqual(b.memory.view(0, 1024), new Uint8Array(1024).fill(9));
  assert.deepEqual(Deno.readFileSync(b.path), new Uint8Array(DISK_BYTES));
});

engineTest("a read-only image is read, and not written to", (make) => {
  using b = make({ write: false });
  assert.deepEqual(
    b.run(transfer("write", 0, [0, 512]), transfer("read", 0, [0, 512]), { op: "flush" }),
    [BlockResult.readOnly, BlockResult.ok, BlockResult.ok],
  );
});

engineTest("what the file lacks of the disk reads as zeros", (make) => {
  using b = make({ fileBytes: 1000 });
  b.memory.view(0, 8192)!.fill(9);
  assert.deepEqual(
    b.run(transfer("read", 512, [0, 100], [1000, 1948]), transfer("read", 4096, [4096, 512])),
    [BlockResult.ok, BlockResult.ok],
  );
  assert.deepEqual(b.memory.view(0, 100), new Uint8Array(100));
  assert.deepEqual(b.memory.view(1000, 1948), new Uint8Array(1948));
  assert.deepEqual(b.memory.view(4096, 512), new Uint8Array(512));
});

engineTest("where only the beginning lies plainly in a file, the image does the rest", (make) => {
  const wrap = (image: DiskImage): DiskImage => {
    const { extent } = image;
    image.extent = (offset, length, write) =>
      offset < 4096
        ? extent!.call(image, offset, Math.min(length, 4096 - offset), write)
        : undefined;
    return image;
  };
  using b = make({ wrap });
  b.memory.view(0, 8192)!.fill(1, 0, 3000).fill(2, 3000, 8192);
  assert.deepEqual(b.run(transfer("write", 1024, [0, 3000], [3000, 5192])), [BlockResult.ok]);
  const bytes = Deno.readFileSync(b.path);
  assert.deepEqual(bytes.subarray(1024, 4024), new Uint8Array(3000).fill(1));
  assert.deepEqual(bytes.subarray(4024, 9216), new Uint8Array(5192).fill(2));
  assert.deepEqual(b.run(transfer("read", 1024, [0x10000, 8192])), [BlockResult.ok]);
  assert.deepEqual(b.memory.view(0x10000, 8192), b.memory.view(0, 8192));
});

engineTest("more pieces than a transfer may have", (make) => {
  using b = make();
  const ranges = Array.from({ length: 1024 }, (_, i) => [i * 100, 64] as const);
  for (const [i, [address]] of ranges.entries()) b.memory.view(address, 64)!.fill(i);
  assert.deepEqual(b.run(transfer("write", 0, ...ranges)), [BlockResult.ok]);
  Deno.readFileSync(b.path).subarray(0, 65536).forEach((byte, i) =>
    assert.equal(byte, (i >> 6) & 0xff)
  );
});

engineTest(
  "what the host fails with is an I/O error, told once, and the engine goes on",
  (make) => {
    using b = make({
      wrap: (image) => {
        const { extent } = image;
        const error = () => {
          throw new Error("no luck");
        };
        image.extent = (offset, length, write) =>
          offset === 0
            ? { fd: -1, position: 0, length }
            : extent!.call(image, offset, length, write);
        image.read = image.write = error;
        return image;
      },
    });
    const results = b.run(transfer("read", 0, [0, 512]));
    assert.deepEqual(results, [BlockResult.ioError]);
    assert.equal(b.errors.length, 1);
    assert.match(b.errors[0], /no luck|Cannot read the disk at byte 0: bad file descriptor/);
  },
);

engineTest("decoded code is dropped when data have come, not before", (make) => {
  using b = make();
  const touched: [number, number][] = [];
  b.memory.onTouch = (offset, length) => touched.push([offset, length]);
  b.run(transfer("read", 0, [0x1000, 512], [0x8000, 1024]));
  assert.deepEqual(touched.slice(-2), [[0x1000, 512], [0x8000, 1024]]);
});

Deno.test("a request of as many pieces as sectors ends, and no stack with it", () => {
  const SECTORS = 32768;
  const path = Deno.makeTempFileSync({ prefix: "hv-test-" });
  const memory = GuestMemory.allocate(RAM_BYTES, 0);
  const sizeBytes = SECTORS * 512;
  Deno.truncateSync(path, sizeBytes);
  using raw = new RawImage(FileHandle.open(path, { write: true }), sizeBytes);
  // Each sector lies in a place of its own, as the clusters of an image do that a guest has seen to.
  const image = new Proxy(raw as DiskImage, {
    get: (target, name) =>
      name === "extent"
        ? (offset: number, length: number, write: boolean) =>
          target.extent!(offset, Math.min(length, 512), write)
        : Reflect.get(target, name).bind?.(target) ?? Reflect.get(target, name),
  });
  const transfers = openTransfers("threads");
  try {
    let most = 0;
    const start = transfers.start.bind(transfers);
    let underWay = 0;
    transfers.start = (request) => {
      most = Math.max(most, ++underWay);
      start({ ...request, done: (result) => (underWay--, request.done(result)) });
    };
    const engine = new AsyncEngine(image, memory, transfers, (error) => {
      throw error;
    });
    // All of guest memory, again and again.
    const ranges = Array.from({ length: sizeBytes / RAM_BYTES }, () => [0, RAM_BYTES] as const);
    const results: BlockResult[] = [];
    engine.start(transfer("read", 0, ...ranges), (result) => results.push(result));
    transfers.drain();
    assert.deepEqual(results, [BlockResult.ok]);
    assert.ok(most <= 64, `${most} pieces were under way`);
  } finally {
    transfers[Symbol.dispose]();
    Deno.removeSync(path);
  }
});
