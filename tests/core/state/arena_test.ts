import assert from "node:assert/strict";
import { Arena } from "../../../hv/core/state/arena.ts";
import { bytes, record, u32 } from "../../../hv/core/state/record.ts";

const Small = record("small", 1, { value: u32 });
const Large = record("large", 2, { data: bytes(65) });

Deno.test("each record begins at a cache line, in the order in which it was asked for", () => {
  const arena = new Arena(new SharedArrayBuffer(1024));
  arena.allocate(Small, "first");
  arena.allocate(Large, "second");
  arena.allocate(Small, "third");
  assert.deepEqual(arena.sections, [
    { name: "first", type: "small", version: 1, offset: 0, length: 4 },
    { name: "second", type: "large", version: 2, offset: 64, length: 65 },
    { name: "third", type: "small", version: 1, offset: 192, length: 4 },
  ]);
  assert.equal(arena.usedBytes, 256);
});

Deno.test("another thread that asks for the same records finds the same state", () => {
  const buffer = new SharedArrayBuffer(1024);
  const build = () => {
    const arena = new Arena(buffer);
    return {
      one: arena.allocate(Small, "one"),
      lock: arena.lock("one"),
      two: arena.allocate(Small, "two"),
    };
  };
  const main = build();
  main.two.value = 42;
  assert.equal(build().two.value, 42);
});

Deno.test("a name can be used once, and a full arena says how much is left", () => {
  const arena = new Arena(new SharedArrayBuffer(128));
  arena.allocate(Small, "one");
  assert.throws(() => arena.allocate(Small, "one"), /"one": the name is taken/);
  assert.throws(() => arena.allocate(Large, "two"), /65 bytes for state "two": 64 of 128 are left/);
});
