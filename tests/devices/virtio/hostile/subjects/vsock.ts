/** Packets of a hostile driver to a socket device, with host ends that come, go and break. */

import assert from "node:assert/strict";
import { VirtioVsock, VirtioVsockState } from "../../../../../devices/virtio/vsock/virtio_vsock.ts";
import {
  decodeHeader,
  encodeHeader,
  HEADER_BYTES,
  HOST_CID,
  VsockOp,
} from "../../../../../devices/virtio/vsock/packet.ts";
import { FakeStream, GUEST_CID } from "../../vsock/driver.ts";
import type { MakeRequest, MakeSubject } from "./subject.ts";

const RX = 0;
const TX = 1;
/** On those below somebody of the host listens. */
const PORTS = 8;
const MAX_CONNECTIONS = 256;
const OPS = [...Object.values(VsockOp), VsockOp.REQUEST, VsockOp.RW, VsockOp.RW, 0, 8];

interface Packet {
  readonly op: number;
  readonly hostPort: number;
  readonly guestPort: number;
  readonly length?: number;
  readonly flags?: number;
  readonly type?: number;
  readonly sourceCid?: number;
  readonly bufferBytes?: number;
  readonly forwarded?: number;
}

function header({ hostPort, guestPort, ...fields }: Packet): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES);
  encodeHeader({
    sourceCid: GUEST_CID,
    destinationCid: HOST_CID,
    sourcePort: guestPort,
    destinationPort: hostPort,
    length: 0,
    flags: 0,
    type: 1,
    bufferBytes: 65536,
    forwarded: 0,
    ...fields,
  }, bytes);
  return bytes;
}

/** Room, or a packet of which most fields are right. */
export const vsockRequest: MakeRequest = (random, queue, memory) => {
  if (queue !== TX) return [memory.take(random.pick([4, 44, 64, 512, 4096]), true)];
  const length = random.chance(50) ? 0 : random.below(2000);
  const packet = header({
    op: random.pick(OPS),
    hostPort: random.chance(95) ? random.below(PORTS + 2) : random.u32(),
    guestPort: random.chance(95) ? random.below(8) : random.u32(),
    length: random.chance(95) ? length : random.u32(),
    flags: random.chance(80) ? random.below(4) : random.u32(),
    type: random.chance(97) ? 1 : random.below(4),
    sourceCid: random.chance(97) ? GUEST_CID : random.u32(),
    bufferBytes: random.chance(90) ? 65536 : random.u32(),
    forwarded: random.chance(90) ? 0 : random.u32(),
  });
  return [memory.put(packet), ...(length === 0 ? [] : [memory.take(length)])];
};

/** A virtio socket device. */
export const vsock: MakeSubject = (bench) => {
  const device = new VirtioVsock(bench.state(VirtioVsockState), GUEST_CID);
  let streams: FakeStream[] = [];
  const connect = () => {
    const stream = new FakeStream();
    streams.push(stream);
    return stream;
  };
  device.host = { connect: (port) => port < PORTS ? connect() : undefined };
  return {
    device,
    hostKeepsState: true,
    request: vsockRequest,
    mayReject: (queue, { readableBytes, writableBytes }) =>
      queue === TX ? readableBytes < HEADER_BYTES : writableBytes <= HEADER_BYTES,
    host(random) {
      streams = streams.filter(({ closed }) => !closed);
      assert.ok(device.count <= MAX_CONNECTIONS, `${device.count} connections`);
      if (random.chance(30)) {
        const stream = connect();
        if (!device.openConnection(random.below(8), stream)) stream.close();
      }
      if (streams.length === 0) return;
      const stream = random.pick(streams);
      stream.output = [];
      stream.room = random.pick([0, 100, Infinity]);
      if (stream.input.length < 4096) stream.input.push(...new Array(random.below(500)).fill(7));
      if (random.chance(20)) stream.inputEnded = true;
      if (random.chance(10)) stream.isBroken = true;
      const { readable, writable } = stream.awaited;
      if (!stream.closed && (readable || writable)) stream.wake();
    },
    check(exchange, memory) {
      const ports = { hostPort: 5, guestPort: 1000 };
      exchange(TX, memory.put(header({ op: VsockOp.REQUEST, ...ports })));
      const room = memory.take(64, true);
      const receive = () => {
        assert.equal(exchange(RX, room), HEADER_BYTES);
        return decodeHeader(memory.bytes(room).slice());
      };
      const answer = receive();
      assert.deepEqual([answer.op, answer.destinationPort], [VsockOp.RESPONSE, 1000]);
      const data = Uint8Array.of(1, 2, 3);
      const packet = header({ op: VsockOp.RW, ...ports, length: data.length });
      exchange(TX, memory.put(packet), memory.put(data));
      exchange(TX, memory.put(header({ op: VsockOp.CREDIT_REQUEST, ...ports })));
      const update = receive();
      assert.deepEqual([update.op, update.forwarded], [VsockOp.CREDIT_UPDATE, data.length]);
      exchange(TX, memory.put(header({ op: VsockOp.RST, ...ports })));
    },
  };
};
