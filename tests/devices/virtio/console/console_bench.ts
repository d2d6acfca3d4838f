/** A virtio console on a bench, with its driver and with the host's ends of its ports. */

import { ConsolePort, ConsolePortState } from "../../../../devices/virtio/console/port.ts";
import {
  VirtioConsole,
  VirtioConsoleState,
} from "../../../../devices/virtio/console/virtio_console.ts";
import type { Fields, RecordType, RecordView } from "../../../../hv/core/state/record.ts";
import { ByteStream, StreamState } from "../../../../hv/core/state/stream.ts";
import { TestBench } from "../../../support/test_bench.ts";
import { ready } from "../support.ts";

/** Where the driver keeps its buffers. */
export const BUFFERS = 0x2_0000;
const RINGS_END = 0x1_0000;

/** What gives state: any bench. */
interface StateSource {
  state<F extends Fields>(type: RecordType<F>, name?: string): RecordView<F>;
}

/** A port with both of its streams on a bench. */
export function portOn(bench: StateSource, name: string) {
  const at = `port ${name}`;
  const end = { onOutput: () => {} };
  const streams = ["output", "input"].map((way) => bench.state(StreamState, `${at}.${way}`));
  const output = new ByteStream(streams[0], () => end.onOutput());
  const input = new ByteStream(streams[1], () => port.hostSent());
  const port: ConsolePort = new ConsolePort({
    name,
    state: bench.state(ConsolePortState, at),
    output,
    input,
    onChange: () => {},
  });
  return Object.assign(end, { port, output, input, streams });
}

/** A console (without names) or ports, with a driver that has accepted `features`. */
export function consoleBench(names: readonly string[], features: readonly number[], size = 8) {
  const bench = new TestBench();
  const { memory } = bench;
  const ends = (names.length === 0 ? [""] : names).map((name) => portOn(bench, name));
  const ports = ends.map(({ port }) => port);
  const device = new VirtioConsole(
    bench.state(VirtioConsoleState),
    names.length === 0 ? { console: ports[0] } : { ports },
  );
  if (device.queueSizes.length * 0x1000 >= RINGS_END) throw new Error("too many queues");
  const made = ready(bench, device, { features, size });
  let next = BUFFERS;
  const place = (length: number) => {
    const address = next;
    next += length;
    return address;
  };
  return {
    ...made,
    bench,
    memory,
    device,
    ports,
    ends,
    /** Lets the I/O worker do all that there is, told of queue `index` if given. */
    serve(index?: number) {
      if (index !== undefined) made.core.notify(index);
      for (let i = 0; i < 8; i++) made.core.serve(false);
    },
    /** Makes a buffer available that the device may write; its address. */
    offer(queue: number, length: number): number {
      const address = place(length);
      made.drivers[queue].add({ address, length, write: true });
      return address;
    },
    /** Makes bytes available to the device. */
    send(queue: number, bytes: Uint8Array): void {
      const address = place(bytes.length);
      memory.view(address, bytes.length)!.set(bytes);
      made.drivers[queue].add({ address, length: bytes.length });
    },
    /** Sends a control message (5.3.6.2). */
    control(id: number, event: number, value: number): void {
      const message = new DataView(new ArrayBuffer(8));
      message.setUint32(0, id, true);
      message.setUint16(4, event, true);
      message.setUint16(6, value, true);
      this.send(3, new Uint8Array(message.buffer));
      this.serve(3);
    },
    text(address: number, length: number): string {
      return new TextDecoder().decode(memory.view(address, length)!.slice());
    },
  };
}
