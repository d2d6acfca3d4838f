/** Debian's stock kernel with busybox on the software CPU, as a person would use it. */

import assert from "node:assert/strict";
import { cpioArchive, type CpioEntry } from "../../hv/boot/cpio.ts";
import { Machine } from "../../hv/mod.ts";
import { debianKernel } from "../support/guest/guest_cache.ts";
import { fetched, guestTest, PATIENCE_MS } from "../support/guest/guests.ts";

const KERNEL = debianKernel() ?? fetched("linux-cloud-amd64/boot/vmlinuz");
const BUSYBOX = fetched("busybox-static/bin/busybox");
const COMMANDS = [
  "sh",
  "mount",
  "uname",
  "ps",
  "poweroff",
  "setsid",
  "cttyhack",
  "nproc",
  "seq",
  "grep",
  "cat",
  "date",
  "dmesg",
];
/** What the kernel has to say later, as on a busy host, would come in the middle of what commands print. */
const INIT = `#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
dmesg -n 1
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

/** Processes side by side, each with a sum to compute. */
const JOBS = 6;
const SUM = "for i in $(seq 300); do s=$((s + i)); done; echo sum$s";

/** More than it takes to stop a machine and to let it go on, ms. */
const SLOW_PAUSE_MS = 30_000;
/** How long the machine stands still in the test of its clock, ms. */
const PAUSED_MS = 2000;

/**
 * The guest's time of day is the host's as it was at the start, and stands still while the machine does:
 * seconds by which it may be behind, from the least to the most.
 */
async function assertClock(m: Machine, least: number, most: number): Promise<void> {
  const { console } = m;
  const asked = Date.now() / 1000;
  console.send("date +now%s.\n");
  const { text } = await console.expect(/\nnow\d+\./, { timeoutMs });
  const answered = Date.now() / 1000;
  const guest = Number(/\nnow(\d+)/.exec(text)![1]);
  await console.expect(PROMPT, { timeoutMs });
  const seen = `${guest} in the guest, ${asked} to ${answered} outside`;
  // The clock chip has whole seconds, and `date` drops what is beyond one.
  assert.ok(guest >= asked - most - 2 && guest <= answered - least + 1, seen);
}

guestTest(
  "a stock Linux kernel runs on the software CPU",
  [1, 2, 4].map((cpus) => ({
    name:
      `Debian's kernel with ${cpus} comes to a shell that answers what is typed, and powers off`,
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
          cpus,
          accelerator: "soft",
        });
        const { console } = m;
        await console.expect(PROMPT, { timeoutMs });
        for (let i = 0; i < 20; i++) {
          console.send(`echo $(uname -m) $((${i} * 7))\n`);
          await console.expect(new RegExp(`\nx86_64 ${i * 7}\r?\n`), { timeoutMs });
          await console.expect(PROMPT, { timeoutMs });
        }
        console.send("nproc\n");
        await console.expect(new RegExp(`\n${cpus}\r?\n`), { timeoutMs });
        await console.expect(PROMPT, { timeoutMs });
        console.send(`for j in $(seq ${JOBS}); do (${SUM}) & done; wait\n`);
        for (let job = 0; job < JOBS; job++) await console.expect(/sum45150\r?\n/, { timeoutMs });
        await console.expect(PROMPT, { timeoutMs });
        console.send("cat /sys/devices/system/clocksource/clocksource0/current_clocksource\n");
        await console.expect(/\nkvm-clock\r?\n/, { timeoutMs });
        await console.expect(PROMPT, { timeoutMs });
        await assertClock(m, 0, 0);
        await m.pause();
        const pausedAt = performance.now();
        await new Promise((resolve) => setTimeout(resolve, PAUSED_MS));
        const stoodMs = performance.now() - pausedAt;
        await m.resume();
        await assertClock(m, stoodMs / 1000, (stoodMs + SLOW_PAUSE_MS) / 1000);
        console.send("grep LOC: /proc/interrupts\n");
        const { text } = await console.expect(/LOC:( +\d+)+ +Local timer/, { timeoutMs });
        const ticks = [.../LOC:((?: +\d+)+)/.exec(text)![1].matchAll(/\d+/g)].map(Number);
        assert.equal(ticks.length, cpus);
        assert.ok(ticks.every((n) => n > 0), `local timer interrupts: ${ticks}`);
        console.send("ps\n");
        await console.expect(/kthreadd/, { timeoutMs });
        console.send("poweroff -f\n");
        const { reason } = await m.exited;
        assert.equal(reason, "power-off");
      } finally {
        await Deno.remove(initrd);
      }
    },
  })),
);
