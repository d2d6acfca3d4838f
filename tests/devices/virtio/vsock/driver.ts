/** A driver of the virtio socket device in a test, and host ends that it can talk to. */

import assert from "node:assert/strict";
import {
  decodeHeader,
  encodeHeader,
  HEADER_BYTES,
  VsockOp,
} from "../../../../devices/virtio/vsock/packet.ts";
import { VirtioVsock, VirtioVsockState } from "../../../../devices/virtio/vsock/virtio_vsock.ts";
import type { StreamInput, VsockStream } from "../../../../hv/core/net/vsock.ts";
import { TestBench } from "../../../support/test_bench.ts";
import { ready } from "../support.ts";

export const GUEST_CID = 7;
const TX_BUFFERS = 0x1_0000;
const RX_BUFFERS = 0x2_0000;
const RX_BYTES = HEADER_BYTES + 1024;

/** A host end that is told what to do. */
export class FakeStream implements VsockStream {
  onReady: (() => void) | undefined;
  /** What the host has for the guest. */
  input: number[] = [];
  inputEnded = false;
  /** What has come from the guest, at most `room` more bytes. */
  output: number[] = [];
  room = Infinity;
  isBroken = false;
  writingEnded = false;
  closed = false;
  acceptedPort: number | undefined;
  awaited = { readable: false, writable: false };

  look(): StreamInput {
    return this.input.length > 0 ? "data" : this.inputEnded ? "end" : "none";
  }
  read(into: Uint8Array): number {
    const bytes = this.input.splice(0, into.length);
    into.set(bytes);
    return bytes.length;
  }
  write(from: Uint8Array): number {
    assert.ok(!this.closed, "written to after it was closed");
    if (this.isBroken) return -1;
    const taken = from.subarray(0, Math.min(this.room, from.length));
    this.output.push(...taken);
    this.room -= taken.length;
    return taken.length;
  }
  endWriting(): void {
    this.writingEnded = true;
  }
  await(what: { readonly readable: boolean; readonly writable: boolean }): void {
    this.awaited = { ...what };
  }
  accepted(port: number): void {
    this.acceptedPort = port;
  }
  close(): void {
    this.closed = true;
  }
  /** Says that something has come or gone, as the host's loop does for what is awaited. */
  wake(): void {
    assert.ok(this.awaited.readable || this.awaited.writable, "nothing is awaited");
    this.onReady?.();
  }
}

/** What a test says of a packet. */
export interface Packet {
  readonly op: number;
  readonly hostPort: number;
  readonly guestPort: number;
  readonly flags?: number;
  readonly bufferBytes?: number;
  readonly forwarded?: number;
  readonly type?: number;
  readonly sourceCid?: number;
  readonly destinationCid?: number;
  /** What the header says; default: as many as there are. */
  readonly length?: number;
  readonly data?: readonly number[];
}

/** See above. */
export function vsock({ rxBuffers = 8 } = {}) {
  const bench = new TestBench();
  const { memory } = bench;
  const device = new VirtioVsock(bench.state(VirtioVsockState), GUEST_CID);
  const streams = new Map<number, FakeStream>();
  /** Ports on which somebody listens, and what connecting gives. */
  device.host = { connect: (port) => streams.get(port) };
  const { core, transport, drivers: [rx, tx, event] } = ready(bench, device, { size: 16 });
  const serve = () => {
    // A few turns: what one queue brings may be another's work.
    for (let i = 0; i < 4; i++) core.serve(false);
  };
  let nextBuffer = 0;
  let received = 0;
  /** Gives the device buffers, as many as the queue has room for. */
  const give = (count: number) => {
    for (let i = 0; i < count && nextBuffer - received < 8; i++) {
      const address = RX_BUFFERS + (nextBuffer++ % 16) * 0x800;
      rx.add({ address, length: HEADER_BYTES, write: true }, {
        address: address + HEADER_BYTES,
        length: RX_BYTES - HEADER_BYTES,
        write: true,
      });
    }
    core.notify(0);
    serve();
  };
  give(rxBuffers);
  const send = (packet: Packet) => {
    const data = packet.data ?? [];
    const bytes = new Uint8Array(HEADER_BYTES + data.length);
    encodeHeader({
      sourceCid: packet.sourceCid ?? GUEST_CID,
      destinationCid: packet.destinationCid ?? 2,
      sourcePort: packet.guestPort,
      destinationPort: packet.hostPort,
      length: packet.length ?? data.length,
      type: packet.type ?? 1,
      op: packet.op,
      flags: packet.flags ?? 0,
      bufferBytes: packet.bufferBytes ?? 65536,
      forwarded: packet.forwarded ?? 0,
    }, bytes);
    bytes.set(data, HEADER_BYTES);
    memory.view(TX_BUFFERS, bytes.length)!.set(bytes);
    tx.add({ address: TX_BUFFERS, length: HEADER_BYTES }, {
      address: TX_BUFFERS + HEADER_BYTES,
      length: data.length,
    });
    core.notify(1);
    serve();
    tx.takeUsed();
  };
  /** Packets that the guest has received since, its buffers given back. */
  const receive = (giveBack = true) => {
    serve();
    const packets = rx.takeUsed().map(({ length }) => {
      const address = RX_BUFFERS + (received++ % 16) * 0x800;
      const bytes = memory.view(address, length)!.slice();
      const header = decodeHeader(bytes);
      assert.equal(header.sourceCid, 2);
      assert.equal(header.destinationCid, GUEST_CID);
      assert.equal(header.length, length - HEADER_BYTES);
      return {
        op: header.op,
        hostPort: header.sourcePort,
        guestPort: header.destinationPort,
        flags: header.flags,
        forwarded: header.forwarded,
        bufferBytes: header.bufferBytes,
        type: header.type,
        data: [...bytes.subarray(HEADER_BYTES)],
      };
    });
    if (giveBack && packets.length > 0) give(packets.length);
    return packets;
  };
  /** A connection that the guest has begun and that is established. */
  const connected = (hostPort = 80, guestPort = 1000, credit?: Partial<Packet>) => {
    const stream = new FakeStream();
    streams.set(hostPort, stream);
    send({ op: VsockOp.REQUEST, hostPort, guestPort, ...credit });
    streams.delete(hostPort);
    assert.deepEqual(receive().map(({ op }) => op), [VsockOp.RESPONSE]);
    return { stream, hostPort, guestPort };
  };
  return {
    bench,
    memory,
    device,
    streams,
    core,
    transport,
    rx,
    tx,
    event,
    ...{ serve, give },
    send,
    receive,
    connected,
  };
}
