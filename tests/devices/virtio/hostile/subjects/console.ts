/** Requests of a hostile driver to consoles: one alone, and one with named ports. */

import assert from "node:assert/strict";
import {
  ConsoleEvent,
  VirtioConsole,
  VirtioConsoleState,
} from "../../../../../devices/virtio/console/virtio_console.ts";
import type { Random } from "../../../../support/random.ts";
import { portOn } from "../../console/console_bench.ts";
import type { HostileBench } from "../hostile_bench.ts";
import type { RequestMemory } from "../request_memory.ts";
import type { MakeRequest, Subject } from "./subject.ts";

const CONTROL_RECEIVE = 2;
const CONTROL_TRANSMIT = 3;
const EVENTS = Object.values(ConsoleEvent);

/** A message about a port (5.3.6.2). */
function control(memory: RequestMemory, id: number, event: number, value: number) {
  const message = new DataView(new ArrayBuffer(8));
  message.setUint32(0, id, true);
  message.setUint16(4, event, true);
  message.setUint16(6, value, true);
  return memory.put(new Uint8Array(message.buffer));
}

/** Room on receiving queues, bytes on the others, messages on the control queues. */
export const consoleRequest: MakeRequest = (random, queue, memory) => {
  if (queue % 2 === 0) return [memory.take(1 + random.below(queue === 2 ? 64 : 0x1000), true)];
  if (queue === CONTROL_TRANSMIT) {
    const id = random.chance(90) ? random.below(4) : random.u32();
    const event = random.chance(90) ? random.pick(EVENTS) : random.u32();
    return [control(memory, id, event, random.below(3))];
  }
  const bytes = Uint8Array.from({ length: 1 + random.below(200) }, () => random.u32());
  return [memory.put(bytes), ...(random.chance(10) ? [memory.take(0x4000)] : [])];
};

/** A console alone without names, or named ports. */
const consoleOn = (names: readonly string[]) => (bench: HostileBench): Subject => {
  const ends = (names.length === 0 ? [""] : names).map((name) => portOn(bench, name));
  const ports = ends.map(({ port }) => port);
  const isAlone = names.length === 0;
  const state = bench.state(VirtioConsoleState);
  const device = new VirtioConsole(state, isAlone ? { console: ports[0] } : { ports });
  const forget = () => {
    for (const { port, output } of ends) {
      port.forget();
      output.take();
    }
  };
  return {
    device,
    request: consoleRequest,
    mayReject: (queue, { writableBytes }) =>
      queue % 2 === 0 && (isAlone || queue !== CONTROL_RECEIVE) && writableBytes === 0,
    host: (random: Random) => {
      const { port, output } = random.pick(ends);
      if (random.chance(70)) {
        port.receiveAll(Uint8Array.from({ length: random.below(300) }, () => random.u32()));
      }
      if (random.chance(50)) {
        output.take();
        port.transmitReady();
      }
      if (random.chance(20)) port.isHostOpen = random.chance(50);
      if (random.chance(10)) device.resize({ columns: random.below(300), rows: random.below(99) });
    },
    settle: () => {
      for (const { port, output } of ends) {
        output.take();
        port.transmitReady();
      }
    },
    check: (exchange, memory) => {
      forget();
      if (!isAlone) {
        exchange(CONTROL_TRANSMIT, control(memory, 0, ConsoleEvent.PORT_READY, 1));
        exchange(CONTROL_TRANSMIT, control(memory, 0, ConsoleEvent.PORT_OPEN, 1));
      }
      const room = memory.take(16, true);
      ports[0].receiveAll(Uint8Array.of(1, 2, 3));
      assert.equal(exchange(0, room), 3);
      assert.deepEqual([...memory.bytes(room).subarray(0, 3)], [1, 2, 3]);
    },
  };
};

/** See above. */
export const consoleAlone = consoleOn([]);
export const consolePorts = consoleOn(["org.one", "org.two", "org.three"]);
