/** memtest86+ from Debian's package, in every way it can be started; it draws its screen by itself. */

import { Machine, type MachineOptions } from "../../hv/mod.ts";
import { type GuestCase, guestTest, onBoth, PATIENCE_MS } from "../support/guest/guests.ts";

const timeoutMs = 3 * PATIENCE_MS;

function tests(how: string, options: MachineOptions, file: string, kvmCpus = 1): GuestCase[] {
  return onBoth({
    name: `memtest86+ ${how} shows its screen and tests the memory`,
    needs: [file],
    kvmCpus,
    async body({ accelerator, cpus }) {
      await using m = await Machine.start({ memory: "16M", accelerator, cpus, ...options });
      // It draws one after the other, in whatever order: all of it stays there.
      const shown = [
        /Status: Testing/,
        /Memtest86\+ v\d/,
        /Memory *: +16MB/,
        new RegExp(`CPU: ${cpus} Cores ${cpus} Threads`),
        /Errors: 0/,
      ];
      for (const pattern of shown) await m.screen.waitFor(pattern, { timeoutMs });
      // A pass over memory has begun: a pattern and the range that it is written to.
      await m.screen.waitFor(/Testing: \d+MB - \d+MB \[\d+MB of [\d.]+MB\]/, { timeoutMs });
    },
  });
}

const X64 = "/boot/memtest86+x64.bin";
const IA32 = "/boot/memtest86+ia32.bin";
const ISO = "/usr/lib/memtest86+/memtest86+x64.iso";

guestTest("memtest86+ runs", [
  ...tests("as a 64-bit kernel", { kernel: X64 }, X64),
  ...tests("as a 32-bit kernel", { kernel: IA32 }, IA32),
  ...tests("by its 16-bit entry", { kernel: X64, kernelEntry: "real16" }, X64),
  ...tests("from a CD-ROM", { cdrom: ISO }, ISO, 2),
]);
