/** A virtio disk driven by a program of its own, in 16 bits, with message-signalled interrupts. */

import assert from "node:assert/strict";
import { word } from "../../bios/assembler.ts";
import { AIO_KINDS } from "../../devices/disk/aio_kind.ts";
import { Machine } from "../../hv/mod.ts";
import { ioUringIsThere } from "../../hv/sys/mod.ts";
import { exitCode, onEach, rom } from "../support/payload.ts";
import {
  DATA,
  initialise,
  interruptHandler,
  INTERRUPTS,
  request,
  STATUS,
  VECTOR,
} from "../support/virtio_program.ts";

const SLOT = 3;

for (const aio of AIO_KINDS) {
  onEach(
    `a program drives a virtio disk by notifications and messages, ${aio}`,
    async (accelerator) => {
      if (aio === "io_uring" && !ioUringIsThere()) return console.log("skipped: no io_uring here");
      const path = Deno.makeTempFileSync({ prefix: "hv-test-disk-" });
      try {
        const sectors = new Uint8Array(4096);
        sectors.set(new TextEncoder().encode("moin"), 512);
        Deno.writeFileSync(path, sectors);
        using image = rom((p) => {
          p.realMode();
          p.unreal();
          p.vector(VECTOR, "interrupt");
          p.mov(word(INTERRUPTS), 0);
          initialise(p, SLOT);
          request(p, 1, 0, 1);
          p.mov("dx", 0x3f8);
          for (let i = 0; i < 4; i++) {
            p.peekByte(DATA + i);
            p.out("dx", "al");
          }
          for (let number = 2; number < 7; number++) {
            p.poke(DATA, 4, 0x2020_2030 + number);
            request(p, number, 1, number);
          }
          p.peekByte(STATUS);
          p.out(0xf4, "al");
          interruptHandler(p);
        });
        await using machine = await Machine.start({
          accelerator,
          memory: "2M",
          bios: image.path,
          disk: { path, interface: "virtio", aio },
        });
        assert.deepEqual(machine.diskEngines, [aio]);
        await machine.console.expect("moin");
        assert.equal(await exitCode(machine), 1, "the last status is OK");
        const written = Deno.readFileSync(path);
        for (let number = 2; number < 7; number++) {
          assert.equal(
            new TextDecoder().decode(written.subarray(number * 512, number * 512 + 4)),
            [
              number,
            ].join().padEnd(4),
          );
        }
      } finally {
        Deno.removeSync(path);
      }
    },
  );
}
