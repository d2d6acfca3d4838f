import assert from "node:assert/strict";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { PackedDataError } from "../../hv/boot/unpack/packed_data_error.ts";
import type { Packing } from "../../hv/boot/unpack/unpack.ts";
import { packingOf, unpack } from "../../hv/boot/unpack/unpack.ts";
import { Random, seed } from "../support/random.ts";
import { withLength } from "./kernels.ts";
import { sample } from "./sample.ts";

const DATA = new URL("../data/boot/", import.meta.url);
const plain = sample();
const fixture = (name: string) =>
  withLength(Deno.readFileSync(new URL(`sample.${name}`, DATA)), plain.length);

/** The sample in every packing, as the payload of a kernel. */
const packed: readonly (readonly [Packing, Uint8Array])[] = [
  // Of Node's Buffer, slice() would be no copy: a test would damage what the others have.
  ["gzip", new Uint8Array(gzipSync(plain))],
  ["zstd", withLength(zstdCompressSync(plain), plain.length)],
  ["xz", fixture("xz")],
  ["lzma", fixture("lzma")],
  ["lz4", fixture("lz4")],
];

for (const [packing, payload] of packed) {
  Deno.test(`${packing}: is told by its first bytes and unpacked to the last byte`, async () => {
    assert.equal(packingOf(payload), packing);
    assert.deepEqual(await unpack(payload, packing, plain.length), plain);
  });

  Deno.test(`${packing}: what is larger than the limit is refused before it is unpacked`, async () => {
    await assert.rejects(unpack(payload, packing, plain.length - 1), {
      name: "PackedDataError",
      message: /unpacked it has 37000 bytes, but the guest's memory takes 36999/,
    });
  });

  Deno.test(`${packing}: a false length, less or more, is an error`, async () => {
    for (const length of [0, 1, plain.length - 1, plain.length + 1, 0xffff_ffff]) {
      const lying = payload.slice();
      new DataView(lying.buffer).setUint32(lying.length - 4, length, true);
      await assert.rejects(unpack(lying, packing, 2 ** 32), PackedDataError);
    }
  });

  Deno.test(`${packing}: cut off anywhere it is an error`, async () => {
    for (let length = 0; length < payload.length - 8; length += 97) {
      const cut = withLength(payload.subarray(0, length), plain.length);
      await assert.rejects(unpack(cut, packing, 2 ** 20), PackedDataError);
    }
  });

  Deno.test(`${packing}: damaged it is an error or of the right length, never more`, async () => {
    console.log(`HV_SEED=${seed()}`);
    const random = new Random(seed());
    for (let i = 0; i < 300; i++) {
      const damaged = payload.slice();
      for (let n = random.below(3); n >= 0; n--) {
        damaged[random.below(damaged.length)] = random.u32();
      }
      try {
        assert.ok((await unpack(damaged, packing, 2 ** 20)).length <= 2 ** 20);
      } catch (error) {
        if (!(error instanceof PackedDataError)) throw error;
      }
    }
  });
}

Deno.test("xz: the checksum finds a changed byte in an unpacked chunk (3.1, check)", async () => {
  const damaged = fixture("xz");
  // The last bytes of the block's packed data: before padding, check, index and footer.
  damaged[damaged.length - 4 - 60] ^= 1;
  await assert.rejects(unpack(damaged, "xz", 2 ** 20), PackedDataError);
});

Deno.test("a small payload that claims gigabytes gets no buffer", async () => {
  const bomb = withLength(new Uint8Array(2048).fill(1), 0xf000_0000);
  await assert.rejects(unpack(bomb, "xz", 2 ** 40), {
    name: "PackedDataError",
    message: "2052 packed bytes claim to be 4026531840",
  });
});
