import assert from "node:assert/strict";
import { Virtio9p } from "../../../devices/virtio/virtio_9p.ts";
import { TestBench } from "../../support/test_bench.ts";
import { NEEDS_RESET, ready } from "./support.ts";

const REQUEST = 0x6000;
const REPLY = 0x8000;

/** A share with its driver, and a server that answers with what it was asked, backwards. */
function share() {
  const bench = new TestBench();
  const device = new Virtio9p("src");
  const asked: { request: Uint8Array; room: number }[] = [];
  device.server = {
    serve: (request, reply) => {
      asked.push({ request: request.slice(), room: reply.length });
      const answer = request.slice().reverse().subarray(0, reply.length);
      reply.set(answer);
      return answer.length;
    },
  };
  const made = ready(bench, device, { size: 16 });
  const serve = () => {
    made.core.notify(0);
    made.core.serve(false);
  };
  return { ...made, device, memory: bench.memory, asked, serve };
}

Deno.test("the configuration space has the mount tag without a zero at its end", () => {
  const { core } = share();
  assert.equal(core.deviceFeatures(0) & 1, 1, "VIRTIO_9P_MOUNT_TAG");
  assert.equal(core.readConfig(0, 2), 3);
  assert.deepEqual([2, 3, 4, 5].map((at) => core.readConfig(at, 1)), [0x73, 0x72, 0x63, 0]);
});

Deno.test("a message in pieces is answered into the pieces of its room, and no further", () => {
  const { driver, memory, asked, serve } = share();
  for (let i = 0; i < 20; i++) memory.writeU8(REQUEST + i, i);
  memory.view(REPLY, 64)!.fill(0xee);
  driver.add(
    { address: REQUEST, length: 7 },
    { address: REQUEST + 7, length: 13 },
    { address: REPLY, length: 11, write: true },
    { address: REPLY + 32, length: 20, write: true },
  );
  serve();
  assert.deepEqual(asked[0], { request: Uint8Array.from({ length: 20 }, (_, i) => i), room: 31 });
  assert.deepEqual(driver.takeUsed(), [{ id: 0, length: 20 }]);
  const expected = Array.from({ length: 20 }, (_, i) => 19 - i);
  assert.deepEqual([...memory.view(REPLY, 11)!], expected.slice(0, 11));
  assert.deepEqual([...memory.view(REPLY + 32, 9)!], expected.slice(11));
  assert.equal(memory.readU8(REPLY + 11), 0xee);
  assert.equal(memory.readU8(REPLY + 41), 0xee);
});

Deno.test("of a chain of megabytes the server sees as much as the largest message has", () => {
  const { driver, device, serve } = share();
  let seen: number[] = [];
  device.server = {
    serve: (request, reply) => {
      seen = [request.length, reply.length];
      return 1;
    },
  };
  // All of RAM, several times.
  const read = { address: 0, length: 0x4_0000 };
  const write = { ...read, write: true };
  driver.add(read, read, read, write, write, write);
  serve();
  assert.deepEqual(seen, [512 * 1024, 512 * 1024]);
});

Deno.test("what cannot be answered: the device needs a reset", () => {
  const { core, driver, device, serve } = share();
  device.server = { serve: () => 0 };
  driver.add({ address: REQUEST, length: 3 }, { address: REPLY, length: 64, write: true });
  serve();
  assert.equal(core.status & NEEDS_RESET, NEEDS_RESET);
  core.status = 0;
  assert.equal(core.status, 0);
});
