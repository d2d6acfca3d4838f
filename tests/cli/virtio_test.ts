/** Virtio disks from the command line. */

import assert from "node:assert/strict";
import { hv, Scratch } from "../support/hv_process.ts";

/** A boot sector: mov al, 10h; out 0F4h, al; hlt. */
const ENDS_WITH_33 = [0xb0, 0x10, 0xe6, 0xf4, 0xf4];

Deno.test("a disk on virtio boots from the command line, however it is reached", async () => {
  using scratch = new Scratch();
  const disk = new Uint8Array(1 << 20);
  disk.set(ENDS_WITH_33);
  disk.set([0x55, 0xaa], 510);
  Deno.writeFileSync(`${scratch.path}/disk.img`, disk);
  const drive = "disk.img,if=virtio,serial=ABC,iops=500,bps=10M";
  for (const options of [[], ["--virtio", "mmio"], ["--virtio-packed"]]) {
    const args = ["run", "--accel", "soft", "--display", "none", "--disk", drive, ...options];
    const { code, stderr } = await hv(args, { cwd: scratch.path });
    assert.equal(code, 33, `${options}: ${stderr}`);
  }
});
