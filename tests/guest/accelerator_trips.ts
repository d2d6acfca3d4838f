/** Guests that go from one accelerator to the other and back while they run. */

import assert from "node:assert/strict";
import type { Machine } from "../../hv/mod.ts";
import { PATIENCE_MS } from "../support/guest/guests.ts";

const timeoutMs = PATIENCE_MS;
/** Started on KVM, and back there in the end. */
const ROUND_TRIP = ["soft", "kvm", "soft", "kvm"] as const;
/** What the guest's clock rounds off, s. */
const ROUNDING_S = 5;
const HALF_DAY_S = 43_200;

/** Seconds since midnight of `h:mm:ss`. */
function secondsOf(text: string): number {
  const [, hours, minutes, seconds] = /(\d+):(\d+):(\d+)/.exec(text)!.map(Number);
  return (hours % 12) * 3600 + minutes * 60 + seconds;
}

/**
 * Does the guest's clock, which `read` tells, go on after each switch, and never ahead of the host's? It
 * may fall behind: where KVM emulates, ticks that a guest misses stay missed.
 */
async function assertTimeGoesOn(m: Machine, read: () => Promise<string>): Promise<void> {
  // The guest looks at its clock some time while we wait for its answer.
  const hostBegun = performance.now();
  const guestBegun = secondsOf(await read());
  for (const accelerator of ROUND_TRIP) {
    const before = await read();
    await m.switchAccelerator(accelerator);
    while (await read() === before);
  }
  const guestSeconds = (secondsOf(await read()) - guestBegun + HALF_DAY_S) % HALF_DAY_S;
  const hostSeconds = (performance.now() - hostBegun) / 1000;
  assert.ok(
    guestSeconds > 0 && guestSeconds <= hostSeconds + ROUNDING_S,
    `${guestSeconds} s in the guest, ${hostSeconds} s outside`,
  );
}

/** FreeDOS, which runs on KVM, answers on each, and its clock goes on. */
export async function freedosGoesBackAndForth(m: Machine): Promise<void> {
  let count = 0;
  await assertTimeGoesOn(m, async () => {
    // A command at a time: a PC holds 15 keys.
    const word = `word${count++}`;
    await m.keyboard.type("cls\n", { timeoutMs });
    await m.screen.waitFor(/^\s*A:\\>$/, { timeoutMs });
    await m.keyboard.type(`echo ${word}\n`, { timeoutMs });
    await m.screen.waitFor(new RegExp(`\n${word}\n\n?A:\\\\>$`), { timeoutMs });
    await m.keyboard.type("time /t\n", { timeoutMs });
    const pattern = /Current time is ([^\n]*)\n\n?A:\\>$/;
    return (await m.screen.waitFor(pattern, { timeoutMs }))[1];
  });
}

/** ELKS, which runs on the software CPU, answers on each and reads its disk. */
export async function elksGoesBackAndForth(m: Machine): Promise<void> {
  for (const accelerator of ["kvm", "soft", "kvm", "soft"] as const) {
    await m.keyboard.type("clear\n", { timeoutMs });
    await m.screen.waitFor(/^#$/, { timeoutMs });
    // Typed before, answered after.
    await m.keyboard.type("ls /bin; date", { timeoutMs });
    await m.switchAccelerator(accelerator);
    await m.keyboard.type("\n", { timeoutMs });
    await m.screen.waitFor(/\bvi\b[^]* 20\d\d\n#$/, { timeoutMs });
  }
}
