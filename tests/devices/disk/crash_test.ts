import { HAS_QEMU_IMG } from "../../support/qemu_img.ts";
import { seeded } from "../../support/random.ts";
import { inDirectory } from "./conformance.ts";
import { crashMany } from "./crash.ts";

// tests/devices/disk/crash_run.ts crashes as often as one likes.
Deno.test({
  name: "qcow2: a crash at any moment leaves an image without errors that has all that was flushed",
  ignore: !HAS_QEMU_IMG,
  fn: () => seeded((random) => inDirectory((directory) => crashMany(random, 100, directory))),
});
