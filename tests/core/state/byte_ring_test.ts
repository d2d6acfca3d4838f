import assert from "node:assert/strict";
import { ByteRing } from "../../../hv/core/state/byte_ring.ts";
import { seeded } from "../../support/random.ts";

const ringOf = (capacity: number) =>
  new ByteRing(new SharedArrayBuffer(ByteRing.byteLength(capacity)), 0, capacity);

Deno.test("a byte ring is first in, first out, around its end", () => {
  const ring = ringOf(3);
  assert.deepEqual([ring.push(1), ring.push(2), ring.push(3)], [true, true, true]);
  assert.equal(ring.shift(), 1);
  assert.equal(ring.push(4), true);
  assert.deepEqual([ring.peek(), ring.peek(1), ring.peek(2), ring.peek(3)], [2, 3, 4, -1]);
  assert.deepEqual([ring.shift(), ring.shift(), ring.shift(), ring.shift()], [2, 3, 4, -1]);
});

Deno.test("a full byte ring refuses, an empty one gives -1", () => {
  const ring = ringOf(2);
  assert.equal(ring.shift(), -1);
  ring.push(1);
  ring.push(2);
  assert.equal(ring.push(3), false);
  assert.deepEqual([ring.length, ring.capacity], [2, 2]);
  ring.clear();
  assert.deepEqual([ring.length, ring.peek()], [0, -1]);
});

Deno.test("a byte ring behaves as an array does, whatever is done to it", () => {
  seeded((random) => {
    const ring = ringOf(7);
    const model: number[] = [];
    for (let i = 0; i < 2000; i++) {
      if (random.chance(55)) {
        const byte = random.below(256);
        assert.equal(ring.push(byte), model.length < 7);
        if (model.length < 7) model.push(byte);
      } else assert.equal(ring.shift(), model.shift() ?? -1);
      assert.equal(ring.length, model.length);
    }
  });
});

Deno.test("a byte ring has room for 1 to 65535 bytes", () => {
  assert.throws(() => new ByteRing(new ArrayBuffer(8), 0, 0), /0 bytes: 1 to 65535/);
  assert.throws(() => new ByteRing(new ArrayBuffer(70_000), 0, 65_536), /65536 bytes/);
  assert.deepEqual([ByteRing.byteLength(4), ByteRing.byteLength(5)], [8, 10]);
});
