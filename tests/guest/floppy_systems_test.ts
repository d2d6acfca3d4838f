/** Systems that live on a floppy disk, typed into and read as a person would. */

import assert from "node:assert/strict";
import { Machine } from "../../hv/mod.ts";
import { guestTest, onBoth, onSoft, PATIENCE_MS, sharedImage } from "../support/guest/guests.ts";

const FREEDOS = sharedImage("freedos-1.44.img");
const FLOPPINUX = sharedImage("floppinux-0.2.2.img");
const ELKS = sharedImage("elks-0.7.0.img");
const timeoutMs = 3 * PATIENCE_MS;

guestTest("systems on floppy disks run to their prompts and answer", [
  ...onBoth({
    name: "FreeDOS boots to A:\\> and answers ver and dir",
    needs: [FREEDOS],
    async body({ accelerator, cpus }) {
      await using m = await Machine.start({
        floppy: { path: FREEDOS, overlay: true },
        memory: "64M",
        accelerator,
        cpus,
      });
      await m.screen.waitFor(/A:\\>$/, { timeoutMs });
      await m.keyboard.type("cls\n", { timeoutMs });
      await m.screen.waitFor(/^\s*A:\\>$/, { timeoutMs });
      await m.keyboard.type("ver\n", { timeoutMs });
      await m.screen.waitFor(/ver\n\n.*FreeCom version 0\.82[^]*A:\\>$/, { timeoutMs });
      await m.keyboard.type("dir\n", { timeoutMs });
      await m.screen.waitFor(/[1-9]\d* file\(s\)[^]* bytes free[^]*A:\\>$/, { timeoutMs });
    },
  }),
  ...onBoth({
    name: "ELKS boots to login:, lets root in and answers ls /bin and ps",
    needs: [ELKS],
    async body({ accelerator, cpus }) {
      await using m = await Machine.start({
        floppy: { path: ELKS, overlay: true },
        memory: "64M",
        accelerator,
        cpus,
      });
      await m.screen.waitFor(/login:/, { timeoutMs });
      await m.keyboard.type("root\n", { timeoutMs });
      await m.screen.waitFor(/login: root\n[^]*#$/, { timeoutMs });
      await m.keyboard.type("clear\n", { timeoutMs });
      await m.screen.waitFor(/^#$/, { timeoutMs });
      await m.keyboard.type("ls /bin\n", { timeoutMs });
      await m.screen.waitFor(/ls /, { timeoutMs });
      const [listing] = await m.screen.waitFor(/ls \/bin\n[^]*#$/, { timeoutMs });
      for (const command of ["login", "ps", "sh", "vi"]) assert.match(listing, wordOf(command));
      await m.keyboard.type("clear\n", { timeoutMs });
      await m.screen.waitFor(/^#$/, { timeoutMs });
      await m.keyboard.type("ps\n", { timeoutMs });
      await m.screen.waitFor(/PID .*COMMAND\n +1 .*\/bin\/init\n[^]* ps\n#$/, { timeoutMs });
    },
  }),
  ...onSoft({
    name: "FLOPPINUX, Linux for the i686, comes to its menu",
    needs: [FLOPPINUX],
    async body({ accelerator, cpus }) {
      await using m = await Machine.start({
        floppy: { path: FLOPPINUX, overlay: true },
        memory: "64M",
        accelerator,
        cpus,
      });
      await m.screen.waitFor(/CHOOSE:/, { timeoutMs });
    },
  }),
]);

const wordOf = (word: string) => new RegExp(`\\b${word}\\b`);
