/** Debian's kernel with its own driver on a virtio entropy device. */

import assert from "node:assert/strict";
import { guestTest } from "../support/guests.ts";
import { LINUX_GUEST, LinuxGuest } from "../support/linux_guest.ts";

const RNG = "/sys/devices/virtual/misc/hw_random";

guestTest("a stock Linux kernel on virtio entropy", [
  {
    name: "finds the device by itself and reads random bytes from it",
    needs: LINUX_GUEST,
    accelerator: "soft",
    async body() {
      await using guest = await LinuxGuest.start({
        rng: true,
        modules: ["virtio_pci", "virtio_rng"],
      });
      assert.equal(await guest.run(`cat ${RNG}/rng_current`), "virtio_rng.0");
      const bytes = await guest.run(
        "dd if=/dev/hwrng bs=4096 count=4 2>/dev/null | tee /r | wc -c",
      );
      assert.equal(bytes, "16384");
      // Neither zeros nor a pattern: compressed, random bytes become more.
      assert.ok(Number(await guest.run("gzip -c /r | wc -c")) > 16384);
      await guest.powerOff();
    },
  },
]);
