import assert from "node:assert/strict";
import { Arena } from "../../../hv/core/state/arena.ts";
import type { IoHandler } from "../../../hv/core/bus/device.ts";
import { IoBus } from "../../../hv/core/bus/io_bus.ts";

/** A window of bytes that tells every access. */
class Window implements IoHandler {
  readonly bytes = Uint8Array.from({ length: 32 }, (_, i) => 0x10 + i);
  readonly log: string[] = [];
  read(offset: number, size: number): number {
    this.log.push(`r${offset}.${size}`);
    let value = 0;
    for (let i = 0; i < size; i++) value += this.bytes[offset + i] * 2 ** (i * 8);
    return value;
  }
  write(offset: number, size: number, value: number): void {
    this.log.push(`w${offset}.${size}=${value.toString(16)}`);
  }
}

const bus = () => new IoBus("port", 0x10000, new Int32Array(1));

Deno.test("a device sees offsets from its base, in the widths that it takes", () => {
  const ports = bus();
  const device = new Window();
  ports.claim({ name: "dev", base: 0x100, length: 8, device, widths: { min: 1, max: 2 } });
  assert.equal(ports.read(0x104, 4), 0x1716_1514);
  assert.equal(ports.read(0x101, 1), 0x11);
  ports.write(0x102, 4, 0x8765_4321);
  ports.write(0x107, 1, 0xaa);
  assert.deepEqual(device.log, ["r4.2", "r6.2", "r1.1", "w2.2=4321", "w4.2=8765", "w7.1=aa"]);
});

Deno.test("narrow reads are cut out of wide registers, narrow writes are dropped", () => {
  const ports = bus();
  const device = new Window();
  ports.claim({ name: "dev", base: 0x200, length: 8, device, widths: { min: 4, max: 4 } });
  assert.equal(ports.read(0x206, 1), 0x16);
  assert.equal(ports.read(0x202, 2), 0x1312);
  ports.write(0x204, 2, 1);
  ports.write(0x204, 4, 0xffff_ffff);
  assert.deepEqual(device.log, ["r4.4", "r0.4", "w4.4=ffffffff"]);
  assert.equal(ports.unclaimed, 1);
});

Deno.test("a narrow read across two wide registers has its bytes from both", () => {
  const ports = bus();
  const device = new Window();
  ports.claim({ name: "dev", base: 0x200, length: 8, device, widths: { min: 4, max: 4 } });
  assert.equal(ports.read(0x203, 2), 0x1413);
  assert.deepEqual(device.log, ["r0.4", "r4.4"]);
});

Deno.test("unclaimed addresses read as ones, swallow writes, and are counted byte by byte", () => {
  const ports = bus();
  assert.equal(ports.read(0x300, 1), 0xff);
  assert.equal(ports.read(0x300, 4), 0xffff_ffff);
  ports.write(0x300, 2, 0);
  assert.equal(ports.unclaimed, 7);
});

Deno.test("an access across the border of two devices goes to both", () => {
  const ports = bus();
  const left = new Window();
  const right = new Window();
  ports.claim({ name: "left", base: 0x10, length: 2, device: left, widths: { max: 4 } });
  ports.claim({ name: "right", base: 0x12, length: 2, device: right, widths: { max: 4 } });
  assert.equal(ports.read(0x11, 4), 0xff11_1011);
  ports.write(0x11, 2, 0xbbaa);
  assert.deepEqual(left.log, ["r1.1", "w1.1=aa"]);
  assert.deepEqual(right.log, ["r0.1", "r1.1", "w0.1=bb"]);
});

Deno.test("an access across the end of the address space wraps around", () => {
  const ports = bus();
  const device = new Window();
  ports.claim({ name: "zero", base: 0, length: 1, device });
  assert.equal(ports.read(0xffff, 2), 0x10ff);
});

Deno.test("claims that overlap or leave the bus name the devices", () => {
  const ports = bus();
  const device = new Window();
  ports.claim({ name: "com1", base: 0x3f8, length: 8, device });
  assert.throws(
    () => ports.claim({ name: "probe", base: 0x3ff, length: 2, device }),
    /put probe at port 3FFh-400h: com1 is at 3F8h-3FFh/,
  );
  assert.throws(
    () => ports.claim({ name: "far", base: 0xffff, length: 2, device }),
    /put far at port FFFFh: outside of the bus/,
  );
  assert.throws(() => ports.claim({ name: "none", base: 0, length: 0, device }), /put none/);
});

Deno.test("a movable range answers where it is, on every thread's bus, once it has moved", () => {
  const generation = new Int32Array(new SharedArrayBuffer(4));
  const here = new IoBus("port", 0x10000, generation);
  const there = new IoBus("port", 0x10000, generation);
  const device = new Window();
  let base: number | undefined = 0xc000;
  for (const each of [here, there]) {
    each.claimMovable({
      name: "bar",
      device,
      range: () => base === undefined ? undefined : { base, length: 4 },
    });
  }
  assert.deepEqual([here.read(0xc001, 1), there.read(0xc001, 1)], [0x11, 0x11]);
  base = 0xd000;
  here.moved();
  assert.deepEqual([here.read(0xd002, 1), there.read(0xd002, 1)], [0x12, 0x12]);
  assert.equal(there.read(0xc001, 1), 0xff);
  base = undefined;
  there.moved();
  assert.equal(here.read(0xd002, 1), 0xff);
  assert.deepEqual(here.ranges, []);
});

Deno.test("a movable range that overlaps loses to what came first, and does no harm", () => {
  const ports = bus();
  const fixed = new Window();
  const movable = new Window();
  ports.claim({ name: "fixed", base: 0x60, length: 1, device: fixed });
  ports.claimMovable({ name: "bar", device: movable, range: () => ({ base: 0x60, length: 16 }) });
  ports.claimMovable({ name: "out", device: movable, range: () => ({ base: 65535, length: 16 }) });
  assert.equal(ports.read(0x60, 1), 0x10);
  assert.equal(ports.read(0x61, 1), 0xff);
  assert.deepEqual(movable.log, []);
});

Deno.test("a device's lock is held during its accesses, and free after a fault", () => {
  const ports = bus();
  const arena = new Arena(new SharedArrayBuffer(4096));
  const lock = arena.lock("dev");
  const word = new Int32Array(arena.buffer, 0, 1);
  const seen: number[] = [];
  const device: IoHandler = {
    read: () => seen.push(word[0]),
    write: () => {
      seen.push(word[0]);
      throw new Error("a fault of the host");
    },
  };
  ports.claim({ name: "dev", base: 0, length: 1, device, lock });
  ports.read(0, 1);
  assert.throws(() => ports.write(0, 1, 0), /a fault of the host/);
  seen.push(word[0]);
  assert.deepEqual(seen, [1, 1, 0]);
});
