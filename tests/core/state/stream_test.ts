import assert from "node:assert/strict";
import { ByteStream, StreamState } from "../../../hv/core/state/stream.ts";

const CAPACITY = 65536;

function stream() {
  const state = new StreamState(new SharedArrayBuffer(StreamState.byteLength));
  let rings = 0;
  const producer = new ByteStream(state, () => rings++);
  const consumer = new ByteStream(state, () => {});
  return { state, producer, consumer, rings: () => rings };
}

Deno.test("what one end writes the other takes, in order, and only once", () => {
  const { producer, consumer, rings } = stream();
  for (const byte of [1, 2, 3]) assert.equal(producer.write(byte), true);
  assert.deepEqual([...consumer.take()], [1, 2, 3]);
  assert.equal(consumer.take().length, 0);
  assert.ok(rings() >= 1);
});

Deno.test("bytes go around the end of the ring, and the counters around 2^32", () => {
  const { state, producer, consumer } = stream();
  Atomics.store(state.cursors, 0, -2);
  Atomics.store(state.cursors, 1, -2);
  for (const byte of [1, 2, 3, 4]) producer.write(byte);
  assert.deepEqual([...consumer.take()], [1, 2, 3, 4]);
  assert.deepEqual([state.cursors[0], state.cursors[1]], [2, 2]);
});

Deno.test("a full stream refuses, remembers it, and takes bytes again after it was read", () => {
  const { producer, consumer } = stream();
  for (let i = 0; i < CAPACITY; i++) assert.equal(producer.write(i), true);
  assert.equal(consumer.takeStalled(), false);
  assert.equal(producer.write(0), false);
  const all = consumer.take();
  assert.deepEqual([all.length, all[0], all[CAPACITY - 1]], [CAPACITY, 0, 255]);
  assert.equal(consumer.takeStalled(), true);
  assert.equal(consumer.takeStalled(), false);
  assert.equal(producer.write(7), true);
  assert.deepEqual([...consumer.take()], [7]);
});

Deno.test("many bytes go in as far as there is room, around the end of the ring, and out in parts", () => {
  const { state, producer, consumer } = stream();
  for (const cursor of [0, 1]) Atomics.store(state.cursors, cursor, CAPACITY - 3);
  const data = new Uint8Array(CAPACITY + 5).map((_, i) => i * 3);
  assert.equal(producer.put(data), CAPACITY);
  assert.equal(producer.put(data), 0);
  assert.equal(consumer.waiting, CAPACITY);
  const part = new Uint8Array(5);
  assert.equal(consumer.read(part), 5);
  assert.deepEqual(part, data.subarray(0, 5));
  assert.equal(consumer.takeStalled(), true);
  assert.equal(producer.put(data.subarray(CAPACITY)), 5);
  assert.equal(consumer.takeStalled(), false, "all had room");
  assert.deepEqual(consumer.take(), data.subarray(5));
  assert.equal(consumer.read(part), 0);
});
