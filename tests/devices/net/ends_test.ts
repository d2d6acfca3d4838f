/** Host ends of networks: stream sockets, TAP interfaces, captures. */

import assert from "node:assert/strict";
import { NetworkLink } from "../../../devices/net/network_link.ts";
import { PcapEnd, pcapHeader } from "../../../devices/net/pcap_end.ts";
import { StreamEnd } from "../../../devices/net/stream_end.ts";
import { TapEnd } from "../../../devices/net/tap_end.ts";
import type { NetworkCard, NetworkEnd } from "../../../hv/core/net/network.ts";
import { NO_OFFLOADS } from "../../../hv/core/net/network.ts";
import { Descriptor } from "../../../hv/sys/descriptor.ts";
import { FileHandle } from "../../../hv/sys/file/file.ts";
import {
  IPPROTO_ICMP,
  SOCK_DGRAM,
  SOCK_STREAM,
  Socket,
  socketPair,
} from "../../../hv/sys/net/socket.ts";
import { AF_INET, AF_UNIX } from "../../../hv/sys/net/socket_address.ts";
import { openTap } from "../../../hv/sys/net/tap.ts";
import { DescriptorSet } from "../../../hv/sys/wait/descriptor_set.ts";
import { Scratch } from "../../support/hv_process.ts";
import { seeded } from "../../support/random.ts";
import { noTap, TAP } from "../../support/guest/tap.ts";
import { frameOf, TestCard } from "./card.ts";

/** A card and its end on a thread that serves it turn by turn. */
class Bench {
  readonly descriptors = new DescriptorSet();
  readonly warnings: string[] = [];
  readonly card = new TestCard();
  link: NetworkLink | undefined;
  /** Closed after the link has let go of them. */
  readonly owned: Disposable[] = [];
  connect(end: NetworkEnd): this {
    this.link = new NetworkLink(this.card, end);
    return this;
  }
  stream(fd: number, listens = false): this {
    const warn = (line: string) => this.warnings.push(line);
    return this.connect(
      new StreamEnd({ fd, listens, name: "x", descriptors: this.descriptors, warn }),
    );
  }
  /** Connects the card to a stream; gives the stream's other end. */
  pair(): Socket {
    const { ours, theirs } = socketPair();
    this.owned.push(ours, theirs);
    this.stream(ours.fd);
    const peer = new Socket(theirs.fd);
    peer.setNonBlocking();
    return peer;
  }
  /** Serves until `reached`; what never comes ends the test. */
  until(reached: () => boolean): void {
    const deadline = performance.now() + 60_000;
    for (;;) {
      this.link!.serve(performance.now() * 1e6);
      if (reached()) return;
      assert.ok(performance.now() < deadline, `nothing for a minute: ${this.warnings}`);
      this.descriptors.wait(1e6);
    }
  }
  [Symbol.dispose](): void {
    this.link?.[Symbol.dispose]();
    for (const one of this.owned) one[Symbol.dispose]();
    this.descriptors[Symbol.dispose]();
  }
}

/** A length of 32 bits and a frame. */
function message(bytes: Uint8Array, length = bytes.length): Uint8Array {
  const out = new Uint8Array(4 + bytes.length);
  new DataView(out.buffer).setUint32(0, length);
  out.set(bytes, 4);
  return out;
}

function receiveAll(socket: Socket, length: number, serve: () => void): Uint8Array {
  const out = new Uint8Array(length);
  const deadline = performance.now() + 60_000;
  for (let done = 0; done < length;) {
    serve();
    const count = socket.receive(out.subarray(done));
    if (count > 0) done += count;
    assert.ok(performance.now() < deadline, `${done} of ${length} bytes in a minute`);
  }
  return out;
}

Deno.test("a stream carries each frame with its length in front, 32 bits big-endian (QEMU, passt)", () => {
  using bench = new Bench();
  const peer = bench.pair();
  bench.card.queue(frameOf(1, 60));
  bench.card.queue(frameOf(2, 1514));
  const expected = [...message(frameOf(1, 60)), ...message(frameOf(2, 1514))];
  const got = receiveAll(peer, expected.length, () => bench.link!.serve(0));
  assert.deepEqual(got, Uint8Array.from(expected));
  assert.equal(bench.card.isUp, true);
  // Cut anywhere, the frames arrive whole.
  const sent = Uint8Array.from([...message(frameOf(3, 60)), ...message(frameOf(4, 9000))]);
  for (let at = 0; at < sent.length; at += 997) {
    peer.send(sent.subarray(at, at + 997));
    bench.link!.serve(0);
  }
  bench.until(() => bench.card.received.length === 2);
  assert.deepEqual(bench.card.received.map(({ bytes }) => [bytes[0], bytes.length]), [[3, 60], [
    4,
    9000,
  ]]);
});

Deno.test("a stream with many short frames gives the card 256 a turn, and all of them", () => {
  using bench = new Bench();
  const peer = bench.pair();
  const frames = 1500;
  const all = new Uint8Array(frames * 18);
  for (let i = 0; i < frames; i++) all.set(message(frameOf(i, 14)), i * 18);
  assert.equal(peer.send(all), all.length);
  let before = 0;
  bench.until(() => {
    const { length } = bench.card.received;
    assert.ok(length - before <= 256, `${length - before} in one turn`);
    before = length;
    return length === frames;
  });
  bench.card.received.forEach(({ bytes }, i) => assert.equal(bytes[13], i & 255));
});

Deno.test("a stream whose card has no room reads no more and loses nothing", () => {
  using bench = new Bench();
  const peer = bench.pair();
  bench.card.room = 3;
  for (let i = 0; i < 10; i++) peer.send(message(frameOf(i)));
  bench.until(() => bench.card.received.length === 3);
  bench.link!.serve(0);
  assert.equal(bench.card.received.length, 3);
  bench.card.room = Infinity;
  bench.until(() => bench.card.received.length === 10);
  assert.deepEqual(bench.card.received.map(({ bytes }) => bytes[0]), [
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
  ]);
});

Deno.test("a stream whose peer takes nothing holds the guest's frames back", () => {
  using bench = new Bench();
  const peer = bench.pair();
  const frames = 2000;
  for (let i = 0; i < frames; i++) bench.card.queue(frameOf(i, 1514));
  for (let i = 0; i < 20; i++) bench.link!.serve(0);
  assert.ok(bench.card.toSend.length > 0, "bounded buffers");
  const got = receiveAll(peer, frames * 1518, () => bench.link!.serve(0));
  for (let i = 0; i < frames; i++) assert.equal(got[i * 1518 + 4], i & 255, `frame ${i}`);
});

Deno.test("a length that no frame has ends the connection with a line for the user", () => {
  for (const length of [0, 13, 70_000, 0xffff_ffff]) {
    using bench = new Bench();
    const peer = bench.pair();
    peer.send(message(frameOf(0), length));
    bench.until(() => bench.card.isUp === false);
    assert.match(bench.warnings[0], new RegExp(`a frame of ${length} bytes`));
    assert.equal(bench.card.received.length, 0);
  }
});

Deno.test("hostile bytes from a stream's peer neither throw nor reach the card as no frames", () => {
  seeded((random) => {
    for (let i = 0; i < 50; i++) {
      using bench = new Bench();
      const peer = bench.pair();
      for (let n = 0; n < 20; n++) {
        const bytes = frameOf(n, random.below(3000));
        peer.send(random.chance(90) ? message(bytes) : bytes);
        bench.link!.serve(0);
      }
      for (const { bytes } of bench.card.received) assert.ok(bytes.length >= 14);
    }
  });
});

Deno.test("a listening stream has its link up while somebody is there, one at a time", () => {
  using scratch = new Scratch();
  using bench = new Bench();
  const path = `${scratch.path}/net`;
  const listener = Socket.open(AF_UNIX, SOCK_STREAM);
  bench.owned.push(listener);
  listener.bind({ path });
  listener.listen();
  bench.stream(listener.fd, true);
  bench.until(() => bench.card.isUp === false);
  const connect = () => {
    const socket = Socket.open(AF_UNIX, SOCK_STREAM);
    assert.equal(socket.connect({ path }), 0);
    return socket;
  };
  {
    using peer = connect();
    bench.until(() => bench.card.isUp === true);
    peer.send(message(frameOf(7)));
    bench.until(() => bench.card.received.length === 1);
    using second = connect();
    const into = new Uint8Array(1);
    bench.until(() => second.receive(into) === 0);
  }
  bench.until(() => bench.card.isUp === false);
  using _third = connect();
  bench.until(() => bench.card.isUp === true);
});

Deno.test("a capture has what went both ways, as Wireshark reads it (pcap 2.4, nanoseconds)", () => {
  using scratch = new Scratch();
  const path = scratch.file("x.pcap", 0);
  using file = FileHandle.open(path, { write: true });
  file.write(pcapHeader(), 0);
  const card = new TestCard();
  const incoming = { bytes: frameOf(9, 70), offload: { ...NO } };
  const end: NetworkEnd = {
    offloads: NO_OFFLOADS,
    send: () => true,
    serve: (card: NetworkCard) => (card.receive(incoming), Infinity),
    [Symbol.dispose]() {},
  };
  const link = new NetworkLink(card, new PcapEnd(end, file, assert.fail));
  card.queue(frameOf(8, 60));
  link.serve(0);
  const bytes = Deno.readFileSync(path);
  const view = new DataView(bytes.buffer);
  assert.equal(view.getUint32(0, true), 0xa1b23c4d);
  assert.equal(view.getUint32(20, true), 1, "Ethernet");
  assert.equal(bytes.length, 24 + 16 + 60 + 16 + 70);
  assert.deepEqual([view.getUint32(24 + 8, true), bytes[24 + 16]], [60, 8]);
  assert.deepEqual([view.getUint32(24 + 76 + 8, true), bytes[24 + 76 + 16]], [70, 9]);
});
const NO = {
  needsChecksum: false,
  checksumStart: 0,
  checksumOffset: 0,
  isValid: false,
  segmentBytes: 0,
  headerBytes: 0,
};

Deno.test({
  name: `a TAP interface carries frames both ways${noTap && `; skipped: ${noTap}`}`,
  ignore: noTap !== "",
  fn() {
    using bench = new Bench();
    const { name, address } = TAP;
    const fd = openTap(name);
    try {
      const up = new Deno.Command("ip", { args: ["link", "set", name, "up"] }).outputSync();
      assert.ok(up.success, new TextDecoder().decode(up.stderr));
      bench.connect(new TapEnd(fd, bench.descriptors));
      const network = `${address(1).join(".")}/30`;
      const args = ["addr", "add", network, "dev", name];
      assert.ok(new Deno.Command("ip", { args }).outputSync().success);
      // An ARP request from the guest: the host answers (RFC 826).
      const request = new Uint8Array(60);
      request.set([255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 5, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
      request.set([2, 0, 0, 0, 0, 5, ...address(2), 0, 0, 0, 0, 0, 0, ...address(1)], 22);
      bench.card.queue(request);
      const isReply = (bytes: Uint8Array) =>
        bytes[12] === 8 && bytes[13] === 6 && bytes[21] === 2 &&
        bytes[31] === address(1)[3] && bytes[5] === 5;
      bench.until(() => bench.card.received.some(({ bytes }) => isReply(bytes)));
    } finally {
      bench.owned.push(new Descriptor(fd));
    }
  },
});

Deno.test("sockets give kernel errors as negative numbers, and no exception for would-block", () => {
  using socket = Socket.open(AF_INET, SOCK_DGRAM);
  socket.bind({ address: Uint8Array.of(127, 0, 0, 1), port: 0 });
  const { port, address } = socket.localAddress()!;
  assert.ok(port > 0);
  assert.deepEqual([...address], [127, 0, 0, 1]);
  assert.equal(socket.receive(new Uint8Array(8)), -11);
  assert.equal(socket.sendTo(Uint8Array.of(1, 2, 3), { address, port }), 3);
  const into = new Uint8Array(8);
  const { length, from } = socket.receiveFrom(into);
  assert.deepEqual([length, from?.port], [3, port]);
  assert.throws(() => Socket.open(AF_INET, SOCK_STREAM, IPPROTO_ICMP), /create a socket/);
  assert.throws(() => openTap("a name/of nothing"), /1 to 15 bytes/);
});
