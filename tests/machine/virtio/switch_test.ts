/** A virtio disk whose guest moves from one accelerator to the other while it is at work. */

import assert from "node:assert/strict";
import { word } from "../../../bios/assembler/assembler.ts";
import { Machine } from "../../../hv/mod.ts";
import { exitCode, kvmTest, rom } from "../../support/payload.ts";
import {
  initialise,
  interruptHandler,
  INTERRUPTS,
  request,
  VECTOR,
} from "../../support/guest/virtio_program.ts";

/** Ends a test that hangs. */
const PATIENCE_MS = 300_000;
const SLOT = 3;
/** Rounds of requests so far. */
const ROUNDS = 0x602;
/** The host sets this byte when the guest has done enough. */
const ENOUGH = 0x604;

/** Waits until `reached`, which it asks often. */
async function until(reached: () => boolean): Promise<void> {
  const limit = performance.now() + PATIENCE_MS;
  while (!reached()) {
    assert.ok(performance.now() < limit, "it has not come to that in time");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

kvmTest("a guest at work on a virtio disk goes from KVM to the software CPU and back", async () => {
  const path = Deno.makeTempFileSync({ prefix: "hv-test-disk-" });
  try {
    Deno.writeFileSync(path, new Uint8Array(4096));
    using image = rom((p) => {
      p.realMode();
      p.unreal();
      p.vector(VECTOR, "interrupt");
      p.mov(word(ROUNDS), 0);
      p.mov(word(ENOUGH), 0);
      p.label("again");
      p.mov(word(INTERRUPTS), 0);
      initialise(p, SLOT);
      for (let number = 1; number <= 6; number++) request(p, number, number & 1, number);
      p.inc(word(ROUNDS));
      p.alu("cmp", word(ENOUGH), 0);
      p.jcc("nz", "enough");
      p.jmp("again");
      p.label("enough");
      p.exit(3);
      interruptHandler(p);
    });
    await using machine = await Machine.start({
      accelerator: "kvm",
      memory: "2M",
      bios: image.path,
      disk: { path, interface: "virtio" },
    });
    const rounds = () => new Uint16Array(machine.readMemory(ROUNDS, 2)!.buffer)[0];
    const goesOn = async () => {
      const before = rounds();
      await until(() => rounds() !== before);
    };
    for (const accelerator of ["soft", "kvm", "soft"] as const) {
      await goesOn();
      await machine.switchAccelerator(accelerator);
    }
    await goesOn();
    machine.writeMemory(ENOUGH, Uint8Array.of(1));
    assert.equal(await exitCode(machine, PATIENCE_MS), 7);
  } finally {
    Deno.removeSync(path);
  }
});
