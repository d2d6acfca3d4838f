/** A window of memory with what the virtio device in it is built with. */

import type { Device } from "../core/bus/device.ts";
import type { Lock } from "../core/state/lock.ts";
import type { Fields, RecordType, RecordView } from "../core/state/record.ts";
import type { Timer } from "../core/time/timer.ts";
import type { DevicePlace, PcBuilder } from "./builder.ts";
import { VIRTIO_MMIO } from "./layout.ts";

/** See above. */
export class MmioWindow implements DevicePlace {
  readonly base: number;
  readonly #builder: PcBuilder;

  constructor(builder: PcBuilder, number: number) {
    this.#builder = builder;
    this.base = VIRTIO_MMIO.base + number * VIRTIO_MMIO.stride;
    if (number >= VIRTIO_MMIO.most) {
      throw new Error(`Cannot add a virtio device: there are ${VIRTIO_MMIO.most} windows`);
    }
  }

  state<F extends Fields>(type: RecordType<F>, name?: string): RecordView<F> {
    return this.#builder.state(type, name);
  }

  lock(name: string): Lock {
    return this.#builder.lock(name);
  }

  timer(name: string, lock: Lock): Timer {
    return this.#builder.timer(name, lock);
  }

  device<D extends Device>(device: D): D {
    return this.#builder.device(device);
  }
}
