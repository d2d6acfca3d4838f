import assert from "node:assert/strict";
import { openDisk } from "../../../../devices/disk/open_disk.ts";
import { HAS_QEMU_IMG, qemuCheck, qemuImg } from "../../../support/guest/qemu_img.ts";
import { seeded } from "../../../support/random.ts";
import { inDirectory } from "../conformance.ts";
import { crashMany } from "./crash.ts";
import { work } from "./killed_writer.ts";
import { inFull } from "../../../support/quick.ts";

// tests/devices/disk/qcow2/crash_run.ts crashes as often as one likes.
Deno.test({
  name: "qcow2: a crash at any moment leaves an image without errors that has all that was flushed",
  ignore: !HAS_QEMU_IMG,
  fn: () =>
    seeded((random) => inDirectory((directory) => crashMany(random, inFull(100, 20), directory))),
});

const WRITER = new URL("./killed_writer.ts", import.meta.url).pathname;
const SIZE = 1 << 20;

/** Kills a writer once; what it had flushed has to be there. */
function killOnce(path: string, seed: number, writes: number): void {
  qemuImg("create", "-f", "qcow2", "-o", "cluster_size=4096", path, `${SIZE}`);
  const args = ["run", "--allow-all", "--no-check", WRITER, path, `${seed}`, `${writes}`];
  const { signal, stdout, stderr } = new Deno.Command(Deno.execPath(), { args }).outputSync();
  assert.equal(signal, "SIGKILL", new TextDecoder().decode(stderr));
  const flushed = new TextDecoder().decode(stdout).split("\n").length - 1;
  qemuCheck(path, { leaks: true });
  const versions = Array.from({ length: SIZE / 512 }, () => [0]);
  let flushes = 0;
  for (const step of work(seed, SIZE)) {
    // Two beyond what was said: the last may not have been told any more.
    if (step === "flush" && ++flushes === flushed + 2) break;
    if (step === "flush") continue;
    for (let done = 0; done < step.bytes.length; done += 512) {
      const sector = (step.offset + done) / 512;
      if (flushes < flushed) versions[sector] = [step.bytes[0]];
      else versions[sector].push(step.bytes[0]);
    }
  }
  using image = openDisk({ path });
  const disk = new Uint8Array(SIZE);
  image.read(0, disk);
  for (const [i, possible] of versions.entries()) {
    const sector = disk.subarray(i * 512, (i + 1) * 512);
    assert.ok(
      sector.every((byte) => byte === sector[0]) && possible.includes(sector[0]),
      `sector ${i}`,
    );
  }
}

Deno.test({
  name: "qcow2: a process that is killed at any of its writes leaves an image as a crash does",
  ignore: !HAS_QEMU_IMG,
  fn: () =>
    seeded((random) =>
      inDirectory((directory) => {
        for (let i = 0; i < 6; i++) {
          killOnce(`${directory}/${i}.qcow2`, random.u32(), random.below(120));
        }
      })
    ),
});
