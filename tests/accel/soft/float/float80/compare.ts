/** Compares the functions with the real FPU, a batch at a time. */

import { BIAS, Flag } from "../../../../../hv/accel/soft/float/float80/format.ts";
import { BATCH, type Driver, REPLY, REPLY_BYTES, REQUEST, REQUEST_BYTES } from "./driver.ts";
import { fillRequests, type Random } from "./operands.ts";
import type { Operation } from "./operations.ts";
import type { Oracle } from "./oracle.ts";

/** Exceptions and condition codes. */
const STATUS_BITS = 0x473f;
const DE_OR_IE = 3;

/** What came of a comparison. */
export interface Outcome {
  cases: number;
  failures: number;
  /** Transcendental results that are off by a unit of the last place, or report otherwise. */
  near: number;
  /** The first few, in words. */
  readonly examples: string[];
}

const hex = (view: DataView, at: number) =>
  `${view.getUint16(at + 8, true).toString(16).padStart(4, "0")}:` +
  view.getBigUint64(at, true).toString(16).padStart(16, "0");

/** One request and both replies, in words. */
function describe(
  operation: Operation,
  request: DataView,
  expected: DataView,
  actual: DataView,
): string {
  const reply = (view: DataView) =>
    `${(view.getUint16(REPLY.status, true) & STATUS_BITS).toString(16).padStart(4, "0")} ` +
    `${hex(view, REPLY.st0)} ${hex(view, REPLY.st1)} ${hex(view, REPLY.memory)}`;
  return `${operation.name} cw=${request.getUint16(REQUEST.control, true).toString(16)} ` +
    `${hex(request, REQUEST.a)} ${hex(request, REQUEST.b)}\n` +
    `  processor ${reply(expected)}\n  software  ${reply(actual)}`;
}

/** Do two replies agree, as far as they mean anything? */
export function agree(
  operation: Operation,
  control: number,
  expected: DataView,
  actual: DataView,
): boolean {
  const status = expected.getUint16(REPLY.status, true) & STATUS_BITS;
  if (status !== (actual.getUint16(REPLY.status, true) & STATUS_BITS)) return false;
  const unmasked = status & ~control & DE_OR_IE;
  const pushes = /^(load|integer|constant)/.test(operation.kind);
  const stores = operation.kind.startsWith("store");
  const same = (from: number, to: number) => {
    for (let i = from; i < to; i++) {
      if (expected.getUint8(i) !== actual.getUint8(i)) return false;
    }
    return true;
  };
  if (stores) return same(REPLY.memory, REPLY.memory + 10);
  // After an unmasked fault nothing has been pushed.
  if (pushes) return unmasked !== 0 || same(REPLY.st0, REPLY.st0 + 10);
  if (!same(REPLY.st0, REPLY.st0 + 10)) return false;
  if (operation.kind === "twins" && (status & (Flag.C2 | (~control & DE_OR_IE))) === 0) {
    return same(REPLY.st1, REPLY.st1 + 10);
  }
  return operation.kind !== "pair" || (status & ~control & 7) !== 0 ||
    same(REPLY.st1, REPLY.st1 + 10);
}

/** Are these the same value, or neighbours? */
function isNear(expected: DataView, actual: DataView, at: number): boolean {
  const order = (view: DataView) => {
    const exponent = BigInt(view.getUint16(at + 8, true) & 0x7fff);
    const significand = view.getBigUint64(at, true);
    return exponent << 63n | (significand & ~(1n << 63n));
  };
  if ((expected.getUint8(at + 9) ^ actual.getUint8(at + 9)) & 0x80) return false;
  const difference = order(expected) - order(actual);
  return difference >= -1n && difference <= 1n;
}

/**
 * Do two replies of a transcendental instruction agree but for one unit of the last place, which the
 * processor may be off, and its reports of it (C1; underflow and inexact at the end of the range)?
 */
export function nearlyAgree(operation: Operation, expected: DataView, actual: DataView): boolean {
  const difference = expected.getUint16(REPLY.status, true) ^ actual.getUint16(REPLY.status, true);
  if ((difference & STATUS_BITS & ~(Flag.C1 | Flag.UE | Flag.PE)) !== 0) return false;
  return isNear(expected, actual, REPLY.st0) &&
    (operation.kind !== "twins" || isNear(expected, actual, REPLY.st1));
}

/** Is the result undefined by the SDM, so that processors may differ? */
function isUndefined({ name }: Operation, request: DataView): boolean {
  const exponent = request.getUint16(REQUEST.a + 8, true) & 0x7fff;
  if (exponent === 0x7fff) return false;
  return name === "F2XM1" && exponent >= BIAS || name === "FYL2XP1" && exponent >= BIAS - 1;
}

/** Runs a batch of random requests on both. */
export async function compareBatch(
  driver: Driver,
  oracle: Oracle,
  operation: Operation,
  random: Random,
  outcome: Outcome,
  examples = 5,
): Promise<void> {
  fillRequests(driver.requests, operation, BATCH, random);
  const reply = await oracle.run(driver.requests, BATCH * REPLY_BYTES);
  driver.run(operation, BATCH);
  const { requests, replies } = driver;
  for (let i = 0; i < BATCH; i++) {
    const request = new DataView(
      requests.buffer,
      requests.byteOffset + i * REQUEST_BYTES,
      REQUEST_BYTES,
    );
    const expected = new DataView(reply.buffer, reply.byteOffset + i * REPLY_BYTES, REPLY_BYTES);
    const actual = new DataView(replies.buffer, replies.byteOffset + i * REPLY_BYTES, REPLY_BYTES);
    if (agree(operation, request.getUint16(REQUEST.control, true), expected, actual)) continue;
    if (operation.transcendental && nearlyAgree(operation, expected, actual)) {
      outcome.near++;
      continue;
    }
    if (isUndefined(operation, request)) continue;
    outcome.failures++;
    if (outcome.examples.length < examples) {
      outcome.examples.push(describe(operation, request, expected, actual));
    }
  }
  outcome.cases += BATCH;
}
