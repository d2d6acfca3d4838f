/** GRUB's rescue images from Debian's package, by our firmware, from every kind of drive. */

import { Machine, type MachineOptions } from "../../hv/mod.ts";
import { type GuestCase, guestTest, onBoth, PATIENCE_MS } from "../support/guest/guests.ts";

const FOLDER = "/usr/lib/grub-rescue";
// GRUB unpacks and links all of itself first: 40 million instructions.
const timeoutMs = 3 * PATIENCE_MS;

interface Drive {
  readonly from: string;
  readonly image: string;
  /** What `ls` lists. */
  readonly listing: RegExp;
  options(path: string): MachineOptions;
}

function reachesPrompt({ from, image, listing, options }: Drive): GuestCase[] {
  const path = `${FOLDER}/${image}`;
  return onBoth({
    name: `GRUB from ${from} reaches its prompt and lists the drives`,
    needs: [path],
    async body({ accelerator, cpus }) {
      await using m = await Machine.start({
        memory: "64M",
        accelerator,
        cpus,
        ...options(path),
      });
      await m.screen.waitFor("Welcome to GRUB!", { timeoutMs });
      // Its menu has a command line behind it.
      await m.screen.waitFor(/GNU GRUB +version 2[^]*`c' for a command-line/, { timeoutMs });
      await m.keyboard.type("c", { timeoutMs });
      await m.screen.waitFor(/grub>$/, { timeoutMs });
      await m.keyboard.type("ls\n", { timeoutMs });
      await m.screen.waitFor(listing, { timeoutMs });
    },
  });
}

const FLOPPY = `${FOLDER}/grub-rescue-floppy.img`;

guestTest("GRUB's rescue images run", [
  ...reachesPrompt({
    from: "a CD-ROM",
    image: "grub-rescue-cdrom.iso",
    listing: /grub> ls\n\(cd\) \(cd,msdos1\)\s*grub>$/,
    options: (cdrom) => ({ cdrom }),
  }),
  ...reachesPrompt({
    from: "a disk",
    image: "grub-rescue-usb.img",
    listing: /grub> ls\n\(hd0\) \(hd0,msdos1\)\s*grub>$/,
    options: (path) => ({ disk: { path, overlay: true } }),
  }),
  ...onBoth({
    name: "GRUB from a floppy, whose image is shorter than the diskette, starts",
    needs: [FLOPPY],
    async body({ accelerator, cpus, slow }) {
      await using m = await Machine.start({
        memory: "64M",
        accelerator,
        cpus,
        floppy: { path: FLOPPY, overlay: true },
      });
      await m.screen.waitFor("Welcome to GRUB!", { timeoutMs });
      // Its modules are compressed: emulated, that takes minutes.
      if (!slow) await m.screen.waitFor(/GNU GRUB +version 2/, { timeoutMs });
    },
  }),
]);
