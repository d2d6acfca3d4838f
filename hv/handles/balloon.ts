/**
 * A machine's memory balloon, from the host's side: how much memory the guest is to get by with, and
 * what it says of its memory.
 */

import type { BalloonStatistics } from "../../devices/virtio/balloon/statistics.ts";
import type { VirtioBalloon } from "../../devices/virtio/balloon/virtio_balloon.ts";
import { balloonTarget } from "../options/balloon_options.ts";
import { showBytes } from "../options/sizes.ts";
import type { Waiter, WaitOptions } from "./waiter.ts";

/** How often waits look by themselves, ms: pages go without a word. */
const POLL_MS = 20;

/** The guest's memory balloon. The guest's driver does the work, when it is there and as fast as it can. */
export class Balloon {
  readonly #device: VirtioBalloon;
  readonly #ramBytes: number;
  readonly #waiter: Waiter;

  /** Made by the machine. */
  constructor(device: VirtioBalloon, ramBytes: number, waiter: Waiter) {
    this.#device = device;
    this.#ramBytes = ramBytes;
    this.#waiter = waiter;
  }

  /**
   * Memory that the guest is to get by with, in bytes; it can be set to a size like `"128M"`, and at once
   * to another. At first all of its memory.
   *
   * @throws {UsageError} When that is more than it has, or no size.
   */
  get target(): number {
    return this.#ramBytes - this.#device.wantedBytes;
  }
  set target(size: string | number) {
    const bytes = balloonTarget(size, this.#ramBytes);
    this.#device.wantedBytes = this.#ramBytes - bytes;
  }

  /** Memory that it has at the moment, in bytes, as its driver says. */
  get actual(): number {
    return this.#ramBytes - this.#device.actualBytes;
  }

  /** Bytes that have gone back to the host since the start: given up, or reported as free. */
  get returnedBytes(): number {
    return this.#device.returnedBytes;
  }

  /**
   * Waits until the guest has reached the target.
   *
   * @throws {WaitError} When time is up, the signal aborts, or the guest ends.
   */
  async settled(options: WaitOptions = {}): Promise<void> {
    await this.#waiter.until(
      () => this.actual === this.target || undefined,
      `the guest to get by with ${showBytes(this.target)}`,
      options,
      POLL_MS,
    );
  }

  /**
   * Asks the guest for its statistics.
   *
   * @throws {WaitError} When time is up, the signal aborts, or the guest ends.
   */
  async statistics(options: WaitOptions = {}): Promise<BalloonStatistics> {
    const device = this.#device;
    const { heard } = device;
    device.askForStatistics();
    await this.#waiter.until(
      () => device.heard !== heard || undefined,
      "statistics of the guest's memory",
      options,
      POLL_MS,
    );
    return device.statistics;
  }
}
