/** Debian's kernel for virtual machines, loaded directly; and what a user is told when KVM gives up. */

import assert from "node:assert/strict";
import { Machine } from "../../hv/mod.ts";
import { debianKernel } from "../support/guest_cache.ts";
import { fetched, guestTest, PATIENCE_MS, slowKvm } from "../support/guests.ts";

const KERNEL = debianKernel() ?? fetched("linux-cloud-amd64/boot/vmlinuz");
const timeoutMs = PATIENCE_MS;
const append = "console=ttyS0 earlyprintk=ttyS0";

/** A boot sector: POPCNT AX, AX at 7C02h, which KVM's emulator lacks, and HLT. */
const NEEDS_POPCNT = [0xb0, 0x12, 0xf3, 0x0f, 0xb8, 0xc0, 0xf4, 0xeb, 0xfd];

guestTest("a Linux kernel is loaded directly", [
  {
    name: "Debian's cloud kernel prints its first lines and finds what the firmware leaves",
    needs: [KERNEL],
    accelerator: "kvm",
    async body() {
      await using m = await Machine.start({
        kernel: KERNEL,
        append,
        memory: "128M",
        accelerator: "kvm",
      });
      const { console } = m;
      await console.expect(/Linux version \d+\.\d+/, { timeoutMs });
      await console.expect(`Command line: ${append}`, { timeoutMs });
      await console.expect(/BIOS-e820: .* usable/, { timeoutMs });
      await console.expect(/DMI: hv /, { timeoutMs });
      await console.expect("Hypervisor detected: KVM", { timeoutMs });
      await console.expect(/ACPI: APIC 0x/, { timeoutMs });
      // The rest is more than a billion instructions away.
      if (!slowKvm) await console.expect("Freeing unused kernel", { timeoutMs });
    },
  },
  {
    name: "an instruction that KVM's emulator lacks ends the run with a line that names it",
    needs: [],
    accelerator: "kvm",
    skip: slowKvm ? "" : "KVM runs guests at hardware speed here",
    async body() {
      const floppy = await Deno.makeTempFile({ prefix: "hv-test-" });
      try {
        const image = new Uint8Array(1440 * 1024);
        image.set(NEEDS_POPCNT);
        image.set([0x55, 0xaa], 510);
        await Deno.writeFile(floppy, image);
        await using m = await Machine.start({ floppy, memory: "16M", accelerator: "kvm" });
        const { reason, message } = await m.exited;
        assert.equal(reason, "failed");
        assert.match(message, /KVM cannot emulate an instruction at 0000:7c02 \(linear 0x7c02\)/);
        assert.match(message, /bytes f3 0f b8 c0 /);
        assert.match(message, /KVM's emulator, which lacks this instruction: .*VT-x or AMD-V/);
        // Whoever waits is told so, too.
        await assert.rejects(m.screen.waitFor("never"), /bytes f3 0f b8 c0 /);
      } finally {
        await Deno.remove(floppy);
      }
    },
  },
]);
