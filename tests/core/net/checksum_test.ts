import assert from "node:assert/strict";
import { addToSum, checksumOf, foldSum } from "../../../hv/core/net/checksum.ts";
import { seeded } from "../../support/random.ts";

Deno.test("the checksum of RFC 1071's example (3, numerical examples)", () => {
  const bytes = Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7);
  assert.equal(foldSum(addToSum(bytes, 0, 8)), 0xddf2);
  assert.equal(checksumOf(addToSum(bytes, 0, 8)), 0x220d);
});

Deno.test("a checksum is that of the words one by one, whatever the length and the place", () => {
  seeded((random) => {
    const bytes = Uint8Array.from(
      { length: 66_000 },
      () => random.chance(50) ? 0xff : random.u32(),
    );
    for (const length of [0, 1, 2, 19, 20, 127, 128, 129, 143, 145, 1460, 1461, 65_535]) {
      const start = random.below(400);
      let expected = 0x1234;
      for (let i = start; i < start + length; i++) {
        expected += (i - start) % 2 === 0 ? bytes[i] << 8 : bytes[i];
      }
      while (expected > 0xffff) expected = (expected & 0xffff) + (expected >>> 16);
      const inside = bytes.subarray(100);
      assert.equal(foldSum(addToSum(bytes, start, start + length, 0x1234)), expected, `${length}`);
      if (start < 100) continue;
      const [from, to] = [start - 100, start - 100 + length];
      assert.equal(foldSum(addToSum(inside, from, to, 0x1234)), expected, "of a part");
    }
  });
});
