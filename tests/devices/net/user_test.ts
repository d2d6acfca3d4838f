/** The user network, packet by packet. */

import assert from "node:assert/strict";
import { ICMP, ICMPV6, UDP } from "../../../devices/net/user/ip.ts";
import {
  IPPROTO_ICMP,
  type Peer,
  SOCK_DGRAM,
  SOCK_STREAM,
  Socket,
} from "../../../hv/sys/net/socket.ts";
import { AF_INET, AF_INET6 } from "../../../hv/sys/net/socket_address.ts";
import { ALL_OFFLOADS } from "../../../hv/core/net/network.ts";
import { addToSum, checksumOf } from "../../../hv/core/net/checksum.ts";
import { seeded } from "../../support/random.ts";
import {
  DNS,
  GATEWAY,
  GATEWAY6,
  GUEST,
  GuestConnection,
  isSummedUp,
  MAC,
  UserGuest,
} from "./user_guest.ts";

const FIN = 1, SYN = 2, RST = 4, ACK = 16;
const LOOPBACK = Uint8Array.of(127, 0, 0, 1);
const LOOPBACK6 = new Uint8Array(16).fill(1, 15);

/** A socket of the host's on a port of its own. */
function hostSocket(type: number): { socket: Socket; port: number } {
  const socket = Socket.open(AF_INET, type);
  socket.bind({ address: LOOPBACK, port: 0 });
  if (type === SOCK_STREAM) socket.listen();
  return { socket, port: socket.localAddress()!.port };
}

/** A port at which nobody listens: somebody has it, so that nobody else is given it. */
function closedPort(): { socket: Socket; port: number } {
  const socket = Socket.open(AF_INET, SOCK_STREAM);
  socket.bind({ address: LOOPBACK, port: 0 });
  return { socket, port: socket.localAddress()!.port };
}

const bytesOf = (length: number) => Uint8Array.from({ length }, (_, i) => i * 7 + (i >> 8));

Deno.test("ARP finds the gateway and the name server, and nobody else (RFC 826)", () => {
  using guest = new UserGuest();
  const ask = (target: Uint8Array) => {
    const frame = new Uint8Array(60);
    frame.set([255, 255, 255, 255, 255, 255, ...MAC, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.set([...MAC, ...GUEST, 0, 0, 0, 0, 0, 0, ...target], 22);
    guest.card.queue(frame);
    const before = guest.card.received.length;
    guest.turn();
    return guest.card.received[before]?.bytes;
  };
  const reply = ask(GATEWAY);
  assert.deepEqual([...reply.subarray(20, 22)], [0, 2]);
  assert.deepEqual(reply.subarray(28, 32), GATEWAY);
  assert.deepEqual(reply.subarray(0, 6), MAC);
  assert.ok(ask(DNS));
  assert.equal(ask(GUEST), undefined);
  assert.equal(ask(Uint8Array.of(10, 0, 2, 77)), undefined);
});

/** What DHCP answers to a message of type `type`: message type, address, options. */
function dhcp(guest: UserGuest, type: number, options: readonly number[] = [], mac = MAC) {
  const message = new Uint8Array(300);
  message.set([1, 1, 6, 0, 0xaa, 0xbb, 0xcc, 0xdd]);
  message.set(mac, 28);
  message.set([0x63, 0x82, 0x53, 0x63, 53, 1, type, ...options, 255], 236);
  const payload = new Uint8Array(308);
  payload.set([0, 68, 0, 67, 1, 52]);
  payload.set(message, 8);
  const header = {
    source: new Uint8Array(4),
    destination: new Uint8Array(4).fill(255),
    protocol: UDP,
    mac: new Uint8Array(6).fill(255),
  };
  guest.writer.payload(header.destination).set(payload);
  guest.writer.sum(header, payload.length, 6);
  const frame = guest.writer.finish(header, payload.length).slice();
  frame.set(mac, 6);
  guest.card.queue(frame);
  const before = guest.packets.length;
  guest.turn();
  const answer = guest.packets[before];
  if (answer === undefined) return undefined;
  assert.ok(isSummedUp(answer));
  const reply = answer.payload.subarray(8);
  assert.deepEqual([...reply.subarray(4, 8)], [0xaa, 0xbb, 0xcc, 0xdd], "xid");
  const found = new Map<number, number[]>();
  for (let at = 240; reply[at] !== 255; at += 2 + reply[at + 1]) {
    found.set(reply[at], [...reply.subarray(at + 2, at + 2 + reply[at + 1])]);
  }
  return { type: found.get(53)![0], address: [...reply.subarray(16, 20)], options: found };
}

Deno.test("DHCP gives the guest 10.0.2.15, the gateway and the name server (RFC 2131, 3.1)", () => {
  using guest = new UserGuest({ dns: LOOPBACK });
  const offer = dhcp(guest, 1)!;
  assert.deepEqual([offer.type, offer.address], [2, [10, 0, 2, 15]]);
  const ack = dhcp(guest, 3, [50, 4, 10, 0, 2, 15, 54, 4, 10, 0, 2, 2])!;
  assert.deepEqual([ack.type, ack.address], [5, [10, 0, 2, 15]]);
  assert.deepEqual(ack.options.get(1), [255, 255, 255, 0]);
  assert.deepEqual(ack.options.get(3), [10, 0, 2, 2]);
  assert.deepEqual(ack.options.get(6), [10, 0, 2, 3]);
  assert.equal(dhcp(guest, 3, [50, 4, 10, 0, 2, 99])!.type, 6, "another address: NAK");
  assert.equal(dhcp(guest, 3, [50, 4, 10, 0, 2, 15, 54, 4, 10, 0, 2, 9]), undefined, "not for us");
  const second = Uint8Array.of(2, 0, 0, 0, 0, 2);
  assert.deepEqual(dhcp(guest, 1, [], second)!.address, [10, 0, 2, 16]);
});

Deno.test("DHCP has addresses for sixteen cards and no more", () => {
  using guest = new UserGuest();
  for (let i = 0; i < 16; i++) assert.ok(dhcp(guest, 1, [], Uint8Array.of(2, 0, 0, 0, 1, i)));
  assert.equal(dhcp(guest, 1, [], Uint8Array.of(2, 0, 0, 0, 1, 16)), undefined);
});

Deno.test("IPv6 has its router's advertisement and its neighbours (RFC 4861, 4.2, 4.4)", () => {
  using guest = new UserGuest({ dns: LOOPBACK });
  guest.send(GATEWAY6, ICMPV6, Uint8Array.of(133, 0, 0, 0, 0, 0, 0, 0), 2);
  guest.turn();
  const [ra] = guest.packets;
  assert.equal(ra.payload[0], 134);
  assert.ok(isSummedUp(ra));
  assert.equal(ra.whole[7], 255, "hop limit");
  assert.deepEqual(
    [...ra.payload.subarray(24, 28)],
    [3, 4, 64, 0xc0],
    "prefix: on link, autonomous",
  );
  assert.deepEqual(ra.payload.subarray(40, 48), GATEWAY6.subarray(0, 8));
  assert.deepEqual([...ra.payload.subarray(56, 58)], [25, 3], "name server (RFC 8106)");
  guest.send(GATEWAY6, ICMPV6, Uint8Array.of(135, 0, 0, 0, 0, 0, 0, 0, ...GATEWAY6), 2);
  guest.turn();
  const na = guest.packets[1];
  assert.equal(na.payload[0], 136);
  assert.deepEqual(na.payload.subarray(8, 24), GATEWAY6);
  guest.send(GATEWAY6, ICMPV6, Uint8Array.of(128, 0, 0, 0, 0, 7, 0, 1, 9), 2);
  guest.turn();
  assert.deepEqual([...guest.packets[2].payload.subarray(4)], [0, 7, 0, 1, 9], "echo");
});

Deno.test("the gateway answers pings (RFC 792)", () => {
  using guest = new UserGuest();
  guest.ping(GATEWAY, 7);
  guest.turn();
  const [{ payload, protocol }] = guest.packets;
  assert.deepEqual([protocol, payload[0], payload[5]], [ICMP, 0, 7]);
  assert.equal(checksumOf(addToSum(payload, 0, payload.length)), 0);
});

/** An address of this host's that is not its loopback, and why it cannot be pinged; "": it can. */
function pingable(): { address: Uint8Array; why: string } {
  const found = Deno.networkInterfaces().find(({ family, address }) =>
    family === "IPv4" && !address.startsWith("127.")
  );
  if (found === undefined) return { address: LOOPBACK, why: "this host has no network" };
  const address = Uint8Array.from(found.address.split(".").map(Number));
  try {
    Socket.open(AF_INET, SOCK_DGRAM, IPPROTO_ICMP)[Symbol.dispose]();
    return { address, why: "" };
  } catch (error) {
    return { address, why: `net.ipv4.ping_group_range: ${(error as Error).message}` };
  }
}

const ping = pingable();

Deno.test({
  name: `a ping to another host goes out by a ping socket, and its answer comes back${
    ping.why && `; skipped: ${ping.why}`
  }`,
  ignore: ping.why !== "",
  fn() {
    using guest = new UserGuest();
    guest.ping(ping.address, 0x1234);
    const reply = guest.until(() => guest.packets.find(({ protocol }) => protocol === ICMP));
    assert.deepEqual(reply.source, ping.address);
    assert.deepEqual([...reply.payload.subarray(4)], [0x12, 0x34, 0, 1, 1, 2, 3, 4]);
    assert.equal(checksumOf(addToSum(reply.payload, 0, reply.payload.length)), 0);
    assert.equal(guest.end.flows.echo, 1);
    guest.now += 60e9;
    guest.turn();
    assert.equal(guest.end.flows.echo, 0, "idle, it is forgotten");
  },
});

Deno.test({
  name: `a turn takes 64 of the answers to a flood of pings${ping.why && `; skipped: ${ping.why}`}`,
  ignore: ping.why !== "",
  fn() {
    using guest = new UserGuest();
    for (let i = 0; i < 150; i++) guest.ping(ping.address, 0x1234);
    framesByTurns(guest, 150, 64);
    assert.equal(guest.end.flows.echo, 1);
  },
});

Deno.test("where pings may not be sent, the guest is told that they are prohibited (RFC 792)", () => {
  using guest = new UserGuest({ restrict: true });
  guest.ping(Uint8Array.of(198, 51, 100, 1), 1);
  guest.turn();
  assert.deepEqual([...guest.packets[0].payload.subarray(0, 2)], [3, 13]);
});

Deno.test("a connection to the gateway is one to the host's loopback: bytes and ends both ways", () => {
  using guest = new UserGuest();
  const { socket, port } = hostSocket(SOCK_STREAM);
  using _socket = socket;
  const tcp = new GuestConnection(guest, 1025, GATEWAY, port).connect();
  const accepted = guest.until(() => socket.accept(), "the connection");
  using host = accepted.socket;
  assert.deepEqual([...accepted.peer!.address], [127, 0, 0, 1]);
  tcp.send(ACK, Uint8Array.of(1, 2, 3));
  const into = new Uint8Array(10);
  assert.equal(guest.until(() => Math.max(0, host.receive(into)) || undefined), 3);
  host.send(Uint8Array.of(4, 5, 6, 7));
  guest.until(() => (tcp.take(), tcp.data.length === 4));
  assert.deepEqual(tcp.data, [4, 5, 6, 7]);
  tcp.send(FIN | ACK);
  tcp.sequence++;
  guest.until(() => host.receive(into) === 0, "the guest's end");
  host.send(Uint8Array.of(8));
  host.endSending();
  guest.until(() => (tcp.take(), tcp.hasEnded));
  assert.deepEqual(tcp.data, [4, 5, 6, 7, 8], "half closed, the other half still carries");
  guest.until(() => guest.end.flows.tcp === 0, "the connection's end");
});

Deno.test("a megabyte reaches the guest whole, whatever windows and losses there are", () => {
  seeded((random) => {
    using guest = new UserGuest();
    const { socket, port } = hostSocket(SOCK_STREAM);
    using _socket = socket;
    const tcp = new GuestConnection(guest, 1026, GATEWAY, port).connect();
    using host = guest.until(() => socket.accept()).socket;
    const data = bytesOf(1 << 20);
    let sent = 0;
    const deadline = performance.now() + 300_000;
    while (tcp.data.length < data.length) {
      assert.ok(performance.now() < deadline, `${tcp.data.length} bytes have come`);
      if (sent < data.length) sent += Math.max(0, host.send(data.subarray(sent, sent + 50_000)));
      guest.card.room = random.below(20);
      tcp.window = random.pick([0, 1, 500, 20_000, 65_535]);
      guest.turn();
      // The guest loses some, and time passes for the timers.
      if (random.chance(5)) guest.card.received.splice(-1);
      if (random.chance(20)) guest.now += 2e9;
      tcp.take();
      if (guest.card.received.length > 500) {
        guest.card.received.length = 0;
        tcp.forget();
      }
    }
    assert.deepEqual(Uint8Array.from(tcp.data), data);
    guest.card.room = Infinity;
  });
});

Deno.test("a guest that keeps its window closed and answers is waited for (RFC 9293, 3.8.6.1)", () => {
  using guest = new UserGuest();
  const { socket, port } = hostSocket(SOCK_STREAM);
  using _socket = socket;
  const tcp = new GuestConnection(guest, 1031, GATEWAY, port);
  tcp.window = 0;
  tcp.connect();
  using host = guest.until(() => socket.accept()).socket;
  host.send(bytesOf(100));
  for (let probe = 0; probe < 40; probe++) {
    const before = guest.segments(tcp.port).length;
    guest.now += 31e9;
    guest.until(
      () => guest.segments(tcp.port).length > before || (guest.now += 31e9, false),
      "a probe",
    );
    assert.equal(guest.segments(tcp.port).at(-1)!.data.length, 1);
    tcp.send(ACK);
    guest.turn();
  }
  tcp.forget();
  guest.card.received.length = 0;
  tcp.window = 1000;
  tcp.send(ACK);
  guest.until(() => {
    guest.now += 1e9;
    tcp.take();
    return tcp.data.length === 100;
  });
  assert.deepEqual(Uint8Array.from(tcp.data), bytesOf(100));
});

Deno.test("a guest that takes TCP uncut gets as many whole segments in a frame as it can hold", () => {
  for (
    const [peer, host, mss] of [[GATEWAY, LOOPBACK, 1460], [GATEWAY6, LOOPBACK6, 1440]] as const
  ) {
    using guest = new UserGuest();
    using socket = Socket.open(peer === GATEWAY ? AF_INET : AF_INET6, SOCK_STREAM);
    socket.bind({ address: host, port: 0 });
    socket.listen();
    const { port } = socket.localAddress()!;
    const tcp = new GuestConnection(guest, 1026, peer, port).connect([2, 4, 5, 180, 1, 3, 3, 14]);
    guest.card.offloads = ALL_OFFLOADS;
    using sender = guest.until(() => socket.accept()).socket;
    const data = new Uint8Array(1 << 20);
    const most = Math.floor(65_480 / mss) * mss;
    const headers = peer === GATEWAY ? 54 : 74;
    guest.until(() => {
      sender.send(data);
      guest.card.received.length = 0;
      guest.turn();
      let isFull = false;
      for (const { bytes, offload } of guest.card.received) {
        const length = bytes.length - headers;
        assert.ok(length <= most, `${length} bytes in one frame`);
        assert.equal(offload.segmentBytes, length > mss ? mss : 0);
        tcp.acknowledged = (tcp.acknowledged + length) >>> 0;
        if (length === most) isFull = true;
      }
      tcp.send(ACK);
      return isFull;
    }, `a frame of ${most} bytes`);
  }
});

/** Serves until `count` frames have come, of which no turn has brought more than `most`. */
function framesByTurns(guest: UserGuest, count: number, most: number): void {
  let before = guest.card.received.length;
  guest.until(() => {
    const { length } = guest.card.received;
    assert.ok(length - before <= most, `${length - before} frames in one turn`);
    before = length;
    return length >= count;
  }, `${count} frames`);
}

Deno.test("a turn gives the guest 256 frames, however small its segments are and wide its window", () => {
  using guest = new UserGuest();
  const { socket, port } = hostSocket(SOCK_STREAM);
  using _socket = socket;
  // Segments of 64 bytes, windows in units of 2^14 (RFC 9293, 3.2; RFC 7323, 2.2).
  const tcp = new GuestConnection(guest, 1026, GATEWAY, port).connect([2, 4, 0, 64, 1, 3, 3, 14]);
  using host = guest.until(() => socket.accept()).socket;
  const sent = host.send(bytesOf(100_000));
  assert.ok(sent >= 64_000, `the host's socket has taken ${sent} bytes`);
  framesByTurns(guest, Math.ceil(sent / 64), 256);
  guest.until(() => (tcp.take(), tcp.data.length === sent));
});

Deno.test("a turn takes 64 datagrams of a conversation, and the next ones take the others", () => {
  using guest = new UserGuest();
  const { socket, port } = hostSocket(SOCK_DGRAM);
  using _socket = socket;
  guest.udp(GATEWAY, 1027, port, Uint8Array.of(1));
  const into = new Uint8Array(10);
  const { from } = guest.until(() => {
    const datagram = socket.receiveFrom(into);
    return datagram.from !== undefined && datagram;
  });
  for (let i = 0; i < 150; i++) socket.sendTo(Uint8Array.of(i), from!);
  framesByTurns(guest, 150, 64);
  assert.deepEqual(
    guest.packets.map(({ payload }) => payload[8]),
    Array.from({ length: 150 }, (_, i) => i),
  );
});

Deno.test("what the host does not take yet stays within the window that the guest was told", () => {
  using guest = new UserGuest();
  const { socket, port } = hostSocket(SOCK_STREAM);
  using _socket = socket;
  const tcp = new GuestConnection(guest, 1027, GATEWAY, port).connect();
  using host = guest.until(() => socket.accept()).socket;
  const data = bytesOf(1000);
  let sent = 0;
  for (let turn = 0; turn < 20_000; turn++) {
    const last = guest.segments(tcp.port).at(-1)!;
    const inFlight = (tcp.sequence - last.acknowledged) | 0;
    if (inFlight + data.length > last.window) {
      if (inFlight === 0 && last.window < data.length) break;
    } else {
      tcp.send(ACK, data);
      sent += data.length;
    }
    guest.turn();
    guest.card.received.splice(0, guest.card.received.length - 1);
  }
  assert.ok(
    sent < 64 << 20 && guest.segments(tcp.port).at(-1)!.window < data.length,
    "the window closes",
  );
  const into = new Uint8Array(1 << 20);
  let got = 0;
  guest.until(() => {
    const count = host.receive(into);
    if (count > 0) got += count;
    return got === sent;
  }, "everything that was acknowledged");
  guest.until(() => guest.segments(tcp.port).at(-1)!.window > data.length, "a window that opens");
});

Deno.test("a port at which nobody listens refuses (RFC 9293, 3.10.7.1)", () => {
  for (const destination of [GATEWAY, GATEWAY6]) {
    using guest = new UserGuest();
    const closed = closedPort();
    using _holder = closed.socket;
    guest.tcp(destination, { from: 1028, to: closed.port, sequence: 77, flags: SYN });
    const [segment] = guest.until(() => {
      const found = guest.segments(1028);
      return found.length > 0 && found;
    });
    assert.equal(segment.flags, RST | ACK);
    assert.equal(segment.acknowledged, 78);
    assert.equal(guest.end.flows.tcp, 0);
  }
});

Deno.test("a segment of no connection is answered by a reset, and a reset by nothing", () => {
  using guest = new UserGuest();
  guest.tcp(GATEWAY, { from: 1029, to: 80, sequence: 1, acknowledged: 4711, flags: ACK });
  guest.tcp(GATEWAY, { from: 1030, to: 80, sequence: 1, flags: RST });
  guest.turn();
  assert.deepEqual(guest.segments(1029).map(({ flags, sequence }) => [flags, sequence]), [[
    RST,
    4711,
  ]]);
  assert.deepEqual(guest.segments(1030), []);
});

Deno.test("the host's loopback is reached by the gateway's address alone, and by none with restrict", () => {
  const { socket, port } = hostSocket(SOCK_STREAM);
  using _socket = socket;
  const addresses6 = ["0000000000000000000000000000000001", "00000000000000000000ffff7f000001"]
    .map((hex) => Uint8Array.from(hex.slice(-32).match(/../g)!, (byte) => parseInt(byte, 16)));
  const others = [
    ...[LOOPBACK, Uint8Array.of(127, 9, 9, 9), new Uint8Array(4), DNS, Uint8Array.of(10, 0, 2, 9)],
    ...[Uint8Array.of(224, 0, 0, 1), Uint8Array.of(255, 255, 255, 255), ...addresses6],
  ];
  const refused = (guest: UserGuest, destination: Uint8Array, from: number) => {
    guest.tcp(destination, { from, to: port, sequence: 1, flags: SYN });
    guest.turn();
    assert.equal(guest.end.flows.tcp, 0, `${destination} was reached`);
    assert.equal(guest.segments(from)[0].flags, RST | ACK);
  };
  using guest = new UserGuest({ dns: LOOPBACK });
  for (const [i, destination] of others.entries()) refused(guest, destination, 2000 + i);
  using restricted = new UserGuest({ restrict: true, dns: LOOPBACK });
  const all = [...others, GATEWAY, GATEWAY6, Uint8Array.of(198, 51, 100, 1)];
  for (const [i, destination] of all.entries()) refused(restricted, destination, 3000 + i);
  restricted.udp(GATEWAY, 5, 53, Uint8Array.of(1));
  restricted.udp(DNS, 5, 53, Uint8Array.of(1));
  restricted.turn();
  assert.equal(restricted.end.flows.udp, 0);
  assert.equal(socket.accept(), undefined, "nobody has connected");
});

Deno.test("a port of the host's leads to the guest, who sees the gateway", () => {
  const { socket, port } = hostSocket(SOCK_STREAM);
  const client = Socket.open(AF_INET, SOCK_STREAM);
  {
    const forward = { protocol: "tcp", fd: socket.fd, guestPort: 80 } as const;
    using guest = new UserGuest({ forwards: [forward], restrict: true });
    client.connect({ address: LOOPBACK, port });
    const syn = guest.until(() => guest.segments(80)[0], "SYN");
    assert.equal(syn.flags, SYN);
    assert.deepEqual(guest.packets[0].source, GATEWAY);
    const tcp = new GuestConnection(guest, 80, GATEWAY, syn.sourcePort);
    tcp.acknowledged = (syn.sequence + 1) >>> 0;
    tcp.send(SYN | ACK, undefined, [2, 4, 5, 180]);
    tcp.sequence++;
    client.send(Uint8Array.of(1, 2, 3));
    guest.until(() => (tcp.take(), tcp.data.length === 3));
    tcp.send(ACK, Uint8Array.of(9));
    const into = new Uint8Array(4);
    guest.until(() => client.receive(into) === 1);
    assert.equal(into[0], 9);
    // The guest resets: the host's client learns it.
    tcp.send(RST);
    guest.until(() => client.receive(into) <= 0 && guest.end.flows.tcp === 0);
  }
  client[Symbol.dispose]();
  socket[Symbol.dispose]();
});

Deno.test("a guest that refuses a forward ends the host's connection; one that is silent is given up", () => {
  const { socket, port } = hostSocket(SOCK_STREAM);
  const clients = [0, 1].map(() => Socket.open(AF_INET, SOCK_STREAM));
  {
    const forward = { protocol: "tcp", fd: socket.fd, guestPort: 81 } as const;
    using guest = new UserGuest({ forwards: [forward] });
    for (const client of clients) client.connect({ address: LOOPBACK, port });
    const syns = guest.until(() => {
      const found = guest.segments(81);
      return found.length === 2 && found;
    });
    guest.tcp(GATEWAY, {
      ...{ from: 81, to: syns[0].sourcePort, sequence: 0, acknowledged: syns[0].sequence + 1 },
      flags: RST | ACK,
    });
    guest.until(() => guest.end.flows.tcp === 1);
    for (let i = 0; i < 12; i++) {
      guest.now += 60e9;
      guest.turn();
    }
    assert.equal(guest.end.flows.tcp, 0);
    assert.ok(
      guest.segments(81).filter(({ flags }) => flags === SYN).length > 5,
      "it was tried again",
    );
  }
  for (const client of clients) client[Symbol.dispose]();
  socket[Symbol.dispose]();
});

Deno.test("what a guest still knows of an earlier forward is reset, and the SYN comes again (RFC 9293, 3.10.7.3)", () => {
  const { socket, port } = hostSocket(SOCK_STREAM);
  const client = Socket.open(AF_INET, SOCK_STREAM);
  {
    const forward = { protocol: "tcp", fd: socket.fd, guestPort: 80 } as const;
    using guest = new UserGuest({ forwards: [forward] });
    client.connect({ address: LOOPBACK, port });
    const syn = guest.until(() => guest.segments(80)[0], "SYN");
    // As Linux answers in TIME-WAIT: with what it has last acknowledged.
    const last = (syn.sequence + 0x1234_5678) >>> 0;
    guest.tcp(GATEWAY, {
      ...{ from: 80, to: syn.sourcePort, sequence: 77, acknowledged: last },
      flags: ACK,
    });
    const reset = guest.until(() => guest.segments(80).find(({ flags }) => (flags & RST) !== 0));
    assert.deepEqual([reset.flags, reset.sequence], [RST, last]);
    assert.equal(guest.end.flows.tcp, 1, "ours goes on");
    guest.now += 60e9;
    const again = guest.until(() => guest.segments(80).filter(({ flags }) => flags === SYN)[1]);
    assert.equal(again.sequence, syn.sequence);
  }
  client[Symbol.dispose]();
  socket[Symbol.dispose]();
});

/** A datagram that the guest has received. */
function datagrams(guest: UserGuest, port: number) {
  return guest.packets.filter(({ protocol, payload, fragment }) =>
    protocol === UDP && fragment === undefined && (payload[2] << 8 | payload[3]) === port
  );
}

Deno.test("datagrams go to the host and back, long ones in fragments both ways (RFC 791, 3.2)", () => {
  using guest = new UserGuest();
  const { socket, port } = hostSocket(SOCK_DGRAM);
  using _socket = socket;
  const into = new Uint8Array(65_536);
  for (const length of [0, 1, 1472, 5000, 20_000]) {
    const data = bytesOf(length);
    guest.udp(GATEWAY, 1100, port, data);
    const { from } = guest.until(() => {
      const got = socket.receiveFrom(into);
      return got.from !== undefined && got.length === length && got as { from: Peer };
    }, `a datagram of ${length} bytes`);
    assert.deepEqual(into.subarray(0, length), data);
    guest.card.received.length = 0;
    socket.sendTo(data, from);
    const parts = guest.until(() => {
      const udp = guest.packets.filter(({ protocol }) => protocol === UDP);
      const total = udp.reduce((sum, { payload }) => sum + payload.length, 0);
      return total === length + 8 && udp;
    });
    const whole = new Uint8Array(length + 8);
    for (const { payload, fragment } of parts) whole.set(payload, fragment?.offset ?? 0);
    assert.deepEqual(whole.subarray(8), data);
  }
  assert.equal(guest.end.flows.udp, 1);
  guest.now += 200e9;
  guest.turn();
  assert.equal(guest.end.flows.udp, 0, "idle, it is forgotten");
});

Deno.test("a datagram to a closed port comes back as unreachable (RFC 792)", () => {
  using guest = new UserGuest();
  const { socket, port } = hostSocket(SOCK_DGRAM);
  socket[Symbol.dispose]();
  guest.udp(GATEWAY, 1101, port, Uint8Array.of(1));
  const message = guest.until(() => guest.packets.find(({ protocol }) => protocol === ICMP));
  assert.deepEqual([message.payload[0], message.payload[1]], [3, 3]);
  assert.equal(checksumOf(addToSum(message.payload, 0, message.payload.length)), 0);
  assert.deepEqual([...message.payload.subarray(28, 32)], [
    1101 >> 8,
    1101 & 255,
    port >> 8,
    port & 255,
  ]);
});

Deno.test("the name server is the host's, and only that (DNS by UDP)", () => {
  using guest = new UserGuest({ dns: undefined });
  guest.udp(DNS, 1102, 53, Uint8Array.of(1));
  guest.udp(DNS, 1102, 123, Uint8Array.of(1));
  guest.turn();
  assert.equal(guest.end.flows.udp, 0, "the host has none");
  assert.equal(guest.packets.filter(({ protocol }) => protocol === ICMP).length, 2);
});

Deno.test("a UDP port of the host's leads to the guest, and its answer back", () => {
  const { socket, port } = hostSocket(SOCK_DGRAM);
  const client = hostSocket(SOCK_DGRAM);
  {
    const forward = { protocol: "udp", fd: socket.fd, guestPort: 53 } as const;
    using guest = new UserGuest({ forwards: [forward] });
    client.socket.sendTo(Uint8Array.of(1, 2), { address: LOOPBACK, port });
    const packet = guest.until(() => datagrams(guest, 53)[0]);
    assert.deepEqual(packet.source, GATEWAY);
    assert.deepEqual([...packet.payload.subarray(8)], [1, 2]);
    guest.udp(GATEWAY, 53, packet.payload[0] << 8 | packet.payload[1], Uint8Array.of(3));
    const into = new Uint8Array(4);
    const { from } = guest.until(() => {
      const got = client.socket.receiveFrom(into);
      return got.length === 1 && got;
    });
    assert.equal(from!.port, port);
  }
  client.socket[Symbol.dispose]();
  socket[Symbol.dispose]();
});

Deno.test("a guest that opens connections without end gets as many as there may be", () => {
  using guest = new UserGuest();
  const { socket, port } = hostSocket(SOCK_STREAM);
  using _socket = socket;
  for (let from = 2000; from < 3000; from++) {
    guest.tcp(GATEWAY, { from, to: port, sequence: 1, flags: SYN });
    guest.udp(GATEWAY, from, port, Uint8Array.of(1));
    guest.turn();
    const accepted = socket.accept();
    accepted?.socket[Symbol.dispose]();
  }
  assert.ok(
    guest.end.flows.tcp <= 400 && guest.end.flows.udp <= 200,
    JSON.stringify(guest.end.flows),
  );
});

Deno.test("a source that is not of the network is not answered", () => {
  using guest = new UserGuest();
  guest.ping(GATEWAY, 1);
  guest.turn();
  assert.equal(guest.card.received.length, 1);
  guest.ping(GATEWAY, 2);
  const { bytes } = guest.card.toSend[0];
  bytes.set([8, 8, 8, 8], 26);
  bytes.set([0, 0], 24);
  const sum = checksumOf(addToSum(bytes, 14, 34));
  bytes.set([sum >> 8, sum & 255], 24);
  guest.turn();
  assert.equal(guest.card.received.length, 1);
});

Deno.test("hostile frames: no exception, bounded memory, nothing reached that may not be", () => {
  seeded((random) => {
    const { socket, port } = hostSocket(SOCK_STREAM);
    const udp = hostSocket(SOCK_DGRAM);
    {
      // Whatever the addresses become, nothing leaves this host.
      using isolated = new UserGuest({ restrict: true });
      using open = new UserGuest();
      for (let i = 0; i < 30_000; i++) {
        const guest = random.chance(50) ? isolated : open;
        const from = 1000 + random.below(30);
        const to = random.pick([GATEWAY, GATEWAY6]);
        const data = new Uint8Array(random.below(random.chance(5) ? 4000 : 60));
        switch (random.below(5)) {
          case 0:
            guest.udp(to === GATEWAY6 && data.length > 1400 ? GATEWAY : to, from, udp.port, data);
            break;
          case 1:
            guest.ping(GATEWAY, from);
            break;
          default: {
            const known = guest.segments(from).at(-1);
            guest.tcp(to, {
              ...{ from, to: port, data: data.subarray(0, 1400) },
              sequence: random.chance(60) ? known?.acknowledged ?? 1 : random.u32(),
              acknowledged: random.chance(60) ? known?.sequence ?? 1 : random.u32(),
              flags: random.chance(70) ? random.pick([SYN, ACK, ACK | FIN, RST]) : random.below(64),
              window: random.below(65_536),
              options: random.chance(30)
                ? [2, 4, random.below(256), 1, random.below(9), random.below(9), 3, 0]
                : [],
            });
          }
        }
        for (const { bytes } of guest.card.toSend) {
          if (random.chance(40)) mutate(bytes, guest === isolated, random);
        }
        if (random.chance(10)) guest.card.room = random.below(4);
        if (random.chance(10)) guest.card.room = Infinity;
        if (random.chance(5)) guest.now += random.below(100) * 1e9;
        guest.turn();
        guest.card.received.splice(0, Math.max(0, guest.card.received.length - 40));
        socket.accept()?.socket[Symbol.dispose]();
        udp.socket.receive(data);
        const { tcp, udp: datagramFlows, echo } = guest.end.flows;
        assert.ok(tcp <= 400 && datagramFlows <= 200 && echo <= 32);
        if (guest === isolated) assert.equal(tcp + datagramFlows + echo, 0);
      }
    }
    udp.socket[Symbol.dispose]();
    socket[Symbol.dispose]();
  });
});

/** Changes, cuts off or lengthens a frame; where it could leave the host, not its addresses and ports. */
function mutate(
  bytes: Uint8Array,
  isIsolated: boolean,
  random: Parameters<Parameters<typeof seeded>[0]>[0],
): void {
  const isIpv4 = bytes[12] === 8;
  const fixed = isIpv4 ? [26, 38] : [20, 58];
  for (let n = 1 + random.below(6); n > 0; n--) {
    const at = random.below(bytes.length);
    if (!isIsolated && ((at >= fixed[0] && at < fixed[1]) || at === 14)) continue;
    bytes[at] = random.u32();
  }
  if (!isIpv4) return;
  // Most of them with a header that is right, or they would all end there.
  if (random.chance(80)) {
    bytes.set([0, 0], 24);
    const sum = checksumOf(addToSum(bytes, 14, Math.min(bytes.length, 14 + (bytes[14] & 15) * 4)));
    bytes.set([sum >> 8, sum & 255], 24);
  }
}
