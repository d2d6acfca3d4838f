/** Systems that live on a floppy disk, typed into and read as a person would. */

import assert from "node:assert/strict";
import { Machine } from "../../hv/mod.ts";
import {
  guestTest,
  inTurn,
  noKvm,
  onBoth,
  PATIENCE_MS,
  sharedImage,
  slowKvm,
} from "../support/guest/guests.ts";
import { serve } from "../support/guest/network_data.ts";
import { elksGoesBackAndForth, freedosGoesBackAndForth } from "./accelerator_trips.ts";

const FREEDOS = sharedImage("freedos-1.44.img");
const FLOPPINUX = sharedImage("floppinux-0.2.2.img");
const ELKS = sharedImage("elks-0.7.0.img");
const timeoutMs = PATIENCE_MS;

async function startsFreedos(accelerator: "kvm" | "soft", cpus: number): Promise<Machine> {
  const m = await Machine.start({
    floppy: { path: FREEDOS, overlay: true },
    memory: "64M",
    accelerator,
    cpus,
  });
  await m.screen.waitFor(/A:\\>$/, { timeoutMs });
  return m;
}

/** From KVM to the software CPU and back, twice. */
async function freedosMoves(m: Machine): Promise<void> {
  await freedosGoesBackAndForth(m);
  assert.match(m.accelerator, slowKvm ? /^KVM; .*: slow/ : /^KVM$/);
}

/** Programs of ELKS. */
async function elksAnswers(m: Machine): Promise<void> {
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
}

/** ELKS on a network, over an NE2000 on the ISA bus, to and from the host. */
async function elksFetchesAndServes(m: Machine): Promise<void> {
  const page = Array.from({ length: 300 }, (_, i) => `line ${i} of the page\n`).join("");
  await using server = serve(new TextEncoder().encode(page), "127.0.0.1");
  await m.keyboard.type("clear\n", { timeoutMs });
  await m.screen.waitFor(/^#$/, { timeoutMs });
  await m.keyboard.type("net start ne0\n", { timeoutMs });
  await m.screen.waitFor(/Starting daemons [^]*#$/, { timeoutMs });
  await m.keyboard.type(`clear; urlget http://10.0.2.2:${server.port}/ > /tmp/x; wc /tmp/x\n`, {
    timeoutMs,
  });
  const counts = new RegExp(`300 +1500 +${page.length} /tmp/x\n#$`);
  await m.screen.waitFor(counts, { timeoutMs });
  await m.keyboard.type("clear; tail -1 /tmp/x; httpd\n", { timeoutMs });
  await m.screen.waitFor(/line 299 of the page\n[^]*#$/, { timeoutMs });
  const { hostPort } = m.forwards[0];
  const answer = await fetch(`http://127.0.0.1:${hostPort}/index.html`);
  assert.match(await answer.text(), /Welcome to ELKS[^]*It worked!!/);
}

guestTest("systems on floppy disks run to their prompts and answer", [
  ...onBoth({
    name: "FreeDOS boots to A:\\> and answers",
    needs: [FREEDOS],
    async body({ accelerator, cpus }, t) {
      await using m = await startsFreedos(accelerator, cpus);
      await inTurn(t, {
        "ver and dir": async () => {
          await m.keyboard.type("cls\n", { timeoutMs });
          await m.screen.waitFor(/^\s*A:\\>$/, { timeoutMs });
          await m.keyboard.type("ver\n", { timeoutMs });
          await m.screen.waitFor(/ver\n\n.*FreeCom version 0\.82[^]*A:\\>$/, { timeoutMs });
          await m.keyboard.type("dir\n", { timeoutMs });
          await m.screen.waitFor(/[1-9]\d* file\(s\)[^]* bytes free[^]*A:\\>$/, { timeoutMs });
        },
        ...accelerator === "kvm" &&
          { "on each accelerator, while its clock goes on": () => freedosMoves(m) },
      });
    },
  }),
  {
    name: "FreeDOS with 2 processors answers on each accelerator, and its clock goes on",
    needs: [FREEDOS],
    accelerator: "kvm",
    async body() {
      await using m = await startsFreedos("kvm", 2);
      await freedosMoves(m);
    },
  },
  ...onBoth({
    name: "ELKS, a 16-bit Unix, boots to login:, lets root in and",
    needs: [ELKS],
    async body({ accelerator, cpus }, t) {
      await using m = await Machine.start({
        floppy: { path: ELKS, overlay: true },
        memory: "64M",
        accelerator,
        cpus,
        // Where ELKS looks for one.
        network: { end: { user: { forwards: ["tcp:0:80"] } }, model: "ne2k_isa", irq: 12 },
      });
      await m.screen.waitFor(/eth: ne0 at 0x300, irq 12, \(ne2k\) MAC 52:54:00:[^]*login:/, {
        timeoutMs,
      });
      await m.keyboard.type("root\n", { timeoutMs });
      await m.screen.waitFor(/login: root\n[^]*#$/, { timeoutMs });
      const moves = accelerator === "soft" && cpus === 1;
      await inTurn(t, {
        "answers ls /bin and ps": () => elksAnswers(m),
        "fetches a page and serves one": () => elksFetchesAndServes(m),
        ...moves && {
          "answers on each accelerator and reads its disk": noKvm ||
            (() => elksGoesBackAndForth(m)),
        },
      });
    },
  }),
  ...onBoth({
    name: "SYSLINUX starts FLOPPINUX, Linux for the i686, which comes to its menu",
    needs: [FLOPPINUX],
    async body({ accelerator, cpus, slow }) {
      await using m = await Machine.start({
        floppy: { path: FLOPPINUX, overlay: true },
        memory: "64M",
        accelerator,
        cpus,
      });
      await m.screen.waitFor(/SYSLINUX 6\S+ .*Copyright/, { timeoutMs });
      // Its kernel unpacks itself and has more than 350 million instructions to run.
      if (!slow) await m.screen.waitFor(/CHOOSE:/, { timeoutMs });
    },
  }),
]);

const wordOf = (word: string) => new RegExp(`\\b${word}\\b`);
