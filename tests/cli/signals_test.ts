/** hv is interrupted, hung up on or killed: it ends soon, and leaves nothing behind. */

import assert from "node:assert/strict";
import { outcome, Scratch, startHv, until } from "../support/hv_process.ts";
import { rom } from "../support/payload.ts";

const INTERRUPTED = 130;

/** A guest that says "up" and works on. */
const busy = () =>
  rom((p) => {
    p.realMode();
    p.print("up\n");
    p.forever(() => p.out(0x80, "al"));
  });

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  Deno.test(
    `${signal} ends hv with its exit code; image, socket and scratch files are given back`,
    async () => {
      using image = busy();
      using scratch = new Scratch();
      const disk = scratch.file("disk.img", 1 << 20);
      const overlaid = scratch.file("base.img", 1 << 20);
      const socket = `${scratch.path}/socket`;
      const args = [
        ...["run", "--memory", "1M", "--cpus", "2", "--display", "none", "--bios", image.path],
        ...["--disk", disk, "--disk", `${overlaid},overlay`],
        ...["--serial", "stdio", "--serial", `unix:${socket}`],
      ];
      const process = startHv(args, { env: { TMPDIR: scratch.path } });
      await until(process.stdout, "up");
      assert.ok(Deno.lstatSync(socket).isSocket);
      process.kill(signal);
      const { code } = await outcome(process);
      assert.equal(code, INTERRUPTED);
      const left = [...Deno.readDirSync(scratch.path)].map(({ name }) => name).sort();
      assert.deepEqual(left, ["base.img", "disk.img"]);
    },
  );
}

Deno.test("after a kill -9 nothing is left, and the same command runs again", async () => {
  using image = busy();
  using scratch = new Scratch();
  const disk = scratch.file("disk.img", 1 << 20);
  const overlaid = scratch.file("base.img", 1 << 20);
  const args = [
    ...["run", "--memory", "1M", "--display", "none", "--bios", image.path],
    ...["--disk", disk, "--disk", `${overlaid},overlay`],
    ...["--serial", "stdio", "--serial", `unix:${scratch.path}/socket`],
  ];
  for (let round = 0; round < 2; round++) {
    const process = startHv(args, { env: { TMPDIR: scratch.path } });
    await until(process.stdout, "up");
    process.kill("SIGKILL");
    await outcome(process);
    const left = [...Deno.readDirSync(scratch.path)].map(({ name }) => name).sort();
    // A socket's name outlives its owner; the next hv takes it over.
    assert.deepEqual(left, ["base.img", "disk.img", "socket"]);
  }
});

Deno.test("a time limit ends hv with 124 and shows what the guest was at", async () => {
  using image = busy();
  const args = ["run", "--memory", "1M", "--display", "none", "--bios", image.path];
  // A host on which the guest has not come so far gets more time.
  for (let seconds = 0.5;; seconds *= 2) {
    const { code, stderr, stdout } = await outcome(startHv([...args, "--timeout", `${seconds}`]));
    assert.equal(code, 124);
    const line = `hv: the machine was ended after its time limit of ${seconds} s\n--- console`;
    assert.ok(stderr.includes(line), stderr);
    assert.match(stderr, /--- registers ---\nrax=/);
    if (stdout === "up\n") return;
    assert.ok("up\n".startsWith(stdout) && seconds < 200, `the guest does not come up: ${stdout}`);
  }
});
