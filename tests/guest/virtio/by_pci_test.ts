/** Debian's kernel with its own drivers on virtio devices by PCI, one after the other, and all at once. */

import assert from "node:assert/strict";
import { guestTest, inTurn } from "../../support/guest/guests.ts";
import { LINUX_GUEST, LinuxGuest } from "../../support/guest/linux_guest.ts";
import { givesMemory, RAM_MIB } from "./bodies/balloon.ts";
import { hasConsole, hasEntropy } from "./bodies/console.ts";
import { ext4, FSCK, MKFS, withImage } from "./bodies/disk.ts";
import { compilerProblem, connects, withProgram } from "./bodies/vsock.ts";

guestTest("a stock Linux kernel on virtio devices by PCI", [
  {
    name: "finds what is there by itself",
    needs: [...LINUX_GUEST, MKFS, FSCK],
    accelerator: "soft",
    body: (t) =>
      withImage((disk) =>
        withProgram(async (directory, program) => {
          const path = `${directory}/v`;
          await using guest = await LinuxGuest.start({
            cpus: 2,
            memory: `${RAM_MIB}M`,
            console: "virtio",
            rng: true,
            balloon: true,
            disk: { path: disk, interface: "virtio", serial: "DATA-1" },
            vsock: { path, cid: 42 },
            modules: [
              ...["virtio_pci", "virtio_console", "virtio_rng", "virtio_balloon", "virtio_blk"],
              ...["ext4", "vmw_vsock_virtio_transport"],
            ],
            programs: [MKFS, FSCK, ...program === undefined ? [] : [program]],
          });
          await inTurn(t, {
            "hvc0 is the console instead of a serial port, with a shell and the terminal's size":
              () => hasConsole(guest),
            "random bytes come from the entropy device": () => hasEntropy(guest),
            "by vsock, guest and host connect to each other, send much, half-close, and refuse":
              program === undefined ? compilerProblem()! : () => connects(guest, path, program),
            "ext4 is made, filled and read back with equal checksums, and fsck is clean": () =>
              ext4(guest, disk),
            "by a balloon it gives up half of its memory and takes it back while a memory test goes on, and what is free goes to the host":
              () => givesMemory(guest),
            "it powers off": () => guest.powerOff(),
            "the host's fsck is clean, too": async () => {
              const { success, stdout } = await new Deno.Command(FSCK, { args: ["-fn", disk] })
                .output();
              assert.ok(success, new TextDecoder().decode(stdout));
            },
          });
        })
      ),
  },
]);
