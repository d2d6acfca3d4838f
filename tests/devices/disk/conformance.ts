/** What every disk image promises, as tests that run against each kind. */

import assert from "node:assert/strict";
import type { DiskImage } from "../../../devices/disk/disk_image.ts";
import { type Random, seeded } from "../../support/random.ts";
import { assertSameBytes } from "../../support/same_bytes.ts";

/** A kind of image. */
export interface ImageKind {
  readonly name: string;
  /** Opens an image over a file in `directory`, which holds `content` when it is new. */
  open(directory: string, content: Uint8Array): DiskImage;
  /** Opens the same image again: present when what was written is to be there then. */
  reopen?(directory: string): DiskImage;
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

const fill = (random: Random, length: number) =>
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

  Deno.test(`${name}: random reads and writes agree with an array`, () => {
    seeded((random) =>
      inDirectory((directory) => {
        const original = content(size);
        const image = kind.open(directory, original);
        const model = new Uint8Array(image.sizeBytes);
        model.set(original);
        for (let i = 0; i < 300; i++) {
          const [offset, length] = range(random, image.sizeBytes);
          if (random.chance(50) && !image.readOnly) {
            const data = fill(random, length);
            image.write(offset, data);
            model.set(data, offset);
          } else {
            const data = new Uint8Array(length).fill(0xcc);
            image.read(offset, data);
            assertSameBytes(data, model.slice(offset, offset + length), `step ${i}`);
          }
          if (random.chance(3)) image.flush();
        }
        assertSameBytes(readAll(image), model);
        image.flush();
        image[Symbol.dispose]();
        if (kind.reopen === undefined) return;
        using again = kind.reopen(directory);
        assertSameBytes(readAll(again), model, "after it was opened again");
      })
    );
  });
}
