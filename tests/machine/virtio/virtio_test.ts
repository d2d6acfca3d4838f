/** A virtio disk driven by a program of its own, in 16 bits, with message-signalled interrupts. */

import assert from "node:assert/strict";
import { AIO_KINDS } from "../../../devices/disk/engine/aio_kind.ts";
import { ioUringIsThere } from "../../../hv/sys/file/io_uring.ts";
import { onEach } from "../../support/payload.ts";
import { drivesDisk } from "../../support/guest/virtio_disk_program.ts";
import { initialise, interruptHandler, VECTOR } from "../../support/guest/virtio_program.ts";

const SLOT = 3;

for (const aio of AIO_KINDS) {
  onEach(
    `a program drives a virtio disk by notifications and messages, ${aio}`,
    async (accelerator) => {
      if (aio === "io_uring" && !ioUringIsThere()) return console.log("skipped: no io_uring here");
      await drivesDisk({
        vector: VECTOR,
        initialise: (p) => initialise(p, SLOT),
        handler: interruptHandler,
        options: { accelerator },
        disk: { aio },
        look: (machine) => assert.deepEqual(machine.diskEngines, [aio]),
      });
    },
  );
}
