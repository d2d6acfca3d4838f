/** Debian's kernel for virtual machines, loaded directly; and what a user is told when KVM gives up. */

import assert from "node:assert/strict";
import { Machine } from "../../hv/mod.ts";
import { debianKernel } from "../support/guest/guest_cache.ts";
import { fetched, guestTest, PATIENCE_MS, slowKvm } from "../support/guest/guests.ts";

const KERNEL = debianKernel() ?? fetched("linux-cloud-amd64/boot/vmlinuz");
const timeoutMs = 3 * PATIENCE_MS;
const append = "console=ttyS0 earlyprintk=ttyS0";

/** A boot sector: XOR AL, AL; OUT E9h, AL; POPCNT AX, AX at 7C04h, which KVM's emulator lacks… */
const NEEDS_POPCNT = [
  ...[0xb0, 0x0f, 0x30, 0xe4, 0xf3, 0x0f, 0xb8, 0xc0, 0x04, 0x30, 0xe6, 0xe9], // …ADD AL, "0"; OUT
  ...[0xf4, 0xeb, 0xfd],
];
/** VADDPS YMM0, YMM0, YMM1 in real mode, at 7C00h: nobody has it there. */
const NEEDS_AVX = [0xc5, 0xfc, 0x58, 0xc1, 0xf4, 0xeb, 0xfd];

async function withBootSector(
  code: readonly number[],
  body: (floppy: string) => Promise<void>,
): Promise<void> {
  const floppy = await Deno.makeTempFile({ prefix: "hv-test-" });
  try {
    const image = new Uint8Array(1440 * 1024);
    image.set(code);
    image.set([0x55, 0xaa], 510);
    await Deno.writeFile(floppy, image);
    await body(floppy);
  } finally {
    await Deno.remove(floppy);
  }
}

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
      // What KVM's emulator lacks (POPCNT, INT3, CMPXCHG16B, XRSTOR…) is executed on the software
      // CPU. The rest of the way is a billion instructions, at a million a second.
      // Alone on the host, the test machine's KVM comes here in a minute and a half.
      await console.expect(/x86\/fpu: /, { timeoutMs: 4 * timeoutMs });
      if (slowKvm) assert.ok(m.filledInstructions!.count > 0);
      else await console.expect("Freeing unused kernel", { timeoutMs });
    },
  },
  {
    name: "an instruction that KVM's emulator lacks is executed, and described",
    needs: [],
    accelerator: "kvm",
    skip: slowKvm ? "" : "KVM runs guests at hardware speed here",
    body: () =>
      withBootSector(NEEDS_POPCNT, async (floppy) => {
        await using m = await Machine.start({ floppy, memory: "16M", accelerator: "kvm" });
        await m.consoles.find(({ name }) => name === "debugcon")!.expect("4", { timeoutMs });
        assert.match(
          await m.describe(),
          /1 instruction that KVM lacks \(1 popcnt\) was executed on the software CPU/,
        );
      }),
  },
  {
    name: "an instruction that nobody has ends the run with a line that names it",
    needs: [],
    accelerator: "kvm",
    skip: slowKvm ? "" : "KVM runs guests at hardware speed here",
    body: () =>
      withBootSector(NEEDS_AVX, async (floppy) => {
        await using m = await Machine.start({
          floppy,
          memory: "16M",
          accelerator: "kvm",
        });
        const { reason, message } = await m.exited;
        assert.equal(reason, "failed");
        assert.match(message, /KVM cannot emulate an instruction at 0000:7c00 \(linear 0x7c00\)/);
        assert.match(message, /bytes c5 fc 58 c1 /);
        assert.match(message, /and the software CPU does not have it either: .*VT-x or AMD-V/);
        // Whoever waits is told so, too.
        await assert.rejects(m.screen.waitFor("never"), /bytes c5 fc 58 c1 /);
      }),
  },
]);
