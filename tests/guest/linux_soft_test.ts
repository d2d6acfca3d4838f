/** Debian's stock kernel with busybox on the software CPU, as a person would use it. */

import assert from "node:assert/strict";
import { cpioArchive, type CpioEntry } from "../../hv/boot/cpio.ts";
import { Machine } from "../../hv/mod.ts";
import { debianKernel } from "../support/guest_cache.ts";
import { fetched, guestTest, PATIENCE_MS } from "../support/guests.ts";

const KERNEL = debianKernel() ?? fetched("linux-cloud-amd64/boot/vmlinuz");
const BUSYBOX = fetched("busybox-static/bin/busybox");
const COMMANDS = ["sh", "mount", "uname", "ps", "poweroff", "setsid", "cttyhack"];
const INIT = `#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
exec setsid cttyhack sh
`;
const timeoutMs = PATIENCE_MS;
/** The shell's, after which it asks the terminal where its cursor is. */
const PROMPT = /# (.\[6n)?$/;

/** A root file system of busybox and what it is to do. */
function initramfs(): Uint8Array {
  const folders = ["bin", "proc", "sys", "dev"].map((name): CpioEntry => ({
    name,
    kind: "folder",
  }));
  const links = COMMANDS.map((command): CpioEntry => ({
    name: `bin/${command}`,
    kind: "link",
    data: "busybox",
  }));
  return cpioArchive([
    ...folders,
    { name: "dev/console", kind: "character device", permissions: 0o600, device: [5, 1] },
    { name: "bin/busybox", kind: "file", data: Deno.readFileSync(BUSYBOX) },
    ...links,
    { name: "init", kind: "file", data: INIT },
  ]);
}

guestTest("a stock Linux kernel runs on the software CPU", [
  {
    name: "Debian's kernel comes to a shell that answers what is typed, and powers off",
    needs: [KERNEL, BUSYBOX],
    accelerator: "soft",
    async body() {
      const initrd = await Deno.makeTempFile({ prefix: "hv-test-" });
      try {
        await Deno.writeFile(initrd, initramfs());
        await using m = await Machine.start({
          kernel: KERNEL,
          initrd,
          append: "console=ttyS0",
          memory: "256M",
          accelerator: "soft",
        });
        const { console } = m;
        await console.expect(PROMPT, { timeoutMs });
        for (let i = 0; i < 20; i++) {
          console.send(`echo $(uname -m) $((${i} * 7))\n`);
          await console.expect(new RegExp(`\nx86_64 ${i * 7}\r?\n`), { timeoutMs });
          await console.expect(PROMPT, { timeoutMs });
        }
        console.send("ps\n");
        await console.expect(/kthreadd/, { timeoutMs });
        console.send("poweroff -f\n");
        const { reason } = await m.exited;
        assert.equal(reason, "power-off");
      } finally {
        await Deno.remove(initrd);
      }
    },
  },
]);
