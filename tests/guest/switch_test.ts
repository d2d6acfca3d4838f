/** Guests that go from one accelerator to the other and back while they run. */

import assert from "node:assert/strict";
import { Machine } from "../../hv/mod.ts";
import { guestTest, PATIENCE_MS, sharedImage, slowKvm } from "../support/guest/guests.ts";

const FREEDOS = sharedImage("freedos-1.44.img");
const ELKS = sharedImage("elks-0.7.0.img");
const timeoutMs = 3 * PATIENCE_MS;
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

guestTest("a running system goes from one accelerator to the other", [
  ...[1, 2].map((cpus) => ({
    name: `FreeDOS with ${cpus} processor${
      cpus > 1 ? "s" : ""
    } answers on each, and its clock goes on`,
    needs: [FREEDOS],
    accelerator: "kvm" as const,
    async body() {
      await using m = await Machine.start({
        floppy: { path: FREEDOS, overlay: true },
        memory: "16M",
        accelerator: "kvm",
        cpus,
      });
      await m.screen.waitFor(/A:\\>$/, { timeoutMs });
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
      assert.match(m.accelerator, slowKvm ? /^KVM; .*: slow/ : /^KVM$/);
    },
  })),
  {
    name: "ELKS, started on the software CPU, answers on each and reads its disk",
    needs: [ELKS],
    accelerator: "kvm",
    async body() {
      await using m = await Machine.start({
        floppy: { path: ELKS, overlay: true },
        memory: "16M",
        accelerator: "soft",
      });
      await m.screen.waitFor(/login:/, { timeoutMs });
      await m.keyboard.type("root\n", { timeoutMs });
      await m.screen.waitFor(/login: root\n[^]*#$/, { timeoutMs });
      for (const accelerator of ["kvm", "soft", "kvm", "soft"] as const) {
        await m.keyboard.type("clear\n", { timeoutMs });
        await m.screen.waitFor(/^#$/, { timeoutMs });
        // Typed before, answered after.
        await m.keyboard.type("ls /bin; date", { timeoutMs });
        await m.switchAccelerator(accelerator);
        await m.keyboard.type("\n", { timeoutMs });
        await m.screen.waitFor(/\bvi\b[^]* 20\d\d\n#$/, { timeoutMs });
      }
    },
  },
]);
