/** `switchAccelerator` as a program that calls it sees it; guests are in tests/guest/accelerator_trips.ts. */

import assert from "node:assert/strict";
import { HostError, Machine, UsageError } from "../../hv/mod.ts";
import { PATIENCE_MS } from "../support/guest/guests.ts";
import { noKvm } from "../accel/kvm/test_machine.ts";

const options = { memory: "16M" } as const;
const ignore = noKvm !== "";
if (ignore) console.log(`skipped: ${noKvm}`);

/** Enables AVX's state in XCR0, then writes "x" to port E9h again and again. */
const USES_AVX = [
  ...[0x0f, 0x20, 0xe0, 0x66, 0x0d, 0x00, 0x00, 0x04, 0x00, 0x0f, 0x22, 0xe0], // CR4.OSXSAVE
  ...[0x66, 0x31, 0xc9, 0x66, 0x31, 0xd2, 0x66, 0xb8, 0x07, 0x00, 0x00, 0x00], // edx:eax = 7
  ...[0x0f, 0x01, 0xd1, 0xb0, 0x78, 0xe6, 0xe9, 0xeb, 0xfc], // xsetbv; mov al, "x"; out; jmp
];

Deno.test({
  name: "a guest that uses what the software CPU has not stays where it is and goes on",
  ignore: ignore || !/\bavx\b/.test(Deno.readTextFileSync("/proc/cpuinfo")),
  async fn() {
    const floppy = await Deno.makeTempFile({ prefix: "hv-test-" });
    try {
      const image = new Uint8Array(1440 * 1024);
      image.set(USES_AVX);
      image.set([0x55, 0xaa], 510);
      await Deno.writeFile(floppy, image);
      await using m = await Machine.start({ ...options, floppy, accelerator: "kvm" });
      const debug = m.consoles.find(({ name }) => name === "debugcon")!;
      await debug.expect("xxx", { timeoutMs: PATIENCE_MS });
      await assert.rejects(
        m.switchAccelerator("soft"),
        (error) => error instanceof HostError && /software CPU: .*XCR0 \(AVX\)/.test(error.message),
      );
      assert.equal(m.state, "running");
      assert.match(m.accelerator, /^KVM/);
      // It goes on: more comes.
      await new Promise<void>((resolve) => debug.listen(() => resolve()));
    } finally {
      await Deno.remove(floppy);
    }
  },
});

Deno.test({
  name: "a machine that is paused stays so, and one that has ended cannot go anywhere",
  ignore,
  async fn() {
    await using m = await Machine.start({ ...options, accelerator: "kvm" });
    await m.pause();
    await m.switchAccelerator("soft");
    assert.equal(m.state, "paused");
    await m.resume();
    await m.screen.waitFor(/>\s*$/, { timeoutMs: PATIENCE_MS });
    // A reset finds the chips of the accelerator that runs.
    await m.reset();
    await m.screen.waitFor(/>\s*$/, { timeoutMs: PATIENCE_MS });
    await m[Symbol.asyncDispose]();
    await assert.rejects(m.switchAccelerator("kvm"), UsageError);
  },
});
