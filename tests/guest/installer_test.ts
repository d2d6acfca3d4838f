/** Debian 12's installer, loaded directly: a full distribution's kernel and a large initial RAM disk. */

import { Machine } from "../../hv/mod.ts";
import { packageFolder } from "../../hv/linux/packages.ts";
import { INSTALLER } from "../support/guest/guest_cache.ts";
import { guestTest, onSoft, PATIENCE_MS } from "../support/guest/guests.ts";

const FOLDER = `${packageFolder(INSTALLER)}/usr/lib/debian-installer/images/12/amd64/text/` +
  "debian-installer/amd64";
const KERNEL = `${FOLDER}/linux`;
const INITRD = `${FOLDER}/initrd.gz`;
/** The kernel's tests of its own ciphers take as long as all the rest. */
const APPEND = "console=ttyS0 cryptomgr.notests";
const timeoutMs = 3 * PATIENCE_MS;

guestTest("Debian's installer starts on the software CPU", [
  ...onSoft({
    name: "the installer's kernel finds its disk in memory and, with one processor, runs it",
    needs: [KERNEL, INITRD],
    async body({ accelerator, cpus }) {
      await using m = await Machine.start({
        kernel: KERNEL,
        initrd: INITRD,
        append: APPEND,
        memory: "512M",
        accelerator,
        cpus,
      });
      const { console } = m;
      await console.expect("Hypervisor detected: KVM", { timeoutMs });
      await console.expect(new RegExp(`smp: Brought up 1 node, ${cpus} CPU`), { timeoutMs });
      await console.expect("Trying to unpack rootfs image as initramfs", { timeoutMs });
      // 38 MiB to unpack: once is enough.
      if (cpus === 1) await console.expect("Starting system log daemon", { timeoutMs });
    },
  }),
]);
