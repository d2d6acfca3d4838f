/** A qcow2 image with many requests under way: in place past it, the rest by it, at the same time. */

import assert from "node:assert/strict";
import { AsyncEngine } from "../../../../devices/disk/engine/async_engine.ts";
import type { AioKind } from "../../../../devices/disk/engine/aio_kind.ts";
import { openDisk } from "../../../../devices/disk/open_disk.ts";
import { openTransfers } from "../../../../devices/disk/engine/open_transfers.ts";
import { checkQcow2 } from "../../../../devices/disk/qcow2/check.ts";
import { createQcow2 } from "../../../../devices/disk/qcow2/create.ts";
import { BlockResult } from "../../../../hv/core/media/block.ts";
import type { BlockRequest } from "../../../../hv/core/media/block_engine.ts";
import { GuestMemory } from "../../../../hv/core/memory/guest_memory.ts";
import { FileHandle } from "../../../../hv/sys/file/file.ts";
import { ioUringIsThere } from "../../../../hv/sys/file/io_uring.ts";
import { seeded } from "../../../support/random.ts";
import { content, DiskModel, inDirectory } from "../conformance.ts";

const SIZE = 1 << 20;
const MOST_BYTES = 32 << 10;

const kinds: AioKind[] = ["threads", ...(ioUringIsThere() ? ["io_uring"] as const : [])];
for (const kind of kinds) {
  Deno.test(`${kind}: a qcow2 image over another holds what many requests at once have written`, () => {
    seeded((random) =>
      inDirectory((directory) => {
        const original = content(SIZE);
        Deno.writeFileSync(`${directory}/base.img`, original);
        const path = `${directory}/disk.qcow2`;
        {
          using file = FileHandle.open(path, { write: true, create: true });
          const backing = { file: "base.img", format: "raw" };
          createQcow2(file, { sizeBytes: SIZE, clusterBytes: 4096, backing });
        }
        const image = openDisk({ path });
        const memory = GuestMemory.allocate(2 << 20, 0);
        const errors: string[] = [];
        const transfers = openTransfers(kind);
        const engine = new AsyncEngine(image, memory, transfers, (e) => errors.push(e.message));
        const model = new DiskModel(SIZE, original);
        for (let round = 0; round < 60; round++) {
          // Requests for the same bytes end in any order: those of a round have bytes of their own.
          const checks: (() => void)[] = [];
          let ended = 0;
          let started = 0;
          let address = 0;
          for (
            let at = 512 * random.below(64);
            at + MOST_BYTES <= SIZE;
            at += 512 * random.below(64)
          ) {
            const offset = at;
            const length = 512 * (1 + random.below(MOST_BYTES / 512));
            at += length;
            const bytes = memory.view(address, length)!;
            const ranges = [{ address, length }];
            address += length;
            let request: BlockRequest;
            const dice = random.below(100);
            if (dice < 45) {
              bytes.fill(1 + random.below(255));
              model.write(offset, bytes.slice());
              request = { op: "write", offset, length, ranges };
            } else if (dice < 55) {
              model.write(offset, new Uint8Array(length));
              request = { op: "writeZeroes", offset, length, unmap: random.chance(50) };
            } else if (dice < 60) {
              model.discard(offset, length);
              request = { op: "discard", offset, length, unmap: true };
            } else if (dice < 65) {
              request = { op: "flush" };
            } else {
              request = { op: "read", offset, length, ranges };
              checks.push(() => model.agrees(bytes, `round ${round}`, offset));
            }
            started++;
            engine.start(request, (result) => {
              assert.equal(result, BlockResult.ok);
              ended++;
            });
          }
          transfers.drain();
          assert.equal(ended, started);
          for (const check of checks) check();
        }
        assert.deepEqual(errors, []);
        image.flush();
        transfers[Symbol.dispose]();
        image[Symbol.dispose]();
        using again = openDisk({ path, readOnly: true });
        const all = new Uint8Array(SIZE);
        again.read(0, all);
        model.agrees(all, "after it was opened again");
        using file = FileHandle.open(path);
        const report = checkQcow2(file);
        assert.deepEqual([report.errors, report.leaks], [[], 0]);
      })
    );
  });
}
