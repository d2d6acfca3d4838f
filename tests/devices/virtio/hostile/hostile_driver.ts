/**
 * A hostile driver of one device: steps of any kind, in between of which the device must work after a
 * proper reset, and a twin over a copy of the bytes must go on alike.
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { Random } from "../../../support/random.ts";
import type { AttachTransport } from "./transports/attach_transport.ts";
import { HostileRig } from "./hostile_rig.ts";
import { anyStep } from "./steps.ts";
import type { MakeSubject } from "./subjects/subject.ts";
import { Watch } from "./watch.ts";

/** After so many steps on average the device is looked at. */
const CHECK_EVERY = 100;
const TWIN_STEPS = 5;

/** See above. */
export class HostileDriver {
  readonly rig: HostileRig;
  readonly watch: Watch;
  /** Times that the device has shown that it works, and that a twin has gone on alike. */
  readonly counts = { checks: 0, twins: 0 };
  readonly #random: Random;
  readonly #stateBytes: number;

  constructor(make: MakeSubject, attach: AttachTransport, seed: number) {
    this.#random = new Random(seed);
    this.rig = new HostileRig({ make, attach, makeWatch: (rig) => new Watch(rig) });
    this.watch = this.rig.watch as Watch;
    this.#stateBytes = this.rig.bench.arena.usedBytes;
  }

  /** @throws {AssertionError} When the device has done what it must not; the message says where. */
  run(steps: number): void {
    for (let i = 0; i < steps; i++) {
      const seed = this.#random.u32();
      const step = anyStep(new Random(seed));
      try {
        step(this.rig, new Random(seed ^ 0x5555_5555));
        if (this.#random.below(CHECK_EVERY) === 0) this.#look();
      } catch (cause) {
        throw new Error(`step ${i} (${step.name}): ${(cause as Error).message}`, { cause });
      }
    }
    this.#look();
    assert.equal(this.rig.bench.arena.usedBytes, this.#stateBytes, "state does not grow");
  }

  #look(): void {
    if (this.#random.chance(50)) {
      this.rig.check(this.#random);
      this.counts.checks++;
    } else if (this.rig.isQuiet) {
      this.#compare();
      this.counts.twins++;
    }
  }

  /** The next few steps, and a twin takes them, too. */
  #compare(): void {
    const { rig } = this;
    const twin = rig.twin();
    for (let i = 0; i < TWIN_STEPS; i++) {
      const seed = this.#random.u32();
      const step = anyStep(new Random(seed));
      const mine = step(rig, new Random(~seed));
      assert.equal(step(twin, new Random(~seed)), mine, `a twin gives another value`);
      const found = twin.bench.images;
      for (const [part, bytes] of Object.entries(rig.bench.images)) {
        const isAlike = Buffer.compare(found[part], bytes) === 0;
        assert.ok(isAlike, `${part} differs in a twin after ${step.name}`);
      }
    }
  }
}
