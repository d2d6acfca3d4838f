/**
 * Random requests that favour what is hard: denormals, values near half a unit of each format,
 * extremes of the exponent, sums of exponents at the ends of the range, NaNs of all kinds and
 * unsupported formats.
 */

import { REQUEST, REQUEST_BYTES } from "./driver.ts";
import type { Operation } from "./operations.ts";

/** Marsaglia's xorshift: 32 bits, the same for the same seed. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = (seed ^ 0x9e3779b9) | 1;
    for (let i = 0; i < 8; i++) this.word();
  }

  word(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return x >>> 0;
  }

  below(limit: number): number {
    return this.word() % limit;
  }

  pick<T>(...from: readonly T[]): T {
    return from[this.below(from.length)];
  }
}

const BIAS = 0x3fff;

/** Fills `count` requests for one operation. */
export function fillRequests(
  requests: Uint8Array,
  operation: Operation,
  count: number,
  random: Random,
): void {
  const view = new DataView(requests.buffer, requests.byteOffset, requests.byteLength);
  for (let i = 0; i < count; i++) {
    const at = i * REQUEST_BYTES;
    view.setUint16(at + REQUEST.operation, operation.number, true);
    view.setUint16(at + REQUEST.control, control(random), true);
    const exponent = exponentA(random, operation);
    putOperand(view, at + REQUEST.a, exponent, random);
    putOperand(view, at + REQUEST.b, exponentB(random, exponent, operation), random);
    // Related significands: equal, one apart, half.
    if (random.below(8) === 0) {
      const low = view.getUint32(at + REQUEST.a, true) + random.pick(0, 0, 1, -1);
      view.setUint32(at + REQUEST.b, low, true);
      view.setUint32(at + REQUEST.b + 4, view.getUint32(at + REQUEST.a + 4, true), true);
    }
    if (operation.kind === "load80" && random.below(8) > 0) decimal(view, at + REQUEST.a, random);
    if (operation.kind.endsWith("Memory32")) {
      narrow(view, at + REQUEST.b, random, 23, 31, exponent - BIAS + 127);
    }
    if (operation.kind.endsWith("Memory64")) {
      narrow(view, at + REQUEST.b + 4, random, 20, 31, exponent - BIAS + 1023);
    }
    if (operation.kind === "load32") narrow(view, at + REQUEST.a, random, 23, 31);
    if (operation.kind === "load64") narrow(view, at + REQUEST.a + 4, random, 20, 31);
  }
}

function control(random: Random): number {
  const precision = random.pick(0, 2, 3, 3, 3, 1);
  const masks = random.below(3) === 0 ? random.below(64) : 0x3f;
  return 0x40 | masks | precision << 8 | random.below(4) << 10;
}

function exponentA(random: Random, { kind, transcendental }: Operation): number {
  if (transcendental && random.below(8) > 0) {
    return BIAS + random.pick(-1, -1, 0, 0, 1, 2, 5, 30, 62, 63) -
      random.below(random.pick(1, 4, 70));
  }
  switch (random.below(10)) {
    case 0:
      return 0;
    case 1:
      return random.pick(1, 2, 0x7ffe, 0x7ffd, 40, 0x7fff - 40);
    case 2:
      return 0x7fff;
    case 3:
      return random.below(0x8000);
    case 4: // the ends of single and double precision
      return random.pick(0x3f81, 0x407e, 0x3c01, 0x43fe) + random.below(70) - 60;
    case 5:
      return random.pick(0x3f81, 0x407e, 0x3c01, 0x43fe) + random.below(4) - 2;
    default:
      return kind.startsWith("store") || kind === "unary"
        ? BIAS - 2 + random.below(68)
        : BIAS + random.below(140) - 70;
  }
}

function exponentB(random: Random, a: number, { name }: Operation): number {
  const inRange = (e: number) => Math.max(0, Math.min(0x7fff, e));
  if (name === "FSCALE" && random.below(4) > 0) return BIAS - 2 + random.below(20);
  switch (random.below(8)) {
    case 0:
      return random.pick(0, 0x7fff, 1, 0x7ffe);
    case 1:
      return random.below(0x8000);
    case 2: // products and quotients at the ends of the range
      return inRange(BIAS - a + random.below(140) - 70);
    case 3:
      return inRange(0x7fff + BIAS - a + random.below(8) - 4);
    case 4:
      return inRange(random.pick(a - BIAS, a + BIAS) + random.below(8) - 4);
    case 5:
      return inRange(a + random.below(400) - 200);
    default:
      return inRange(a + random.below(140) - 70);
  }
}

function putOperand(view: DataView, at: number, exponent: number, random: Random): void {
  let high = random.word();
  let low = random.word();
  switch (random.below(12)) {
    case 0:
      high = 0x8000_0000;
      low = 0;
      break;
    case 1:
      high = low = 0xffff_ffff;
      break;
    case 2: // ones above, zeros below
      high = -1 << random.below(32);
      low = 0;
      break;
    case 3:
      high = 0xffff_ffff;
      low = -1 << random.below(32);
      break;
    case 4: // about half a unit of single precision
      low = random.pick(0, 1, 0xffff_ffff, 0x8000_0000);
      high = (high & 0xffff_ff00) | random.pick(0x80, 0x7f, 0x81, 0x00, 0xff);
      break;
    case 5: // about half a unit of double precision
      low = (low & 0xffff_f800) | random.pick(0x400, 0x3ff, 0x401, 0, 0x7ff);
      break;
    case 6:
      low = random.pick(0, 1, 0xffff_ffff);
      high = 0x8000_0000 | random.below(4);
      break;
    case 7: // few bits
      high = 1 << random.below(32) | 0x8000_0000;
      low = random.pick(0, 1 << random.below(32));
      break;
    case 8: // small whole numbers, halves
      low = 0;
      high &= -1 << random.below(32);
      break;
  }
  if (exponent > 0 && random.below(24) > 0) high |= 0x8000_0000;
  else if (exponent === 0 && random.below(4) > 0) {
    const shift = random.below(32);
    high = random.pick(0, high >>> shift);
    low = random.pick(low, low >>> shift, low, 0);
  }
  if (exponent === 0x7fff && random.below(3) === 0) {
    high = 0x8000_0000;
    low = 0;
  }
  view.setUint32(at, low, true);
  view.setUint32(at + 4, high, true);
  view.setUint16(at + 8, exponent | (random.word() & 0x8000), true);
}

function decimal(view: DataView, at: number, random: Random): void {
  for (let i = 0; i < 9; i++) {
    view.setUint8(at + i, random.below(10) | random.below(10) << 4);
  }
  view.setUint8(at + 9, random.word());
}

/** Makes the exponent of a narrow operand extreme now and then; its word is at `at`. */
function narrow(
  view: DataView,
  at: number,
  random: Random,
  fraction: number,
  sign: number,
  near = 0,
): void {
  const word = random.word();
  const field = (1 << (sign - fraction)) - 1;
  const close = Math.max(0, Math.min(field, near + random.below(60) - 30));
  const exponent = random.pick(0, close, field, close, word >>> 8 & field, 1);
  let bits = word & ((1 << fraction) - 1);
  if (random.below(4) === 0) bits = random.pick(0, 1 << (fraction - 1), 1);
  view.setUint32(at, (exponent << fraction | bits | (word & 0x8000_0000)) >>> 0, true);
}
