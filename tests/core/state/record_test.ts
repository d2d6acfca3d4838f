import assert from "node:assert/strict";
import {
  bytes,
  bytesOf,
  f64,
  flag,
  i32,
  list,
  nested,
  record,
  ring,
  u16,
  u16s,
  u32,
  u32s,
  u64,
  u64s,
  u8,
  words,
} from "../../../hv/core/state/record.ts";

const offsets = (type: { layout: readonly { name: string; offset: number }[] }) =>
  Object.fromEntries(type.layout.map(({ name, offset }) => [name, offset]));

Deno.test("fields lie at their natural alignment, as in C", () => {
  // struct { uint8_t a; uint64_t b; uint16_t c; uint32_t d; uint8_t e; } has 32 bytes on x86-64.
  const Mixed = record("mixed", 1, { a: u8, b: u64, c: u16, d: u32, e: u8 });
  assert.deepEqual(offsets(Mixed), { a: 0, b: 8, c: 16, d: 20, e: 24 });
  assert.equal(Mixed.byteLength, 32);
  assert.equal(Mixed.alignment, 8);
});

Deno.test("views and nested records take their elements' alignment", () => {
  const Inner = record("inner", 1, { x: u8, y: u32 });
  const Outer = record("outer", 1, {
    tag: u8,
    raw: bytes(3),
    inner: nested(Inner),
    many: list(Inner, 2),
    half: u16s(3),
    fifo: ring(5),
    long: u64s(1),
  });
  assert.deepEqual(offsets(Outer), {
    tag: 0,
    raw: 1,
    inner: 4,
    many: 12,
    half: 28,
    fifo: 34,
    long: 48,
  });
  assert.equal(Outer.byteLength, 56);
});

Deno.test("scalars are little-endian and keep their width", () => {
  const Scalars = record("scalars", 1, { a: u8, b: u16, c: u32, d: i32, e: u64, f: f64, g: flag });
  const buffer = new SharedArrayBuffer(Scalars.byteLength);
  const view = new Scalars(buffer);
  view.a = 0x1ff;
  view.b = 0x1_2345;
  view.c = -1;
  view.d = 0xffff_ffff;
  view.e = 0x1122_3344_5566_7788n;
  view.f = 2 ** 53 - 1;
  view.g = true;
  assert.equal(view.a, 0xff);
  assert.equal(view.b, 0x2345);
  assert.equal(view.c, 0xffff_ffff);
  assert.equal(view.d, -1);
  assert.equal(view.e, 0x1122_3344_5566_7788n);
  assert.equal(view.f, 2 ** 53 - 1);
  assert.equal(view.g, true);
  assert.deepEqual([...new Uint8Array(buffer, 2, 2)], [0x45, 0x23]);
});

Deno.test("every view of the same bytes sees the same state", () => {
  const State = record("state", 1, { count: u32, data: bytes(4), flags: words(1), big: u32s(1) });
  const buffer = new SharedArrayBuffer(64 + State.byteLength);
  const one = new State(buffer, 64);
  const two = new State(buffer, 64);
  one.count = 7;
  one.data[3] = 9;
  Atomics.store(one.flags, 0, -5);
  one.big[0] = 0xffff_ffff;
  assert.equal(two.count, 7);
  assert.equal(two.data[3], 9);
  assert.equal(Atomics.load(two.flags, 0), -5);
  assert.equal(two.big[0], 0xffff_ffff);
  assert.equal(new Uint8Array(buffer)[64], 7);
});

Deno.test("bytesOf is the record as a whole", () => {
  const State = record("state", 1, { a: u32, b: u16 });
  const view = new State(new ArrayBuffer(32), 16);
  view.a = 0x0403_0201;
  assert.deepEqual([...bytesOf(view)], [1, 2, 3, 4, 0, 0, 0, 0]);
  bytesOf(view).fill(0xff);
  assert.equal(view.b, 0xffff);
});

Deno.test("a record knows its name and version", () => {
  const State = record("uart16550", 3, { a: u8 });
  assert.deepEqual([State.recordName, State.version], ["uart16550", 3]);
});
