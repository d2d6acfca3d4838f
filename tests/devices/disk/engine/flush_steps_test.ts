/** A flush of a qcow2 image step by step: what goes on meanwhile, what waits, and how it can end. */

import assert from "node:assert/strict";
import { AsyncEngine } from "../../../../devices/disk/engine/async_engine.ts";
import { openDisk } from "../../../../devices/disk/open_disk.ts";
import { PromptEngine } from "../../../../devices/disk/engine/prompt_engine.ts";
import { checkQcow2 } from "../../../../devices/disk/qcow2/check.ts";
import { createQcow2 } from "../../../../devices/disk/qcow2/create.ts";
import { readHeader } from "../../../../devices/disk/qcow2/header.ts";
import { Qcow2Image } from "../../../../devices/disk/qcow2/qcow2_image.ts";
import { Transfers } from "../../../../devices/disk/engine/transfers.ts";
import { BlockResult } from "../../../../hv/core/media/block.ts";
import type { BlockRequest } from "../../../../hv/core/media/block_engine.ts";
import { GuestMemory } from "../../../../hv/core/memory/guest_memory.ts";
import { Errno } from "../../../../hv/sys/errors.ts";
import { FileHandle } from "../../../../hv/sys/file/file.ts";
import { RecordedFile } from "../qcow2/crash.ts";
import { FakeEngine } from "./fake_engine.ts";

const CLUSTER = 65536;

/** An image behind an engine whose flushes of the file end when the test says so; all else is prompt. */
class Bench implements Disposable {
  readonly path = Deno.makeTempFileSync({ prefix: "hv-test-", suffix: ".qcow2" });
  readonly image;
  readonly syncs = new FakeEngine();
  readonly transfers = new Transfers(
    new PromptEngine(this.syncs, { readsPromptly: false, nowMs: () => 0 }),
  );
  readonly memory = GuestMemory.allocate(65536, 0);
  readonly errors: string[] = [];
  readonly engine;
  /** What has ended, by name, in order. */
  readonly ended: [string, BlockResult][] = [];

  constructor() {
    {
      using file = FileHandle.open(this.path, { write: true });
      createQcow2(file, { sizeBytes: 1 << 20, clusterBytes: CLUSTER });
    }
    this.image = openDisk({ path: this.path });
    this.engine = new AsyncEngine(
      this.image,
      this.memory,
      this.transfers,
      (error) => this.errors.push(error.message),
    );
  }

  start(name: string, request: BlockRequest): void {
    this.engine.start(request, (result) => this.ended.push([name, result]));
    this.#serve();
  }

  write(name: string, offset: number, value: number): void {
    const address = value * 512;
    this.memory.view(address, 512)!.fill(value);
    const ranges = [{ address, length: 512 }];
    this.start(name, { op: "write", offset, length: 512, ranges });
  }

  /** The flush of the file that is under way ends. */
  sync(result = 0): void {
    assert.equal(this.syncs.asked.length, 1, "one flush of the file at a time");
    this.syncs.finish(result);
    this.#serve();
  }

  /** Ends what is under way. */
  finish(): void {
    while (this.syncs.asked.length > 0) this.sync();
  }

  byteAt(offset: number): number {
    const bytes = new Uint8Array(512);
    this.image.read(offset, bytes);
    return bytes[0];
  }

  #serve(): void {
    this.transfers.submit();
    this.transfers.serve();
  }

  [Symbol.dispose](): void {
    this.image[Symbol.dispose]();
    {
      using file = FileHandle.open(this.path);
      const { errors, leaks } = checkQcow2(file);
      assert.deepEqual([errors, leaks], [[], 0]);
    }
    Deno.removeSync(this.path);
  }
}

Deno.test("a flush ends when every step of it has, and reaches what was written before", () => {
  using bench = new Bench();
  bench.write("write", 0, 1);
  assert.equal(bench.image.hasUnwritten, true);
  bench.start("flush", { op: "flush" });
  let steps = 0;
  for (; bench.syncs.asked.length > 0; steps++) {
    assert.deepEqual(bench.ended, [["write", BlockResult.ok]]);
    bench.sync();
  }
  assert.ok(steps >= 2, "data before what refers to it");
  assert.deepEqual(bench.ended.at(-1), ["flush", BlockResult.ok]);
  assert.equal(bench.image.hasUnwritten, false);
  const copy = `${bench.path}.copy`;
  Deno.copyFileSync(bench.path, copy);
  using again = openDisk({ path: copy, readOnly: true });
  Deno.removeSync(copy);
  const bytes = new Uint8Array(512);
  again.read(0, bytes);
  assert.equal(bytes[0], 1);
});

Deno.test("meanwhile reads and writes in place go on; what moves things in the file waits", () => {
  using bench = new Bench();
  bench.write("first", 0, 1);
  bench.start("flush", { op: "flush" });
  bench.write("in place", 512, 2);
  bench.write("new cluster", CLUSTER, 3);
  bench.start("discard", { op: "discard", offset: 0, length: CLUSTER, unmap: true });
  bench.start("another flush", { op: "flush" });
  bench.write("in place too", 1024, 4);
  const ranges = [{ address: 0x8000, length: 512 }];
  bench.start("read", { op: "read", offset: 512, length: 512, ranges });
  assert.equal(bench.memory.readU8(0x8000), 2);
  assert.deepEqual(
    bench.ended.map(([name]) => name),
    ["first", "in place", "in place too", "read"],
  );
  bench.finish();
  assert.deepEqual(
    bench.ended.slice(4),
    ["flush", "new cluster", "discard", "another flush"].map((name) => [name, BlockResult.ok]),
  );
  assert.deepEqual([bench.byteAt(0), bench.byteAt(CLUSTER)], [0, 3]);
});

Deno.test("a step that fails ends the flush with an I/O error, and the next one does it all", () => {
  for (const failing of [0, 1]) {
    using bench = new Bench();
    bench.write("write", 0, 7);
    bench.start("flush", { op: "flush" });
    for (let step = 0; step < failing; step++) bench.sync();
    bench.write("waits", CLUSTER, 8);
    bench.sync(-Errno.EIO);
    assert.deepEqual(bench.ended.slice(1), [
      ["flush", BlockResult.ioError],
      ["waits", BlockResult.ok],
    ]);
    assert.match(bench.errors[0], /Cannot flush the disk: .*EIO/);
    assert.equal(bench.image.hasUnwritten, true);
    bench.start("again", { op: "flush" });
    bench.finish();
    assert.deepEqual(bench.ended.at(-1), ["again", BlockResult.ok]);
  }
});

Deno.test("who writes past the engine meanwhile, as firmware does, has the flush ended at once", () => {
  using bench = new Bench();
  bench.write("write", 0, 1);
  bench.start("flush", { op: "flush" });
  bench.image.write(CLUSTER, new Uint8Array(512).fill(5));
  assert.equal(bench.image.hasUnwritten, true, "of the new cluster");
  bench.finish();
  assert.deepEqual(bench.ended.at(-1), ["flush", BlockResult.ok]);
  assert.equal(bench.image.hasUnwritten, true, "which came later");
  bench.image.flush();
  assert.equal(bench.byteAt(CLUSTER), 5);
});

/** An image in memory whose file can be told to fail its next sync. */
function recorded() {
  const path = Deno.makeTempFileSync({ prefix: "hv-test-" });
  {
    using file = FileHandle.open(path, { write: true });
    createQcow2(file, { sizeBytes: 1 << 20, clusterBytes: CLUSTER });
  }
  const file = new RecordedFile(Deno.readFileSync(path));
  Deno.removeSync(path);
  const header = readHeader(file);
  return { file, image: new Qcow2Image(file, header, header.sizeBytes) };
}

Deno.test("who ends a flush syncs what it has written before it goes on", () => {
  const { file, image } = recorded();
  image.write(0, new Uint8Array(512).fill(1));
  const steps = image.flushSteps();
  steps.next();
  const at = file.events.length;
  image.write(CLUSTER, new Uint8Array(512).fill(2));
  assert.equal(file.events[at].kind, "sync");
});

Deno.test("who cannot end a flush has it fail, and what was to be flushed is kept", () => {
  const { file, image } = recorded();
  image.write(0, new Uint8Array(512).fill(1));
  const steps = image.flushSteps();
  steps.next();
  const { sync } = file;
  file.sync = () => {
    throw new Error("the medium is gone");
  };
  assert.throws(() => image.write(CLUSTER, new Uint8Array(512)), /the medium is gone/);
  file.sync = sync;
  assert.throws(() => steps.next(), /the medium is gone/);
  assert.equal(image.hasUnwritten, true);
  image.flush();
  assert.equal(image.hasUnwritten, false);
});
