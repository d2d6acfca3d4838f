/** ISOLINUX, memdisk and iPXE, and what is booted through them. */

import { Machine } from "../../hv/mod.ts";
import { bootableIso } from "../support/guest/iso9660.ts";
import { fetched, guestTest, onBoth, PATIENCE_MS, sharedImage } from "../support/guest/guests.ts";

const ISOLINUX = fetched("isolinux/usr/lib/ISOLINUX/isolinux.bin");
const LDLINUX = fetched("syslinux-common/usr/lib/syslinux/modules/bios/ldlinux.c32");
const MEMDISK = fetched("syslinux-common/usr/lib/syslinux/memdisk");
const FREEDOS = sharedImage("freedos-1.44.img");
const IPXE_ISO = "/usr/lib/ipxe/ipxe.iso";
const IPXE = "/boot/ipxe.lkrn";
const timeoutMs = 3 * PATIENCE_MS;

const CONFIGURATION = `PROMPT 1
SAY hv greets ISOLINUX
DEFAULT none
LABEL dos
  KERNEL /memdisk
  INITRD /dos.img
`;

guestTest("boot loaders of the SYSLINUX family, and iPXE, run", [
  ...onBoth({
    name: "ISOLINUX reads its configuration and boots FreeDOS from a disk in memory",
    needs: [ISOLINUX, LDLINUX, MEMDISK, FREEDOS],
    async body({ accelerator, cpus }) {
      const iso = bootableIso([
        { name: "ISOLINUX.BIN", bytes: await Deno.readFile(ISOLINUX) },
        { name: "ISOLINUX.CFG", bytes: new TextEncoder().encode(CONFIGURATION) },
        { name: "LDLINUX.C32", bytes: await Deno.readFile(LDLINUX) },
        { name: "MEMDISK", bytes: await Deno.readFile(MEMDISK) },
        { name: "DOS.IMG", bytes: await Deno.readFile(FREEDOS) },
      ]);
      const cdrom = await Deno.makeTempFile({ prefix: "hv-test-" });
      try {
        await Deno.writeFile(cdrom, iso);
        await using m = await Machine.start({ cdrom, memory: "64M", accelerator, cpus });
        await m.screen.waitFor(/ISOLINUX 6[^]*hv greets ISOLINUX[^]*boot:$/, { timeoutMs });
        await m.keyboard.type("dos\n", { timeoutMs });
        await m.screen.waitFor(/MEMDISK/, { timeoutMs });
        await m.screen.waitFor(/A:\\>$/, { timeoutMs });
      } finally {
        await Deno.remove(cdrom);
      }
    },
  }),
  ...onBoth({
    name: "iPXE's CD-ROM starts ISOLINUX",
    needs: [IPXE_ISO],
    async body({ accelerator, cpus }) {
      await using m = await Machine.start({ cdrom: IPXE_ISO, memory: "64M", accelerator, cpus });
      await m.screen.waitFor(/ISOLINUX 6\S+ .*Copyright/, { timeoutMs });
    },
  }),
  ...onBoth({
    name: "iPXE started as a kernel shows its banner",
    needs: [IPXE],
    // Such a KVM also delivers interrupts to SS:ESP without the base of SS, and iPXE's is not 0.
    skipEmulated: "it unpacks itself for minutes where KVM emulates",
    async body({ accelerator, cpus }) {
      await using m = await Machine.start({ kernel: IPXE, memory: "64M", accelerator, cpus });
      await m.screen.waitFor(/iPXE \d\S* .*Open Source Network Boot Firmware/, { timeoutMs });
    },
  }),
]);
