/** Virtio network card against VIRTIO 1.3, 5.1. */

import assert from "node:assert/strict";
import { NetworkLink } from "../../../devices/net/network_link.ts";
import { VirtioNet, VirtioNetState } from "../../../devices/virtio/net/virtio_net.ts";
import { NetFeature } from "../../../devices/virtio/net/state.ts";
import {
  ALL_OFFLOADS,
  type Frame,
  LOST,
  type NetworkEnd,
  PLAIN,
  Unplugged,
  VALID,
} from "../../../hv/core/net/network.ts";
import { TestBench } from "../../support/test_bench.ts";
import { PackedDriver } from "./queue/packed_driver.ts";
import type { Buffer } from "./queue/split_driver.ts";
import { NEEDS_RESET, ready } from "./support.ts";

const MAC = Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56);
const OTHER = Uint8Array.of(2, 0, 0, 0, 0, 9);
const GROUP = Uint8Array.of(0x33, 0x33, 0, 0, 0, 1);
const BROADCAST = new Uint8Array(6).fill(0xff);
const DATA = 0x10000;
const { CSUM, GUEST_CSUM, GUEST_TSO4, HOST_TSO4, MRG_RXBUF, MQ } = NetFeature;
const { CTRL_VQ, CTRL_RX, CTRL_VLAN, CTRL_MAC_ADDR, CTRL_GUEST_OFFLOADS } = NetFeature;
const CONTROL = [CTRL_VQ, CTRL_RX, CTRL_RX + 2, CTRL_VLAN, CTRL_MAC_ADDR, CTRL_GUEST_OFFLOADS];
const USUAL = [CSUM, GUEST_CSUM, GUEST_TSO4, HOST_TSO4, MRG_RXBUF, ...CONTROL];

interface CardOptions {
  readonly features?: readonly number[];
  readonly pairs?: number;
  // deno-lint-ignore no-explicit-any
  readonly makeDriver?: any;
}

/** A card with its driver, whose queues are 0: receive, 1: transmit, and behind all pairs: control. */
function card({ features = USUAL, pairs = 1, makeDriver }: CardOptions = {}) {
  const bench = new TestBench();
  const { memory } = bench;
  const net = new VirtioNet(bench.state(VirtioNetState), {
    mac: MAC,
    pairs,
  });
  const made = ready(bench, net, { size: 16, features, makeDriver });
  const kick = (queue: number) => {
    made.core.notify(queue);
    made.core.serve(false);
  };
  /** Gives the card a buffer for frames, at this address. */
  const room = (address: number, length: number, queue = 0) => {
    made.drivers[queue].add({ address, length, write: true });
    kick(queue);
  };
  /** Sends header and frame in one buffer. */
  const send = (header: readonly number[], frame: Uint8Array, queue = 1) => {
    memory.view(DATA, header.length)!.set(header);
    memory.view(DATA + header.length, frame.length)!.set(frame);
    made.drivers[queue].add({ address: DATA, length: header.length + frame.length });
    kick(queue);
  };
  /** Carries out a command; its answer. */
  const command = (...bytes: number[]) => {
    const queue = made.drivers.length === 3 || !features.includes(MQ) ? 2 : pairs * 2;
    memory.view(DATA, bytes.length)!.set(bytes);
    memory.writeU8(0xf000, 0xee);
    const answer: Buffer = { address: 0xf000, length: 1, write: true };
    made.drivers[queue].add({ address: DATA, length: bytes.length }, answer);
    kick(queue);
    return memory.readU8(0xf000);
  };
  return { ...made, bench, memory, net, kick, room, send, command };
}

function frameTo(to: Uint8Array, length = 60): Uint8Array {
  const frame = Uint8Array.from({ length }, (_, i) => i * 3);
  frame.set([...to, ...OTHER, 8, 6]);
  return frame;
}

const plain = (bytes: Uint8Array): Frame => ({ bytes, offload: PLAIN });
const NO_HEADER = new Array(12).fill(0);

Deno.test("the configuration space has address, link status and queue pairs (5.1.4)", () => {
  const { core, net, transport } = card({ pairs: 2 });
  assert.deepEqual([0, 1, 2, 3, 4, 5].map((i) => core.readConfig(i, 1)), [...MAC]);
  assert.deepEqual([core.readConfig(6, 2), core.readConfig(8, 2)], [1, 2]);
  net.setLink(false, Unplugged.end);
  assert.equal(core.readConfig(6, 2), 0);
  assert.equal(transport.configInterrupts, 1);
  net.setLink(false, Unplugged.end);
  assert.equal(transport.configInterrupts, 1, "nothing has changed");
});

Deno.test("a cable that the user has pulled is not put back by the host end, nor the other way round", () => {
  const { core, net, transport } = card();
  const status = () => core.readConfig(6, 2);
  net.setLink(false, Unplugged.user);
  net.setLink(false, Unplugged.end);
  net.setLink(true, Unplugged.end);
  assert.equal(status(), 0);
  core.reset();
  assert.equal(status(), 0, "it is out still");
  net.setLink(false, Unplugged.end);
  net.setLink(true, Unplugged.user);
  assert.equal(status(), 0);
  net.setLink(true, Unplugged.end);
  assert.equal(status(), 1);
  assert.equal(transport.configInterrupts, 1, "there is no driver any more");
});

Deno.test("the longest packet is told where the other end has one of its own (5.1.4)", () => {
  const net = new VirtioNet(new TestBench().state(VirtioNetState), {
    mac: MAC,
    pairs: 1,
    mtu: 65_520,
  });
  net.reset();
  assert.ok(net.features.includes(NetFeature.MTU));
  assert.deepEqual([...net.config.subarray(10, 12)], [65_520 & 255, 65_520 >> 8]);
  assert.ok(!card().net.features.includes(NetFeature.MTU));
});

Deno.test("a frame is sent as it is, and its buffer given back (5.1.6.2)", () => {
  const { send, net, drivers, transport } = card();
  const frame = frameTo(OTHER);
  send(NO_HEADER, frame);
  assert.deepEqual(net.fetch(), plain(frame));
  assert.equal(net.fetch(), undefined);
  assert.deepEqual(drivers[1].takeUsed(), [{ id: 0, length: 0 }]);
  net.endFetching();
  assert.equal(transport.take(1), 1);
});

Deno.test("a header says what is left to do: checksum, segments of TCP (5.1.6.2)", () => {
  const { send, net } = card();
  send([1, 1, 54, 0, 0xb4, 5, 34, 0, 16, 0, 0, 0], frameTo(OTHER, 3000));
  assert.deepEqual(net.fetch()!.offload, {
    needsChecksum: true,
    checksumStart: 34,
    checksumOffset: 16,
    isValid: false,
    segmentBytes: 1460,
    headerBytes: 54,
  });
});

Deno.test("what cannot be a frame is lost, its buffer given back", () => {
  const { send, net, drivers, core } = card();
  send(NO_HEADER, new Uint8Array(13));
  send([1, 0, 0, 0, 0, 0, 200, 0, 16, 0, 0, 0], frameTo(OTHER));
  send([0, 3, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0], frameTo(OTHER));
  drivers[1].add({ address: DATA, length: 0x8000 }, { address: DATA, length: 0x9000 });
  for (let i = 0; i < 4; i++) assert.equal(net.fetch(), LOST);
  assert.equal(net.fetch(), undefined);
  assert.equal(drivers[1].takeUsed().length, 4);
  assert.equal(core.status & NEEDS_RESET, 0);
});

Deno.test("a received frame has its header, which says that its checksums are right (5.1.6.4)", () => {
  const { room, net, memory, drivers, transport } = card();
  room(DATA, 2000);
  const frame = frameTo(MAC);
  assert.ok(net.receive({ bytes: frame, offload: VALID }));
  assert.deepEqual(drivers[0].takeUsed(), [{ id: 0, length: 72 }]);
  assert.deepEqual([...memory.view(DATA, 12)!], [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
  assert.deepEqual(memory.view(DATA + 12, 60)!.slice(), frame);
  assert.equal(transport.take(0), 1);
});

Deno.test("a driver that did not ask for checksums hears nothing of them, and gets none left to do", () => {
  const { room, net, memory, drivers } = card({ features: [MRG_RXBUF] });
  assert.deepEqual(net.offloads, { checksum: false, tcp4: false, tcp6: false });
  room(DATA, 2000);
  net.receive({ bytes: frameTo(MAC), offload: VALID });
  assert.equal(memory.readU8(DATA), 0);
  room(DATA, 2000);
  const offload = { ...PLAIN, needsChecksum: true, checksumStart: 34, checksumOffset: 16 };
  assert.ok(net.receive({ bytes: frameTo(MAC), offload }), "lost");
  assert.equal(drivers[0].takeUsed().length, 1);
});

Deno.test("without a buffer a frame is refused, and taken once there is one", () => {
  const { room, net, drivers } = card();
  assert.equal(net.receive(plain(frameTo(MAC))), false);
  room(DATA, 2000);
  assert.ok(net.receive(plain(frameTo(MAC))));
  assert.equal(drivers[0].takeUsed().length, 1);
});

for (
  const [form, makeDriver] of [
    ["split", undefined],
    ["packed", (...args: ConstructorParameters<typeof PackedDriver>) => new PackedDriver(...args)],
  ] as const
) {
  const features = makeDriver === undefined ? USUAL : [...USUAL, 34];

  Deno.test(`a frame is spread over buffers, all of which the driver sees at once (${form})`, () => {
    const { room, net, memory, drivers } = card({ features, makeDriver });
    for (let i = 0; i < 3; i++) room(DATA + i * 0x1000, 600);
    const seen: number[] = [];
    const { storeU16 } = memory;
    memory.storeU16 = (address, value) => {
      storeU16.call(memory, address, value);
      seen.push(drivers[0].takeUsed().length);
    };
    const frame = frameTo(MAC, 1500);
    assert.ok(net.receive(plain(frame)));
    assert.deepEqual(seen.filter((count) => count > 0), [3]);
    assert.equal(memory.readU16(DATA + 10), 3, "num_buffers");
    const bytes = [
      ...memory.view(DATA + 12, 588)!,
      ...memory.view(DATA + 0x1000, 600)!,
      ...memory.view(DATA + 0x2000, 312)!,
    ];
    assert.deepEqual(Uint8Array.from(bytes), frame);
  });

  Deno.test(`buffers that are too few stay with the driver until there are enough (${form})`, () => {
    const { room, net, drivers, core } = card({ features, makeDriver });
    for (let i = 0; i < 20; i++) {
      room(DATA, 600);
      assert.equal(net.receive(plain(frameTo(MAC, 1000))), false);
      assert.equal(drivers[0].takeUsed().length, 0);
      room(DATA + 0x1000, 600);
      assert.ok(net.receive(plain(frameTo(MAC, 1000))));
      assert.deepEqual(drivers[0].takeUsed().map(({ length }) => length), [600, 412]);
    }
    assert.equal(core.status & NEEDS_RESET, 0);
  });
}

Deno.test("without merging, a frame that does not fit its buffer is lost and the buffer kept (5.1.6.4.2)", () => {
  const { room, net, drivers } = card({ features: [] });
  room(DATA, 100);
  assert.ok(net.receive(plain(frameTo(MAC, 1000))));
  assert.equal(drivers[0].takeUsed().length, 0);
  assert.ok(net.receive(plain(frameTo(MAC, 60))));
  assert.equal(drivers[0].takeUsed().length, 1);
});

Deno.test("all frames are received until the driver sets the filter; then its own (5.1.6.5)", () => {
  const { room, net, command, drivers } = card();
  const takes = (frame: Uint8Array) => {
    room(DATA + 0x1000, 2000);
    net.receive(plain(frame));
    const isTaken = drivers[0].takeUsed().length === 1;
    if (!isTaken) {
      net.receive(plain(frameTo(BROADCAST)));
      drivers[0].takeUsed();
    }
    return isTaken;
  };
  const all = () => [MAC, OTHER, GROUP, BROADCAST].map((to) => takes(frameTo(to)));
  assert.deepEqual(all(), [true, true, true, true]);
  assert.equal(command(0, 0, 0), 0, "promiscuous off");
  assert.deepEqual(all(), [true, false, false, true]);
  assert.equal(command(1, 0, 1, 0, 0, 0, ...OTHER, 1, 0, 0, 0, ...GROUP), 0, "tables");
  assert.deepEqual(all(), [true, true, true, true]);
  assert.equal(command(1, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0);
  assert.equal(command(0, 1, 1), 0, "all multicast");
  assert.deepEqual(all(), [true, false, true, true]);
  assert.equal(command(1, 1, ...OTHER), 0, "another address");
  assert.deepEqual(all(), [false, true, true, true]);
  const tagged = frameTo(OTHER);
  tagged.set([0x81, 0, 0, 5, 8, 6], 12);
  assert.equal(takes(tagged), false, "VLAN 5 was not asked for");
  assert.equal(command(2, 0, 5, 0), 0);
  assert.equal(takes(tagged), true);
  assert.equal(command(2, 1, 5, 0), 0);
  assert.equal(takes(tagged), false);
});

Deno.test("offloads are taken back and forth while the driver runs (5.1.6.5.6)", () => {
  const { net, command } = card();
  assert.deepEqual(net.offloads, { checksum: true, tcp4: true, tcp6: false });
  assert.equal(command(5, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0);
  assert.deepEqual(net.offloads, { checksum: false, tcp4: false, tcp6: false });
  assert.equal(command(5, 0, 2, 0, 0, 0, 0, 0, 0, 0), 0);
  assert.equal(net.offloads.checksum, true);
  assert.equal(command(5, 0, 0, 1, 0, 0, 0, 0, 0, 0), 1, "TSO6 was not accepted");
});

Deno.test("commands that are not, or not whole, are answered by an error (5.1.6.5)", () => {
  const { command, core } = card();
  const wrong = [[9, 0], [0, 9, 1], [0, 0], [1, 0, 1, 0, 0, 0], [1, 0, 255, 255, 255, 255, 0], [
    1,
    1,
    2,
  ]];
  for (
    const bytes of [...wrong, [2, 0, 5], [2, 0, 0, 0x10], [2, 7, 1, 0], [4, 0, 1, 0], [5, 0, 1]]
  ) {
    assert.equal(command(...bytes), 1, bytes.join());
  }
  assert.equal(core.status & NEEDS_RESET, 0);
});

Deno.test("several queue pairs: each is served, and a flow is received where it is sent (5.1.6.5.5)", () => {
  const { room, send, net, command, drivers } = card({ features: [...USUAL, MQ], pairs: 2 });
  assert.equal(command(4, 0, 3, 0), 1, "there are two");
  assert.equal(command(4, 0, 2, 0), 0);
  const flow = (from: number, to: number) => {
    const frame = frameTo(MAC);
    frame.set([8, 0, 0x45], 12);
    frame.set([10, 0, 2, from, 10, 0, 2, to, 0, from, 0, to], 26);
    return frame;
  };
  send(NO_HEADER, flow(15, 2), 3);
  assert.deepEqual(net.fetch()?.bytes, flow(15, 2));
  room(DATA, 2000, 0);
  room(DATA + 0x1000, 2000, 2);
  net.receive(plain(flow(2, 15)));
  assert.equal(drivers[2].takeUsed().length, 1, "the second pair");
  net.receive(plain(flow(7, 15)));
  assert.equal(drivers[0].takeUsed().length, 1, "who has not sent anything: the first");
});

Deno.test("without MQ the control queue is the third, whatever pairs there are (5.1.2)", () => {
  const { command } = card({ features: USUAL, pairs: 4 });
  assert.equal(command(0, 0, 0), 0);
});

Deno.test("a cable pulled out: what is sent is lost, nothing is received", () => {
  const { room, send, net, drivers } = card();
  net.setLink(false, Unplugged.end);
  send(NO_HEADER, frameTo(OTHER));
  assert.equal(net.fetch(), LOST);
  assert.equal(drivers[1].takeUsed().length, 1);
  room(DATA + 0x1000, 2000);
  assert.ok(net.receive(plain(frameTo(MAC))));
  assert.equal(drivers[0].takeUsed().length, 0);
});

Deno.test("a reset forgets what the driver has set", () => {
  const { net, command, core } = card();
  command(0, 0, 0);
  command(1, 1, ...OTHER);
  core.status = 0;
  assert.equal(core.status, 0);
  assert.deepEqual([...net.config.subarray(0, 6)], [...MAC]);
  assert.deepEqual(net.offloads, { checksum: false, tcp4: false, tcp6: false });
  assert.ok(net.receive(plain(frameTo(MAC))), "nobody is there: lost");
});

/** An end that takes so many frames, and has nothing to give. */
const taking = (room: number): NetworkEnd => ({
  offloads: ALL_OFFLOADS,
  send: () => room-- > 0,
  serve: () => Infinity,
  [Symbol.dispose]: () => {},
});

Deno.test("a driver hears of what was sent although the next frame has to wait", () => {
  const { net, send, drivers, transport } = card();
  using link = new NetworkLink(net, taking(2));
  for (let i = 0; i < 5; i++) send(NO_HEADER, frameTo(OTHER));
  assert.equal(link.serve(0), Infinity);
  assert.equal(drivers[1].takeUsed().length, 3, "one of them is on its way");
  assert.equal(transport.take(1), 1);
});

Deno.test("a turn has an end although a driver adds frames as fast as they are lost", () => {
  const { net, memory, drivers: [, transmit], core } = card();
  using link = new NetworkLink(net, taking(Infinity));
  net.setLink(false, Unplugged.end);
  const buffer = { address: DATA, length: 72 };
  for (let i = 0; i < transmit.size; i++) transmit.add(buffer);
  // On another processor, the driver is as fast as the card.
  let left = 10_000;
  memory.onTouch = (offset) => {
    if (offset === transmit.used + 2 && left-- > 0) transmit.add(buffer);
  };
  assert.equal(link.serve(0), 0, "the next one is at once");
  assert.ok(left > 0 && core.queues[1].hasAvailable, "there is more");
});
