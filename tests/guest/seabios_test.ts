/** SeaBIOS from the host's package, unmodified, on our board: it knows the board as QEMU's. */

import { type GuestConsole, Machine } from "../../hv/mod.ts";
import { guestTest, onBoth, PATIENCE_MS, sharedImage } from "../support/guest/guests.ts";

const FREEDOS = sharedImage("freedos-1.44.img");
const BIOS_256K = "/usr/share/seabios/bios-256k.bin";
const BIOS_128K = "/usr/share/seabios/bios.bin";
/** The display's ROM, which the board finds beside the firmware. */
const VGA = "/usr/share/seabios/vgabios-isavga.bin";
const timeoutMs = 3 * PATIENCE_MS;

const DISK_BYTES = 4 << 20;
/** A boot sector that says OK by INT 10h and halts. */
const BOOT_SECTOR = [
  ...[0xb8, 0x4f, 0x0e, 0xcd, 0x10], // mov ax, 0E4Fh; int 10h
  ...[0xb8, 0x4b, 0x0e, 0xcd, 0x10], // mov ax, 0E4Bh; int 10h
  ...[0xf4, 0xeb, 0xfd], // again: hlt; jmp again
];

async function bootsFrom(device: string, log: GuestConsole): Promise<void> {
  await log.expect(/Found QEMU fw_cfg/, { timeoutMs });
  await log.expect(`Booting from ${device}`, { timeoutMs });
  await log.expect("Booting from 0000:7c00", { timeoutMs });
}

const firmwareLog = (m: Machine) => m.consoles.find(({ name }) => name === "firmware log")!;

guestTest("SeaBIOS runs on the board", [
  ...onBoth({
    name: "SeaBIOS (256 KiB) boots FreeDOS from a floppy",
    needs: [BIOS_256K, VGA, FREEDOS],
    async body({ accelerator, cpus }) {
      await using m = await Machine.start({
        bios: BIOS_256K,
        floppy: { path: FREEDOS, overlay: true },
        memory: "64M",
        accelerator,
        cpus,
      });
      await bootsFrom("Floppy", firmwareLog(m));
      await m.screen.waitFor(/A:\\>$/, { timeoutMs });
      await m.keyboard.type("ver\n", { timeoutMs });
      await m.screen.waitFor(/ver\n\n.*FreeCom version 0\.82/, { timeoutMs });
    },
  }),
  ...onBoth({
    name: "SeaBIOS (128 KiB) boots a hard disk",
    needs: [BIOS_128K, VGA],
    async body({ accelerator, cpus }) {
      const disk = await Deno.makeTempFile({ prefix: "hv-test-" });
      try {
        const image = new Uint8Array(DISK_BYTES);
        image.set(BOOT_SECTOR);
        image.set([0x55, 0xaa], 510);
        await Deno.writeFile(disk, image);
        await using m = await Machine.start({
          bios: BIOS_128K,
          disk,
          memory: "64M",
          accelerator,
          cpus,
        });
        await bootsFrom("Hard Disk", firmwareLog(m));
        await m.screen.waitFor(/OK$/, { timeoutMs });
      } finally {
        await Deno.remove(disk);
      }
    },
  }),
]);
