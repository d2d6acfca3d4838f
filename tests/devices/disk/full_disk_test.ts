/** A host's disk that is full in the middle of whatever an image does. */

import assert from "node:assert/strict";
import type { ImageFile } from "../../../devices/disk/image_file.ts";
import { openDisk } from "../../../devices/disk/open_disk.ts";
import { checkQcow2 } from "../../../devices/disk/qcow2/check.ts";
import { createQcow2 } from "../../../devices/disk/qcow2/create.ts";
import { GrowingFile } from "../../../devices/disk/qcow2/growing_file.ts";
import { readHeader } from "../../../devices/disk/qcow2/header.ts";
import { Qcow2Image } from "../../../devices/disk/qcow2/qcow2_image.ts";
import { Errno, SysError } from "../../../hv/sys/errors.ts";
import { FileHandle } from "../../../hv/sys/file/file.ts";
import { HAS_QEMU_IMG, qemuCheck } from "../../support/guest/qemu_img.ts";
import { type Random, seeded } from "../../support/random.ts";
import { inDirectory } from "./conformance.ts";
import { slowTest } from "../../support/quick.ts";

const SIZE = 1 << 20;

/** A file on a disk that has room for so much of it; what is there already can be written over. */
class CrampedFile extends GrowingFile {
  room: number;

  constructor(file: ImageFile, room: number) {
    super(file);
    this.room = room;
  }
  override write(from: Uint8Array, position: number): void {
    if (position + from.length > this.room && position + from.length > this.size) {
      // As much as there is room for has been written.
      const part = Math.max(0, Math.min(from.length, this.room - position));
      super.write(from.subarray(0, part), position);
      throw new SysError("write to a full disk", Errno.ENOSPC);
    }
    super.write(from, position);
  }
}

/** Writes, discards and flushes; gives how many of them the full disk has refused. */
function work(image: Qcow2Image, model: Uint8Array, random: Random, steps: number): number {
  let refused = 0;
  for (let i = 0; i < steps; i++) {
    const length = 512 * (1 + random.below(40));
    const offset = 512 * random.below((SIZE - length) / 512);
    const data = new Uint8Array(length).fill(1 + random.below(255));
    try {
      if (random.chance(15)) {
        image.writeZeroes(offset, length, random.chance(50));
        model.fill(0, offset, offset + length);
      } else {
        image.write(offset, data);
        model.set(data, offset);
      }
      if (random.chance(30)) image.flush();
    } catch (error) {
      assert.equal((error as SysError).code, "ENOSPC", (error as Error).stack);
      refused++;
      // Of what has failed, any part may be there.
      image.read(offset, model.subarray(offset, offset + length));
    }
  }
  return refused;
}

slowTest(
  "qcow2: a full host disk fails what needs room, loses nothing, and all goes on when there is",
  () => {
    seeded((random) =>
      inDirectory((directory) => {
        const path = `${directory}/disk.qcow2`;
        let refused = 0;
        for (let round = 0; round < 40; round++) {
          const clusterBytes = random.pick([512, 4096, 65536]);
          const refcountBits = random.pick([1, 16, 64]);
          using file = FileHandle.open(path, { write: true, create: true, truncate: true });
          createQcow2(file, { sizeBytes: SIZE, clusterBytes, refcountBits });
          const cramped = new CrampedFile(file, file.size + random.below(SIZE / 2));
          const image = new Qcow2Image(cramped, readHeader(cramped), SIZE);
          const model = new Uint8Array(SIZE);
          const agree = (what: string) => {
            const all = new Uint8Array(SIZE);
            image.read(0, all);
            const at = all.findIndex((byte, i) => byte !== model[i]);
            assert.equal(at, -1, `${what}: byte ${at}`);
          };
          refused += work(image, model, random, 60);
          agree("while it is full");
          cramped.room = Infinity;
          assert.equal(work(image, model, random, 20), 0);
          image.flush();
          agree("with room again");
          const report = checkQcow2(file);
          assert.deepEqual([report.errors, report.leaks], [[], 0]);
          if (HAS_QEMU_IMG) qemuCheck(path);
          using again = openDisk({ path, readOnly: true });
          const all = new Uint8Array(SIZE);
          again.read(0, all);
          assert.equal(all.findIndex((byte, i) => byte !== model[i]), -1);
        }
        assert.ok(refused > 100, `${refused}: the disk was full`);
      })
    );
  },
);
