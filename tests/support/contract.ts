/**
 * What every device promises, as tests: reset equals new; any accesses at any time neither throw nor
 * give values that are no unsigned integers of their width; and a device built over a copy of the
 * state goes on exactly like the original (the twin test), so that no state hides outside of it.
 */

import assert from "node:assert/strict";
import type { Device, IoHandler } from "../../hv/core/bus/device.ts";
import { type Random, seeded } from "./random.ts";
import { TestBench } from "./test_bench.ts";

/** A register window of the device on the bench. */
export interface Port {
  readonly handler: IoHandler;
  /** Size of the window in bytes. */
  readonly length: number;
  /** Access sizes that its claim lets through. */
  readonly sizes: readonly number[];
}

/** A device, ready to be tried. */
export interface Subject {
  readonly device: Device;
  readonly ports: readonly Port[];
  /** What else happens to it from outside: keys, received bytes, media changes. */
  readonly events?: readonly ((random: Random) => void)[];
  /** Writes that lead somewhere, to be mixed with the blind ones. */
  readonly likely?: readonly { port: number; offset: number; size: number; values: number[] }[];
}

type Step = (bench: TestBench, subject: Subject) => number;

function randomStep(random: Random, shape: Subject): Step {
  if (shape.events !== undefined && shape.events.length > 0 && random.chance(8)) {
    const which = random.below(shape.events.length);
    const eventSeed = random.u32();
    return (_bench, subject) => {
      subject.events![which](new (random.constructor as typeof Random)(eventSeed));
      return 0;
    };
  }
  if (random.chance(10)) {
    const ns = random.below(3) === 0 ? random.below(1_000_000_000) : random.below(100_000);
    return (bench) => {
      bench.advance(ns);
      return 0;
    };
  }
  if (random.chance(15)) {
    return (bench) => {
      bench.settle();
      return 0;
    };
  }
  if (shape.likely !== undefined && shape.likely.length > 0 && random.chance(50)) {
    const { port, offset, size, values } = random.pick(shape.likely);
    const value = random.pick(values);
    return (_bench, subject) => {
      subject.ports[port].handler.write(offset, size, value);
      return 0;
    };
  }
  const index = random.below(shape.ports.length);
  const { length, sizes } = shape.ports[index];
  const size = random.pick(sizes);
  const offset = random.below(Math.max(1, length - size + 1));
  if (random.chance(50)) {
    return (_bench, subject) => subject.ports[index].handler.read(offset, size);
  }
  const value = random.u32() % 2 ** (size * 8);
  return (_bench, subject) => {
    subject.ports[index].handler.write(offset, size, value);
    return 0;
  };
}

const stateBytes = (bench: TestBench) => {
  const buffer = new Uint8Array(bench.arena.buffer);
  return bench.arena.sections.filter(({ name }) => !name.startsWith("bench.")).map((section) => ({
    name: section.name,
    bytes: buffer.slice(section.offset, section.offset + section.length),
  }));
};

/**
 * Declares the tests of the contract.
 *
 * @param build Builds the device on a bench; called often, and must not write to state.
 * @param steps Random steps of the twin test; each costs two copies of the bench's bytes.
 */
export function deviceContract(
  name: string,
  build: (bench: TestBench) => Subject,
  { steps = 400, blindSteps = 20_000 }: { steps?: number; blindSteps?: number } = {},
): void {
  const start = () => {
    const bench = new TestBench();
    const subject = build(bench);
    subject.device.reset();
    return { bench, subject };
  };

  Deno.test(`${name} keeps the contract: reset equals new`, () => {
    seeded((random) => {
      const { bench, subject } = start();
      const fresh = stateBytes(bench);
      for (let i = 0; i < 500; i++) randomStep(random, subject)(bench, subject);
      bench.settle();
      bench.clock.ns = 0;
      subject.device.reset();
      for (const [i, { name, bytes }] of stateBytes(bench).entries()) {
        assert.deepEqual(bytes, fresh[i].bytes, `${name} differs after reset`);
      }
    });
  });

  Deno.test(`${name} keeps the contract: no access throws, all values fit`, () => {
    seeded((random) => {
      const { bench, subject } = start();
      for (let i = 0; i < blindSteps; i++) {
        const value = randomStep(random, subject)(bench, subject);
        assert.ok(
          Number.isInteger(value) && value >= 0 && value < 2 ** 32,
          `step ${i} gave ${value}`,
        );
      }
    });
  });

  Deno.test(`${name} keeps the contract: a twin over a copy of the state agrees`, () => {
    seeded((random) => {
      const { bench, subject } = start();
      let worn: TestBench | undefined;
      for (let i = 0; i < steps; i++) {
        const step = randomStep(random, subject);
        // The twin is a new object each time: what it knows, it knows from the bytes.
        const copy: TestBench = new TestBench(bench, worn);
        worn = copy;
        const twin = build(copy);
        const expected = step(bench, subject);
        assert.equal(step(copy, twin), expected, `step ${i}: the twin read another value`);
        const theirs = stateBytes(copy);
        for (const [s, { name, bytes }] of stateBytes(bench).entries()) {
          assert.deepEqual(theirs[s].bytes, bytes, `step ${i}: ${name} differs in the twin`);
        }
      }
    });
  });
}
