import assert from "node:assert/strict";
import { VsockOp, VsockShutdown } from "../../../../devices/virtio/vsock/packet.ts";
import { seeded } from "../../../support/random.ts";
import { NEEDS_RESET } from "../support.ts";
import { FakeStream, GUEST_CID, vsock } from "./driver.ts";

const { REQUEST, RESPONSE, RST, SHUTDOWN, RW, CREDIT_UPDATE, CREDIT_REQUEST } = VsockOp;
/** Room for one connection, as the device says it. */
const ROOM = 128 * 1024;

const bytes = (length: number, from = 0) => Array.from({ length }, (_, i) => (from + i * 7) & 0xff);

Deno.test("the configuration space has the guest's address (5.10.4)", () => {
  const { core } = vsock();
  assert.equal(core.readConfig(0, 4), GUEST_CID);
  assert.equal(core.readConfig(4, 4), 0);
  assert.equal(core.deviceFeatures(0) & 1, 1, "VIRTIO_VSOCK_F_STREAM");
});

Deno.test("the guest connects to a port of the host, and data goes both ways (5.10.6.5)", () => {
  const { send, receive, connected } = vsock();
  const { stream, ...ports } = connected();
  send({ op: RW, ...ports, data: bytes(100) });
  assert.deepEqual(stream.output, bytes(100));
  stream.input = bytes(2500);
  stream.wake();
  const packets = receive();
  assert.deepEqual(packets.map(({ op, data }) => [op, data.length]), [
    [RW, 1024],
    [RW, 1024],
    [RW, 452],
  ]);
  assert.deepEqual(packets.flatMap(({ data }) => data), bytes(2500));
  assert.deepEqual(packets[0].forwarded, 100);
  assert.deepEqual(packets[0].bufferBytes, ROOM);
  assert.deepEqual([packets[0].hostPort, packets[0].guestPort, packets[0].type], [80, 1000, 1]);
});

Deno.test("nobody listens: RST", () => {
  const { send, receive, device } = vsock();
  send({ op: REQUEST, hostPort: 81, guestPort: 5 });
  const [{ op, hostPort, guestPort }] = receive();
  assert.deepEqual({ op, hostPort, guestPort }, { op: RST, hostPort: 81, guestPort: 5 });
  assert.equal(device.count, 0);
});

Deno.test("the host connects to a port of the guest, which accepts or refuses", () => {
  const { device, send, receive } = vsock();
  const stream = new FakeStream();
  assert.ok(device.openConnection(22, stream));
  const [request] = receive();
  assert.deepEqual([request.op, request.guestPort], [REQUEST, 22]);
  assert.equal(stream.acceptedPort, undefined);
  // What the program says before it is connected waits.
  stream.input = bytes(10);
  send({ op: RESPONSE, hostPort: request.hostPort, guestPort: 22 });
  assert.equal(stream.acceptedPort, request.hostPort);
  assert.deepEqual(receive().map(({ op, data }) => [op, data.length]), [[RW, 10]]);

  const refused = new FakeStream();
  device.openConnection(23, refused);
  const [second] = receive();
  assert.notEqual(second.hostPort, request.hostPort);
  send({ op: RST, hostPort: second.hostPort, guestPort: 23 });
  assert.ok(refused.closed);
  assert.equal(device.count, 1);
});

Deno.test("no more is sent than the guest has room for, and it is asked for more (5.10.6.3)", () => {
  const { send, receive, connected } = vsock();
  const { stream, ...ports } = connected(80, 1000, { bufferBytes: 1500 });
  stream.input = bytes(4000);
  stream.wake();
  assert.deepEqual(receive().map(({ op, data }) => [op, data.length]), [
    [RW, 1024],
    [RW, 476],
    [CREDIT_REQUEST, 0],
  ]);
  assert.deepEqual(receive(), []);
  assert.equal(stream.awaited.readable, false, "the host's loop is not kept busy");
  send({ op: CREDIT_UPDATE, ...ports, bufferBytes: 1500, forwarded: 1000 });
  assert.deepEqual(receive().map(({ op, data }) => [op, data.length]), [
    [RW, 1000],
    [CREDIT_REQUEST, 0],
  ]);
  // A guest that takes back what it has promised gets nothing.
  send({ op: CREDIT_UPDATE, ...ports, bufferBytes: 10, forwarded: 0 });
  assert.deepEqual(receive(), []);
  send({ op: CREDIT_UPDATE, ...ports, bufferBytes: 0xffff_ffff, forwarded: 2500 });
  assert.deepEqual(receive().flatMap(({ data }) => data), bytes(4000).slice(2500));
});

Deno.test("what the host does not take waits, within the room; the guest is told of new room", () => {
  const { send, receive, connected } = vsock();
  const { stream, ...ports } = connected();
  stream.room = 1000;
  for (let i = 0; i < 4; i++) send({ op: RW, ...ports, data: bytes(30_000, i) });
  assert.equal(stream.output.length, 1000);
  assert.equal(stream.awaited.writable, true);
  assert.deepEqual(receive(), []);
  stream.room = 50_000;
  stream.wake();
  assert.deepEqual(receive(), [], "there is still half of the room");
  stream.room = 40_000;
  stream.wake();
  const [update] = receive();
  assert.deepEqual([update.op, update.forwarded], [CREDIT_UPDATE, 91_000]);
  send({ op: RW, ...ports, data: bytes(60_000, 4) });
  stream.room = Infinity;
  stream.wake();
  assert.equal(stream.awaited.writable, false);
  assert.deepEqual(receive().map(({ forwarded }) => forwarded), [180_000]);
  assert.deepEqual(
    stream.output,
    [0, 1, 2, 3].flatMap((i) => bytes(30_000, i)).concat(bytes(60_000, 4)),
  );
  send({ op: CREDIT_REQUEST, ...ports });
  assert.deepEqual(receive().map(({ op, forwarded }) => [op, forwarded]), [
    [CREDIT_UPDATE, 180_000],
  ]);
});

Deno.test("data beyond the room resets the connection, and nothing of it is kept", () => {
  const { send, receive, connected, device } = vsock();
  const { stream, ...ports } = connected();
  stream.room = 0;
  send({ op: RW, ...ports, data: bytes(65_536) });
  send({ op: RW, ...ports, data: bytes(65_536) });
  assert.deepEqual(receive(), []);
  send({ op: RW, ...ports, data: [1] });
  assert.deepEqual(receive().map(({ op }) => op), [RST]);
  assert.ok(stream.closed);
  assert.equal(device.count, 0);
});

Deno.test("half-close: each side says that it sends no more, and the other goes on (5.10.6.6)", () => {
  const { send, receive, connected, device } = vsock();
  const { stream, ...ports } = connected();
  send({ op: RW, ...ports, data: bytes(10) });
  send({ op: SHUTDOWN, ...ports, flags: VsockShutdown.SEND });
  assert.ok(stream.writingEnded);
  assert.ok(!stream.closed);
  stream.input = bytes(20);
  stream.wake();
  assert.deepEqual(receive().map(({ op, data }) => [op, data.length]), [[RW, 20]]);
  stream.inputEnded = true;
  stream.wake();
  assert.deepEqual(receive().map(({ op, flags }) => [op, flags]), [[SHUTDOWN, VsockShutdown.SEND]]);
  assert.equal(stream.awaited.readable, false);
  send({ op: SHUTDOWN, ...ports, flags: VsockShutdown.BOTH });
  assert.deepEqual(receive().map(({ op }) => op), [RST]);
  assert.ok(stream.closed);
  assert.equal(device.count, 0);
});

Deno.test("the host closes: the guest gets what had been sent, then SHUTDOWN, and answers RST", () => {
  const { send, receive, connected, device } = vsock();
  const { stream, ...ports } = connected();
  stream.input = bytes(30);
  stream.inputEnded = true;
  stream.isBroken = true;
  stream.wake();
  assert.deepEqual(receive().map(({ op, flags, data }) => [op, flags, data.length]), [
    [RW, 0, 30],
    [SHUTDOWN, VsockShutdown.BOTH, 0],
  ]);
  assert.equal(device.count, 1);
  send({ op: RST, ...ports });
  assert.ok(stream.closed);
  assert.equal(device.count, 0);
});

Deno.test("a host that reads no more: the guest hears it, and still gets what was sent before", () => {
  const { send, receive, connected } = vsock();
  const { stream, ...ports } = connected();
  stream.isBroken = true;
  stream.input = bytes(5);
  send({ op: RW, ...ports, data: bytes(100) });
  assert.deepEqual(receive().map(({ op, flags, data }) => [op, flags, data.length]), [
    [RW, 0, 5],
    [SHUTDOWN, VsockShutdown.RECEIVE, 0],
  ]);
});

Deno.test("the guest closes while the host is slow: RST at once, and the host still gets all", () => {
  const { send, receive, connected, device } = vsock();
  const { stream, ...ports } = connected();
  stream.room = 10;
  send({ op: RW, ...ports, data: bytes(1000) });
  send({ op: SHUTDOWN, ...ports, flags: VsockShutdown.BOTH });
  assert.deepEqual(receive().map(({ op }) => op), [RST]);
  assert.ok(!stream.closed);
  assert.equal(device.count, 1, "it counts as long as it holds something");
  stream.room = Infinity;
  stream.wake();
  assert.deepEqual(stream.output, bytes(1000));
  assert.ok(stream.closed);
  assert.equal(device.count, 0);
});

Deno.test("ports are free again while the connection before still gives the host what it has", () => {
  const { send, receive, connected, device } = vsock();
  const { stream, ...ports } = connected();
  stream.room = 0;
  send({ op: RW, ...ports, data: bytes(50) });
  send({ op: SHUTDOWN, ...ports, flags: VsockShutdown.BOTH });
  receive();
  const second = connected().stream;
  assert.equal(device.count, 2);
  send({ op: RW, ...ports, data: [9] });
  stream.room = Infinity;
  stream.wake();
  assert.deepEqual([stream.output.length, second.output], [50, [9]]);
  assert.deepEqual([stream.closed, second.closed, device.count], [true, false, 1]);
});

Deno.test("packets without a connection are answered RST, RST itself by nothing", () => {
  const { send, receive } = vsock();
  for (const op of [RESPONSE, SHUTDOWN, RW, CREDIT_UPDATE, CREDIT_REQUEST, 0, 99]) {
    send({ op, hostPort: 1, guestPort: 2 });
    assert.deepEqual(receive().map(({ op }) => op), [RST], `op ${op}`);
  }
  send({ op: RST, hostPort: 1, guestPort: 2 });
  assert.deepEqual(receive(), []);
});

Deno.test("packets of another address, to another host, of another type or with a false length", () => {
  const { send, receive, streams, device, connected } = vsock();
  streams.set(80, new FakeStream());
  const request = { op: REQUEST, hostPort: 80, guestPort: 1 };
  send({ ...request, sourceCid: 8 });
  send({ ...request, destinationCid: 3 });
  assert.deepEqual(receive(), []);
  send({ ...request, type: 2 });
  assert.deepEqual(receive().map(({ op, type }) => [op, type]), [[RST, 2]]);
  assert.equal(device.count, 0);
  const { stream, ...ports } = connected(90, 4);
  send({ op: RW, ...ports, data: [1, 2, 3], length: 4 });
  assert.deepEqual(receive().map(({ op }) => op), [RST]);
  assert.ok(stream.closed);
});

Deno.test("what makes no sense on a connection resets it", () => {
  for (
    const nonsense of [
      { op: REQUEST },
      { op: RESPONSE },
      { op: 0 },
      { op: 8 },
      { op: CREDIT_UPDATE, data: [1] },
      { op: RW, type: 2 },
    ]
  ) {
    const { send, receive, connected, device } = vsock();
    const { stream, ...ports } = connected();
    send({ ...ports, ...nonsense });
    assert.deepEqual(receive().map(({ op }) => op), [RST], JSON.stringify(nonsense));
    assert.ok(stream.closed);
    assert.equal(device.count, 0);
  }
});

Deno.test("connections are bounded: the 257th is refused, in each direction", () => {
  const { send, receive, streams, device } = vsock();
  for (let port = 0; port < 256; port++) {
    streams.set(port, new FakeStream());
    send({ op: REQUEST, hostPort: port, guestPort: 1 });
    assert.deepEqual(receive().map(({ op }) => op), [RESPONSE]);
  }
  streams.set(1000, new FakeStream());
  send({ op: REQUEST, hostPort: 1000, guestPort: 1 });
  assert.deepEqual(receive().map(({ op }) => op), [RST]);
  assert.equal(device.openConnection(1, new FakeStream()), false);
  send({ op: RST, hostPort: 7, guestPort: 1 });
  assert.equal(device.openConnection(1, new FakeStream()), true);
});

Deno.test("a guest that gives no buffers makes nothing grow: beyond 256 refusals its packets wait", () => {
  const { send, core, tx, rx, give, receive } = vsock({ rxBuffers: 0 });
  for (let i = 0; i < 256; i++) send({ op: RW, hostPort: i, guestPort: 1 });
  assert.equal(tx.usedIndex, 256);
  for (let i = 0; i < 5; i++) send({ op: RW, hostPort: 300 + i, guestPort: 1 });
  assert.equal(tx.usedIndex, 256);
  assert.equal(rx.usedIndex, 0);
  for (let i = 0; i < 40; i++) {
    give(8);
    receive(false);
  }
  core.notify(1);
  receive(false);
  assert.equal(tx.usedIndex, 261);
  assert.equal(rx.usedIndex, 261);
});

Deno.test("connections take turns: one that has much does not keep others waiting", () => {
  const { receive, connected, serve, give } = vsock({ rxBuffers: 8 });
  const much = connected(1, 1).stream;
  const little = connected(2, 2).stream;
  much.input = bytes(100_000);
  much.onReady?.();
  little.input = bytes(10);
  little.onReady?.();
  serve();
  const ports = receive(false).map(({ hostPort }) => hostPort);
  assert.ok(ports.includes(2), `${ports}`);
  give(8);
  assert.ok(receive(false).length > 0);
});

Deno.test("a reset by the driver closes all host ends, before there is another driver", () => {
  const { core, connected, device, serve } = vsock();
  const { stream } = connected();
  core.status = 0;
  serve();
  assert.ok(stream.closed);
  assert.equal(device.count, 0);
});

Deno.test("a worker after another tells the guest that its connections are gone (5.10.6.7)", () => {
  const { device, event, core, serve, memory } = vsock();
  device.tellReset();
  serve();
  memory.view(0x9000, 8)!.fill(0xee);
  event.add({ address: 0x9000, length: 8, write: true });
  core.notify(2);
  serve();
  assert.deepEqual(event.takeUsed().map(({ length }) => length), [4]);
  assert.deepEqual([...memory.view(0x9000, 5)!], [0, 0, 0, 0, 0xee]);
  event.add({ address: 0x9000, length: 8, write: true });
  core.notify(2);
  serve();
  assert.deepEqual(event.takeUsed(), [], "once");
});

Deno.test("a packet without a header, or a buffer without room for one: the device needs a reset", () => {
  {
    const { tx, core, serve } = vsock();
    tx.add({ address: 0x9000, length: 43 });
    core.notify(1);
    serve();
    assert.equal(core.status & NEEDS_RESET, NEEDS_RESET);
  }
  const { rx, core, serve, send } = vsock({ rxBuffers: 0 });
  rx.add({ address: 0x9000, length: 43, write: true });
  core.notify(0);
  serve();
  send({ op: RW, hostPort: 1, guestPort: 1 });
  assert.equal(core.status & NEEDS_RESET, NEEDS_RESET);
});

Deno.test("random packets, streams and resets: bounded, and every stream is closed in the end", () => {
  seeded((random) => {
    const made: FakeStream[] = [];
    const stream = () => {
      const one = new FakeStream();
      made.push(one);
      return one;
    };
    const { device, core, send, receive, give, tx } = vsock();
    device.host = { connect: () => random.chance(80) ? stream() : undefined };
    for (let i = 0; i < 20_000; i++) {
      const data = random.chance(40) ? bytes(random.below(3000)) : [];
      const any = random.u32();
      send({
        op: random.chance(95) ? random.pick([1, 1, 2, 3, 4, 5, 5, 5, 6, 7]) : any & 0xffff,
        hostPort: random.below(6) + (random.chance(20) ? 0x4000_0000 : 0),
        guestPort: random.below(3),
        flags: random.chance(90) ? random.below(4) : any,
        bufferBytes: random.chance(80) ? 65536 : any,
        forwarded: random.chance(60) ? 0 : any,
        type: random.chance(97) ? 1 : any & 0xffff,
        length: random.chance(97) ? data.length : any,
        data,
      });
      // While its packet waits for a refusal to be heard, this driver sends no other.
      while (tx.usedIndex !== ((i + 1) & 0xffff)) {
        receive();
        give(8);
      }
      if (random.chance(10) && device.count < 256) device.openConnection(random.below(3), stream());
      if (random.chance(70)) receive(random.chance(90));
      if (random.chance(5)) give(random.below(4));
      const one = made.length === 0 ? undefined : random.pick(made.slice(-20));
      if (one !== undefined && !one.closed) {
        one.room = random.pick([0, 10, Infinity]);
        if (random.chance(30)) one.input.push(...bytes(random.below(2000)));
        if (random.chance(3)) one.inputEnded = true;
        if (random.chance(2)) one.isBroken = true;
        if (one.awaited.readable || one.awaited.writable) one.wake();
      }
      assert.ok(device.count <= 256);
    }
    assert.equal(core.status & NEEDS_RESET, 0);
    device[Symbol.dispose]();
    assert.ok(made.length > 100, `${made.length} streams`);
    const open = made.filter(({ closed }) => !closed).length;
    assert.equal(open, 0, "streams left open");
  });
});
