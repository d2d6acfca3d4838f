import assert from "node:assert/strict";
import { imageHolders } from "../../../devices/disk/image_holders.ts";
import { Scratch } from "../../support/hv_process.ts";

Deno.test("a program that ends while it is looked at does not hide who else has an image open", () => {
  using scratch = new Scratch();
  const image = scratch.file("disk.img", 512);
  const proc = `${scratch.path}/proc`;
  const start = (pid: number, name?: string) => {
    Deno.mkdirSync(`${proc}/${pid}/fd`, { recursive: true });
    Deno.symlinkSync(Deno.realPathSync(image), `${proc}/${pid}/fd/3`);
    if (name !== undefined) Deno.writeTextFileSync(`${proc}/${pid}/comm`, `${name}\n`);
  };
  const ended = Deno.pid + 1;
  const running = Deno.pid + 2;
  start(ended);
  start(running, "qemu-system-x86");
  start(Deno.pid, "deno");
  Deno.mkdirSync(`${proc}/self`);
  const { own, others } = imageHolders(image, proc);
  assert.ok(own);
  assert.deepEqual(others, [`qemu-system-x86 (pid ${running})`], "and is not named itself");
});
