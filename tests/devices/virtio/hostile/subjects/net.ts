/** Requests of a hostile driver to a network card. */

import assert from "node:assert/strict";
import { VirtioNet, VirtioNetState } from "../../../../../devices/virtio/net/virtio_net.ts";
import { Unplugged } from "../../../../../hv/core/net/network.ts";
import type { MakeRequest, MakeSubject } from "./subject.ts";

const MAC = Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56);
const PAIRS = 2;

/** Frames to be sent, room for frames, commands. */
export const netRequest: MakeRequest = (random, queue, memory) => {
  if (queue % 2 === 1) {
    const header = memory.take(12, false);
    for (let i = 0; i < 12; i++) memory.bytes(header)[i] = random.chance(30) ? random.u32() : 0;
    return [header, memory.take(random.pick([0, 13, 60, 1500, 0x4000]), false)];
  }
  if (random.chance(50)) return [memory.take(random.pick([10, 64, 1600, 0x4000]), true)];
  const command = memory.take(random.pick([1, 2, 3, 8, 10, 40]), false);
  const bytes = memory.bytes(command);
  for (let i = 0; i < bytes.length; i++) bytes[i] = random.below(i < 2 ? 6 : 256);
  return [command, memory.take(1, true)];
};

/** A virtio network card whose cable has frames at every turn, and takes what comes. */
export const net: MakeSubject = (bench) => {
  const device = new VirtioNet(bench.state(VirtioNetState, "net device"), {
    mac: MAC,
    pairs: PAIRS,
  });
  const sent: Uint8Array[] = [];
  let isServedHere = false;
  const drain = () => {
    isServedHere = true;
    for (let i = 0; i < 64; i++) {
      const frame = device.fetch();
      if (frame === undefined) break;
      sent.push(frame.bytes.slice());
    }
    device.endFetching();
  };
  return {
    device,
    mayReject: (queue, { readableBytes, writableBytes }) =>
      queue % 2 === 0 && (readableBytes < 2 || writableBytes < 1),
    host(random) {
      drain();
      const bytes = new Uint8Array(random.pick([14, 60, 1514, 9000, 65_000]));
      if (random.chance(70)) bytes.set(MAC);
      for (let i = 12; i < 40 && i < bytes.length; i++) bytes[i] = random.u32();
      const needsChecksum = random.chance(30);
      device.receive({
        bytes,
        offload: {
          needsChecksum,
          checksumStart: 34,
          checksumOffset: 16,
          isValid: random.chance(50),
          segmentBytes: needsChecksum && random.chance(50) ? 1460 : 0,
          headerBytes: 54,
        },
      });
      // A cable that is out does not stay so.
      if (random.chance(2)) device.setLink(false, Unplugged.end);
      device.setLink(true, Unplugged.end);
    },
    request: netRequest,
    settle: drain,
    check(exchange, memory) {
      sent.length = 0;
      const header = memory.take(12, false);
      memory.bytes(header).fill(0);
      const frame = memory.take(60, false);
      memory.bytes(frame).fill(0x5a);
      assert.equal(exchange(1, header, frame), 0);
      // Where the device is another thread's, so is what it has sent.
      if (isServedHere) assert.deepEqual(sent.at(-1), new Uint8Array(60).fill(0x5a));
    },
  };
};
