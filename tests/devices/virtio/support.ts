/** What the tests of virtio devices share: a device on a bench without a bus, and its driver. */

import { VirtioCore, virtioState } from "../../../devices/virtio/virtio_core.ts";
import type { VirtioDevice } from "../../../devices/virtio/virtio_device.ts";
import type { Virtqueue } from "../../../devices/virtio/queue/virtqueue.ts";
import type { GuestMemory } from "../../../hv/core/memory/guest_memory.ts";
import { bytes, record, words } from "../../../hv/core/state/record.ts";
import type { TestBench } from "../../support/test_bench.ts";
import { SplitDriver } from "./queue/split_driver.ts";

/** Status bits as drivers set them one after the other (3.1.1). */
export const ACKNOWLEDGE = 1;
export const DRIVER = 2;
export const DRIVER_OK = 4;
export const FEATURES_OK = 8;
export const NEEDS_RESET = 64;

const CountState = record("test.interrupts", 1, { queues: words(8), config: words(1) });

/** Interrupts that have come, by queue. */
export class ProbeTransport {
  readonly isMaster = true;
  readonly #state: InstanceType<typeof CountState>;
  constructor(bench: TestBench) {
    this.#state = bench.arena.allocate(CountState, "bench.interrupts");
  }
  interruptQueue(index: number): void {
    this.#state.queues[index]++;
  }
  interruptConfig(): void {
    this.#state.config[0]++;
  }
  deviceReset(): void {}
  /** Interrupts of queue `index` since this was last asked. */
  take(index = 0): number {
    const count = this.#state.queues[index];
    this.#state.queues[index] = 0;
    return count;
  }
  get configInterrupts(): number {
    return this.#state.config[0];
  }
}

/** A core with its device on a bench. */
export function coreOn(bench: TestBench, device: VirtioDevice, mustYield?: () => boolean) {
  const core = new VirtioCore({
    state: bench.state(virtioState(device.queueSizes.length)),
    lock: bench.arena.lock("virtio"),
    memory: bench.memory,
    device,
    ring: () => {},
    packed: true,
    mustYield,
  });
  const transport = new ProbeTransport(bench);
  core.transport = transport;
  return { core, transport };
}

/** Accepts `features` by number, besides VERSION_1, and says so. */
export function negotiate(core: VirtioCore, features: readonly number[]): void {
  core.status = ACKNOWLEDGE;
  core.status = ACKNOWLEDGE | DRIVER;
  const words = [0, 0];
  for (const bit of [32, ...features]) words[bit >>> 5] |= 1 << (bit & 31);
  core.acceptFeatures(0, words[0] >>> 0);
  core.acceptFeatures(1, words[1] >>> 0);
  core.status = ACKNOWLEDGE | DRIVER | FEATURES_OK;
}

/** What places a queue, split or packed. */
export type RingDriver = Pick<SplitDriver, "size" | "descriptors" | "available" | "used">;

/** Tells the device where a queue is, and enables it. */
export function place(core: VirtioCore, index: number, driver: RingDriver): void {
  core.setQueueSize(index, driver.size);
  core.setQueueAddress(index, "descriptors", 0, driver.descriptors);
  core.setQueueAddress(index, "driverArea", 0, driver.available);
  core.setQueueAddress(index, "deviceArea", 0, driver.used);
  core.enableQueue(index);
}

/** How to make a device ready. */
export interface ReadyOptions<D> {
  readonly features?: readonly number[];
  readonly size?: number;
  /** Is the I/O worker wanted elsewhere? */
  readonly mustYield?: () => boolean;
  /** Makes the driver of a queue; default: split. */
  readonly makeDriver?: (memory: GuestMemory, base: number, size: number) => D;
}

/** A device whose driver is ready, with its queues from 1000h on, 1000h apart. */
export function ready<D extends RingDriver = SplitDriver>(
  bench: TestBench,
  device: VirtioDevice,
  { features = [], size = 8, makeDriver = makeSplit, mustYield }: ReadyOptions<D> = {},
) {
  const { core, transport } = coreOn(bench, device, mustYield);
  core.reset();
  negotiate(core, features);
  const drivers = device.queueSizes.map((_, index) => {
    const driver = makeDriver(bench.memory, 0x1000 * (index + 1), size);
    place(core, index, driver);
    return driver;
  });
  core.status = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK;
  core.serve(false);
  return { core, transport, drivers, driver: drivers[0] };
}

// deno-lint-ignore no-explicit-any
const makeSplit = (memory: GuestMemory, base: number, size: number): any =>
  new SplitDriver(memory, base, size);

const EchoState = record("test.echo", 1, { config: bytes(8) });

/** A device that writes what it reads, as far as there is room, in capitals. */
export class Echo implements VirtioDevice {
  /** An entropy device's, which is a transitional one. */
  readonly id: number = 4;
  readonly features = [3];
  readonly queueSizes = [8, 8];
  readonly config: Uint8Array;
  /** Leaves everything in the queues. */
  idle = false;
  constructor(bench: TestBench) {
    this.config = bench.state(EchoState).config;
  }
  reset(): void {
    this.config.fill(0);
  }
  writeConfig(offset: number, size: number, value: number): void {
    for (let i = 0; i < size; i++) this.config[offset + i] = value >>> (i * 8);
  }
  serve(queue: Virtqueue): void {
    if (this.idle) return;
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
      const data = new Uint8Array(Math.min(chain.readableBytes, 4096));
      chain.read(0, data);
      queue.push(chain, chain.write(0, data.map((byte) => byte & ~0x20)));
    }
  }
}
