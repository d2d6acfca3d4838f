/** A device as the hostile driver needs it. */

import type { DescriptorChain } from "../../../../../devices/virtio/queue/descriptor_chain.ts";
import type { VirtioDevice } from "../../../../../devices/virtio/virtio_device.ts";
import type { Random } from "../../../../support/random.ts";
import type { Buffer } from "../../queue/split_driver.ts";
import type { HostileBench } from "../hostile_bench.ts";
import type { RequestMemory } from "../request_memory.ts";

/** A driver that behaves: puts buffers into a queue and gets back how many bytes were written. */
export type Exchange = (queue: number, ...buffers: readonly Buffer[]) => number;

/** A request for a queue of which most parts are right, its contents written into memory. */
export type MakeRequest = (random: Random, queue: number, memory: RequestMemory) => Buffer[];

/** See above. */
export interface Subject {
  readonly device: VirtioDevice;
  readonly request: MakeRequest;
  /** May the device say that it has no answer to this, and needs a reset? */
  mayReject(queue: number, chain: DescriptorChain): boolean;
  /** Something happens at the host's end, on the I/O worker's thread. */
  host?(random: Random): void;
  /** Ends what is under way at the host's end; the I/O worker's thread. */
  settle?(): void;
  /** Is nothing under way that a copy of the bytes would not have? */
  readonly isQuiet?: boolean;
  /** Does the I/O worker know more than the bytes, so that a twin cannot go on alike? */
  readonly hostKeepsState?: boolean;
  /** After a proper reset: a valid request is answered rightly. */
  check(exchange: Exchange, memory: RequestMemory): void;
}

/** Builds a device over a bench's bytes without writing to them. */
export type MakeSubject = (bench: HostileBench) => Subject;
