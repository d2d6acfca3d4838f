/** Options of the library as a script without type checks gets them wrong: one line that names them. */

import assert from "node:assert/strict";
import { Machine, UsageError } from "../../hv/mod.ts";

const CASES: readonly [options: unknown, line: RegExp][] = [
  [{ memry: "5M" }, /^A machine has no option "memry"; did you mean "memory"\?$/],
  [{ disks: "x.img" }, /no option "disks"; did you mean "disk"\?$/],
  [{ qwertyuiop: 1 }, /no option "qwertyuiop"; there are memory, cpus, /],
  ["x.img", /^A machine needs an object of options, not "x\.img"$/],
  [null, /needs an object of options, not null$/],
  [
    { accelerator: "xen" },
    /^Cannot use accelerator: "xen"; "auto" or "kvm" or "soft" is possible$/,
  ],
  [{ console: "hvc" }, /^Cannot use console: "hvc"; "serial" or "virtio" is possible$/],
  [{ virtioTransport: "isa" }, /^Cannot use virtioTransport: "isa"; /],
  [{ kernel: "k", kernelEntry: "real" }, /^Cannot use kernelEntry: "real"; /],
  [{ disk: {} }, /^Cannot attach an image: its path is undefined, not a string$/],
  [{ disk: { path: "x", if: "virtio" } }, /^A drive has no option "if"; /],
  [{ disk: { path: "x", interface: "scsi" } }, /^Cannot use interface: "scsi"; "ide" or "virtio"/],
  [{ floppy: { path: "x", format: "vdi" } }, /^Cannot use format: "vdi"; "raw" or /],
  [{ disk: { path: "x", readonly: true } }, /no option "readonly"; did you mean "readOnly"\?$/],
  [{ network: "user" }, /^A network needs an object of options, not "user"$/],
  [{ network: {} }, /^Cannot have a network with the end undefined: "user", /],
  [{ network: { end: "usr" } }, /^Cannot have a network with the end "usr": "user", /],
  [
    { network: { end: { user: { forward: ["tcp:1:2"] } } } },
    /^A user network has no option "forward"; did you mean "forwards"\?$/,
  ],
  [{ share: "src:src" }, /^A shared directory needs an object of options, not "src:src"$/],
  [{ share: { dir: "src", tag: "src" } }, /^A shared directory has no option "dir"; /],
  [{ vsock: { socket: "x" } }, /^A vsock has no option "socket"; /],
];

Deno.test("options that there are not, and values of other kinds, are refused by name", async () => {
  for (const [options, line] of CASES) {
    await assert.rejects(Machine.create(options as never), (error) => {
      assert.ok(error instanceof UsageError, `${error}`);
      assert.match(error.message, line);
      return true;
    });
  }
});

Deno.test("what is none of the parts that can be attached is refused, naming them", async () => {
  await using machine = await Machine.create({ memory: "2M" });
  await assert.rejects(machine.attach({ disc: "x.img" } as never), {
    name: "UsageError",
    message: /^Cannot attach \{ disc: "x\.img" \}: \{ disk: "PATH" \}, \{ network: .* is possible$/,
  });
});

Deno.test("a key that there is not is refused by name", async () => {
  await using machine = await Machine.create({ memory: "2M" });
  await assert.rejects(machine.keyboard.press("ctrl", "delet" as never), {
    name: "UsageError",
    message: 'Cannot press "delet": there is no such key; "delete"?',
  });
});
