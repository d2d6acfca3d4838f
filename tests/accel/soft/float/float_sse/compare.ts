/** Random requests for SSE, favouring what is hard, and their comparison with the processor. */

import { Random } from "../float80/operands.ts";
import type { Oracle } from "../float80/oracle.ts";
import { BATCH, type Driver, REPLY, REPLY_BYTES, REQUEST, REQUEST_BYTES } from "./driver.ts";
import type { Operation } from "./operations.ts";

/** Runs SSE instructions. */
export const SSE_ORACLE = new URL("./oracle.c", import.meta.url);

/** What came of a comparison. */
export interface Outcome {
  cases: number;
  failures: number;
  readonly examples: string[];
}

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
    const sticky = random.pick(0, 0x20, 0x20, random.below(64));
    const masks = random.below(16) === 0 ? random.below(64) : 0x3f;
    const rounding = random.pick(0, random.below(4));
    const modes = random.pick(0, 0, 0x40, 0x8000, 0x8040);
    view.setUint32(at + REQUEST.operation, operation.number, true);
    view.setUint32(at + REQUEST.mxcsr, masks << 7 | rounding << 13 | modes | sticky, true);
    const exponent = putOperand(view, at + REQUEST.a, operation, undefined, random);
    putOperand(view, at + REQUEST.b, operation, exponent, random);
    if (random.below(12) === 0) {
      view.setBigUint64(at + REQUEST.b, view.getBigUint64(at + REQUEST.a, true), true);
    }
  }
}

function putOperand(
  view: DataView,
  at: number,
  { width, kind }: Operation,
  other: number | undefined,
  random: Random,
): number {
  const isSingle = width === 32;
  const maximum = isSingle ? 255 : 2047;
  const bias = maximum >> 1;
  const digits = isSingle ? 23 : 52;
  const near = (e: number) => Math.max(0, Math.min(maximum, e));
  const exponent = other === undefined
    ? random.pick(
      0,
      1,
      maximum,
      maximum - 1,
      random.below(maximum),
      near(bias + random.below(70) - 3),
      near(bias + random.below(30)),
      near(bias + random.below(10) - 5),
    )
    : random.pick(
      0,
      maximum,
      near(other + random.below(2 * digits) - digits),
      near(2 * bias - other + random.below(8) - 4),
      near(bias - other + random.below(digits) - (digits >> 1)),
      near(other - bias + random.below(8) - 4),
      near(other + bias + random.below(8) - 4),
      random.below(maximum),
    );
  let high = random.word();
  let low = random.word();
  switch (random.below(8)) {
    case 0:
      high = low = 0;
      break;
    case 1:
      high = low = -1;
      break;
    case 2:
      high = -1 << random.below(20);
      low = 0;
      break;
    case 3: // about half a unit of single precision, seen from double
      low = low & 0xe000_0000 | random.pick(0x1000_0000, 0x0fff_ffff, 0x1000_0001, 0);
      break;
    case 4:
      high = random.below(4);
      low = random.pick(0, 1, 2, 3);
      break;
  }
  if (kind.startsWith("fromInteger")) {
    const shift = random.below(32);
    view.setUint32(at, low, true);
    view.setUint32(at + 4, high >> shift, true);
  } else if (isSingle) {
    const bits = (high ^ low) & 0x7f_ffff | exponent << 23 | random.word() & 0x8000_0000;
    view.setUint32(at, bits, true);
    view.setUint32(at + 4, 0, true);
  } else {
    view.setUint32(at, low, true);
    view.setUint32(at + 4, high & 0xf_ffff | exponent << 20 | random.word() & 0x8000_0000, true);
  }
  return exponent;
}

/** Runs a batch of random requests on both. */
export async function compareBatch(
  driver: Driver,
  oracle: Oracle,
  operation: Operation,
  random: Random,
  outcome: Outcome,
): Promise<void> {
  fillRequests(driver.requests, operation, BATCH, random);
  const expected = await oracle.run(driver.requests, BATCH * REPLY_BYTES);
  driver.run(operation, BATCH);
  const view = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const [request, real, soft] = [driver.requests, expected, driver.replies].map(view);
  for (let i = 0; i < BATCH; i++) {
    const reply = i * REPLY_BYTES;
    const flags = (of: DataView) => of.getUint32(reply + REPLY.flags, true);
    const trapped = (of: DataView) => of.getUint32(reply + REPLY.trapped, true);
    const word = (of: DataView, at: number) => of.getUint32(reply + REPLY.result + at, true);
    const same = flags(real) === flags(soft) && trapped(real) === trapped(soft) &&
      (trapped(real) !== 0 ||
        word(real, 0) === word(soft, 0) &&
          (operation.resultBits === 32 || word(real, 4) === word(soft, 4)));
    if (same) continue;
    outcome.failures++;
    if (outcome.examples.length >= 6) continue;
    const hex = (of: DataView, at: number) => of.getBigUint64(at, true).toString(16);
    const at = i * REQUEST_BYTES;
    const say = (of: DataView) =>
      `${hex(of, reply + REPLY.result)} flags ${flags(of).toString(16)} trap ${trapped(of)}`;
    outcome.examples.push(
      `${operation.name} mxcsr=${request.getUint32(at + REQUEST.mxcsr, true).toString(16)} ` +
        `${hex(request, at + REQUEST.a)} ${hex(request, at + REQUEST.b)}\n` +
        `  processor ${say(real)}\n  software  ${say(soft)}`,
    );
  }
  outcome.cases += BATCH;
}
