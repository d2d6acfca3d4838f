/** What every disk image promises, as tests that run against each kind. */

import assert from "node:assert/strict";
import type { DiskImage } from "../../../devices/disk/disk_image.ts";
import { readPadded } from "../../../devices/disk/image_file.ts";
import { FileHandle } from "../../../hv/sys/file/file.ts";
import { type Random, seeded } from "../../support/random.ts";
import { assertSameBytes } from "../../support/same_bytes.ts";
import { inFull } from "../../support/quick.ts";

/** A kind of image. */
export interface ImageKind {
  readonly name: string;
  /** Opens an image over a file in `directory`, which holds `content` when it is new. */
  open(directory: string, content: Uint8Array): DiskImage;
  /** Opens the same image again: present when what was written is to be there then. */
  reopen?(directory: string): DiskImage;
  /** Looks at the closed image with other eyes. */
  verify?(directory: string, model: DiskModel): void;
  /** Its clusters are so large that small ranges are not given back. */
  readonly coarse?: boolean;
}

/** Runs `body` in a directory of its own that is gone afterwards. */
export function inDirectory(body: (directory: string) => void): void {
  const directory = Deno.makeTempDirSync({ prefix: "hv-disk-test-" });
  try {
    body(directory);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

/** `length` bytes that differ from sector to sector and within each. */
export function content(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i >> 9) * 7 + i);
}

export const fill = (random: Random, length: number) =>
  Uint8Array.from({ length }, () => random.below(256));

/** A range: often at or across the edges of clusters, of any length down to nothing. */
function range(random: Random, size: number): [offset: number, length: number] {
  const edge = random.below(Math.ceil(size / 65536)) * 65536;
  const near = edge + random.below(5) * 512 - 1024;
  const wanted = random.chance(60) ? near : random.below(size);
  const offset = Math.min(size, Math.max(0, wanted));
  const length = random.pick([0, 512, 1, random.below(4096), random.below(150_000), 65536, 131072]);
  return [offset, Math.min(length, size - offset)];
}

function readAll(image: DiskImage): Uint8Array {
  const all = new Uint8Array(image.sizeBytes);
  image.read(0, all);
  return all;
}

/** What a disk has to hold: after a discard either what was there, or zeros. */
export class DiskModel {
  readonly bytes: Uint8Array;
  readonly #discarded: Uint8Array;

  constructor(sizeBytes: number, original: Uint8Array = new Uint8Array(0)) {
    this.bytes = new Uint8Array(sizeBytes);
    this.bytes.set(original);
    this.#discarded = new Uint8Array(sizeBytes);
  }

  write(offset: number, data: Uint8Array): void {
    this.bytes.set(data, offset);
    this.#discarded.fill(0, offset, offset + data.length);
  }

  discard(offset: number, length: number): void {
    this.#discarded.fill(1, offset, offset + length);
  }

  /** Fails at the first byte of `data`, read at `offset`, that cannot be. */
  agrees(data: Uint8Array, what = "bytes", offset = 0): void {
    for (let i = 0; i < data.length; i++) {
      const at = offset + i;
      if (data[i] === this.bytes[at] || (data[i] === 0 && this.#discarded[at] === 1)) continue;
      assert.fail(`${what}: byte ${at} is ${data[i]}, not ${this.bytes[at]}`);
    }
  }
}

/** One random operation on both; what is read is compared. */
export function randomStep(
  random: Random,
  image: DiskImage,
  model: DiskModel,
  what: string,
): void {
  const [offset, length] = range(random, image.sizeBytes);
  const dice = image.readOnly ? 99 : random.below(100);
  if (dice < 40) {
    const data = fill(random, length);
    image.write(offset, data);
    model.write(offset, data);
  } else if (dice < 50) {
    image.writeZeroes(offset, length, random.chance(50));
    model.write(offset, new Uint8Array(length));
  } else if (dice < 57) {
    image.discard(offset, length);
    model.discard(offset, length);
  } else if (dice < 60) {
    image.flush();
  } else {
    const data = new Uint8Array(length).fill(0xcc);
    image.read(offset, data);
    model.agrees(data, what, offset);
  }
}

/** Declares the tests. */
export function imageConformance(kind: ImageKind): void {
  const { name } = kind;
  // Neither a whole number of clusters nor of sectors.
  const size = 5 * 65536 + 3 * 512 + 100;

  Deno.test(`${name}: reads give the file's bytes, and zeros in the rest of its last sector`, () => {
    inDirectory((directory) => {
      const original = content(size);
      using image = kind.open(directory, original);
      assert.equal(image.sizeBytes, 5 * 65536 + 4 * 512);
      const all = readAll(image);
      assertSameBytes(all.subarray(0, size), original);
      assert.ok(all.subarray(size).every((byte) => byte === 0));
      const tail = new Uint8Array(512).fill(0xee);
      image.read(image.sizeBytes - 512, tail);
      assert.deepEqual(tail.subarray(0, 100), original.subarray(size - 100));
      assert.equal(tail[511], 0);
    });
  });

  Deno.test(`${name}: shared memory is read into and written from`, () => {
    inDirectory((directory) => {
      const original = content(size);
      using image = kind.open(directory, original);
      const shared = new Uint8Array(new SharedArrayBuffer(1024), 256, 512);
      image.read(512, shared);
      assert.deepEqual([...shared], [...original.subarray(512, 1024)]);
      if (image.readOnly) return;
      shared.fill(0x5a);
      image.write(1024, shared);
      const back = new Uint8Array(512);
      image.read(1024, back);
      assert.ok(back.every((byte) => byte === 0x5a));
    });
  });

  Deno.test(`${name}: random reads, writes, discards and zeros agree with an array`, () => {
    seeded((random) =>
      inDirectory((directory) => {
        const original = content(size);
        const image = kind.open(directory, original);
        const model = new DiskModel(image.sizeBytes, original);
        for (let i = 0; i < inFull(400, 100); i++) randomStep(random, image, model, `step ${i}`);
        model.agrees(readAll(image));
        if (!image.readOnly) image.flush();
        model.agrees(readAll(image), "after a flush");
        image[Symbol.dispose]();
        if (kind.reopen === undefined) return;
        const again = kind.reopen(directory);
        model.agrees(readAll(again), "after it was opened again");
        again[Symbol.dispose]();
        kind.verify?.(directory, model);
      })
    );
  });

  Deno.test(`${name}: what is said to be zeros reads as zeros`, () => {
    inDirectory((directory) => {
      const original = content(size);
      original.fill(0, 65536, 3 * 65536);
      using image = kind.open(directory, original);
      if (!image.readOnly) image.writeZeroes(65536, 2 * 65536, true);
      let zeros = 0;
      for (let at = 0; at < image.sizeBytes; at += 512) {
        const length = image.zerosAt(at, 512);
        assert.ok(length >= 0 && length <= 512);
        zeros += length;
        const data = new Uint8Array(length).fill(1);
        image.read(at, data);
        assert.ok(data.every((byte) => byte === 0), `at ${at}`);
      }
      if (!image.readOnly && !kind.coarse) {
        assert.ok(zeros >= 65536, "cleared clusters are known to be zeros");
      }
      assert.ok(zeros <= 2 * 65536 + 412, "data is not taken for zeros");
    });
  });

  Deno.test(`${name}: an extent is where the bytes are, for reading and for writing`, () => {
    seeded((random) =>
      inDirectory((directory) => {
        const original = content(size);
        using image = kind.open(directory, original);
        if (image.extent === undefined) return;
        const model = new DiskModel(image.sizeBytes, original);
        for (let i = 0; i < inFull(200, 50); i++) {
          if (random.chance(50)) randomStep(random, image, model, `step ${i}`);
          const [offset, wanted] = range(random, image.sizeBytes);
          if (wanted === 0) continue;
          const write = !image.readOnly && random.chance(50);
          const found = image.extent(offset, wanted, write);
          if (found === undefined) continue;
          assert.ok(found.length > 0 && found.length <= wanted);
          const file = new FileHandle(found.fd, "extent", write);
          const data = fill(random, found.length);
          if (write) {
            file.write(data, found.position);
            model.write(offset, data);
          } else {
            readPadded(file, data, found.position);
            model.agrees(data, `extent at ${offset}`, offset);
          }
        }
        model.agrees(readAll(image));
      })
    );
  });
}
