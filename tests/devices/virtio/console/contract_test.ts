/** A virtio console under its contract: no state outside of the arena, whatever a driver does. */

import { portOn } from "./console_bench.ts";
import { SplitDriver } from "../queue/split_driver.ts";
import { coreOn, negotiate, place } from "../support.ts";
import {
  VirtioConsole,
  VirtioConsoleState,
} from "../../../../devices/virtio/console/virtio_console.ts";
import { deviceContract } from "../../../support/contract.ts";
import type { Random } from "../../../support/random.ts";

const SIZE = 8;
const BUFFERS = 0x2_0000;

deviceContract("virtio ports", (bench) => {
  const ends = ["a", "b"].map((name) => portOn(bench, name));
  const ports = ends.map(({ port }) => port);
  const device = new VirtioConsole(bench.state(VirtioConsoleState), { ports });
  const { core } = coreOn(bench, device);
  const { memory } = bench;
  const ring = (queue: number) => 0x1000 * (queue + 1);
  const available = (queue: number) => ring(queue) + SIZE * 16;

  const events: ((random: Random) => void)[] = [
    // A driver that does as it should, up to here.
    () => {
      core.lock.with(() => core.status = 0);
      core.lock.with(() => negotiate(core, [1]));
      for (let queue = 0; queue < 6; queue++) {
        const driver = new SplitDriver(memory, ring(queue), SIZE);
        core.lock.with(() => place(core, queue, driver));
      }
      core.lock.with(() => core.status = 0xf);
    },
    // Buffers, most of them sound.
    (random) => {
      const queue = random.below(6);
      const head = random.below(SIZE);
      const at = ring(queue) + head * 16;
      const buffer = BUFFERS + random.below(0x1_0000);
      memory.writeU32(at, random.chance(95) ? buffer : random.u32());
      memory.writeU32(at + 4, 0);
      memory.writeU32(at + 8, random.pick([0, 1, 7, 8, 64, 4096, 0x1_0000]));
      const direction = (queue & 1) === 0 ? 2 : 0;
      memory.writeU16(at + 12, random.chance(95) ? direction : random.below(8));
      memory.writeU16(at + 14, random.below(SIZE));
      // A control message, should it be one.
      memory.writeU32(buffer, random.below(3));
      memory.writeU32(buffer + 4, random.below(8) + (random.below(2) << 16));
      const index = memory.readU16(available(queue) + 2);
      memory.writeU16(available(queue) + 4 + (index % SIZE) * 2, head);
      memory.writeU16(available(queue) + 2, random.chance(98) ? index + 1 : random.u32());
      core.notify(queue);
    },
    () => void core.serve(false),
    (random) => void random.pick(ports).receiveAll(new Uint8Array(random.below(3000)).fill(7)),
    (random) => {
      const { output, port } = random.pick(ends);
      output.take();
      if (output.takeStalled()) port.transmitReady();
    },
    (random) => random.pick(ports).isHostOpen = random.chance(50),
  ];
  return {
    device: {
      // What is the host's, and a reset leaves, goes as well: a new bench has none of it.
      reset() {
        core.reset();
        for (const { streams, port } of ends) {
          port.isHostOpen = true;
          for (const { cursors, data } of streams) {
            cursors.fill(0);
            data.fill(0);
          }
        }
        core.reset();
      },
    },
    ports: [{
      handler: {
        read: (offset, size) => core.lock.with(() => core.readConfig(offset, size)),
        write: (offset, size, value) => core.lock.with(() => core.writeConfig(offset, size, value)),
      },
      length: 16,
      sizes: [1, 2, 4],
    }],
    events: [...events, ...events],
  };
});
