/** `hv disk` as a user runs it. */

import assert from "node:assert/strict";
import { openDisk } from "../../devices/disk/open_disk.ts";
import { allRefused, hv, outcome, Scratch, startHv } from "../support/hv_process.ts";
import { HAS_QEMU_IMG, qemuCheck, qemuImg, tool } from "../support/guest/qemu_img.ts";

async function ok(args: string, cwd: string): Promise<string> {
  const { code, stdout, stderr } = await hv(["disk", ...args.split(" ")], { cwd });
  assert.deepEqual([code, stderr], [0, ""], args);
  return stdout;
}

const names = (path: string) => [...Deno.readDirSync(path)].map(({ name }) => name).sort();

Deno.test({
  name: "hv disk makes, looks at, copies, checks and resizes images, as qemu-img finds them",
  ignore: !HAS_QEMU_IMG,
  fn: async () => {
    using scratch = new Scratch();
    const cwd = scratch.path;
    assert.equal(await ok("create a.qcow2 16M", cwd), "a.qcow2: qcow2, 16 MiB\n");
    tool("qemu-io", ["-c", "write -P 5 1M 3M", `${cwd}/a.qcow2`]);
    await ok("create b.qcow2 --backing a.qcow2 --cluster 4K", cwd);
    tool("qemu-io", ["-c", "write -P 6 2M 64k", `${cwd}/b.qcow2`]);
    const info = JSON.parse(await ok("info b.qcow2 --json", cwd));
    const theirs = JSON.parse(qemuImg("info", "--output=json", `${cwd}/b.qcow2`));
    for (
      const key of ["format", "virtual-size", "cluster-size", "backing-filename", "dirty-flag"]
    ) {
      assert.equal(info[key], theirs[key], key);
    }
    assert.match(await ok("info b.qcow2", cwd), /^backing file +a\.qcow2 \(qcow2\)$/m);

    await ok("convert b.qcow2 flat.img", cwd);
    await ok("convert b.qcow2 flat.qcow2 --cluster 64K", cwd);
    await ok("convert flat.img again.qcow2", cwd);
    await ok("convert b.qcow2 zlib.qcow2 --compress zlib", cwd);
    await ok("convert b.qcow2 zstd.qcow2 --compress zstd --cluster 512", cwd);
    for (const name of ["zlib", "zstd"]) {
      qemuCheck(`${cwd}/${name}.qcow2`);
      assert.ok(Deno.statSync(`${cwd}/${name}.qcow2`).size < 1 << 20, `${name} makes it smaller`);
    }
    for (const copy of ["flat.img", "flat.qcow2", "again.qcow2", "zlib.qcow2", "zstd.qcow2"]) {
      qemuImg("compare", `${cwd}/b.qcow2`, `${cwd}/${copy}`);
    }
    qemuCheck(`${cwd}/flat.qcow2`);
    assert.ok(Deno.statSync(`${cwd}/flat.img`).blocks! * 512 < 6 << 20, "zeros stay holes");

    assert.match(
      await ok("check flat.qcow2", cwd),
      /^flat\.qcow2: 0 errors, 0 clusters lost; 48 of/,
    );
    await ok("resize b.qcow2 +4M", cwd);
    await ok("resize flat.img 20M", cwd);
    qemuImg("compare", `${cwd}/b.qcow2`, `${cwd}/flat.img`);
    await ok("resize b.qcow2 2M --shrink", cwd);
    await ok("resize b.qcow2 16M", cwd);
    qemuCheck(`${cwd}/b.qcow2`);
    const read = ["-c", "read -P 5 1M 1M", "-c", "read -P 0 2M 14M", `${cwd}/b.qcow2`];
    assert.doesNotMatch(tool("qemu-io", read).text, /failed/, "what was cut off is gone");
  },
});

Deno.test({
  name: "hv disk check tells errors from lost room by its exit code, and mends both",
  ignore: !HAS_QEMU_IMG,
  fn: async () => {
    using scratch = new Scratch();
    const cwd = scratch.path;
    const path = `${cwd}/a.qcow2`;
    qemuImg("create", "-f", "qcow2", path, "1M");
    tool("qemu-io", ["-c", "write 0 128k", path]);
    const good = Deno.readFileSync(path);
    const view = new DataView(good.buffer);
    const block = Number(view.getBigUint64(Number(view.getBigUint64(48))));
    for (const [value, code] of [[0, 10], [1, 12]] as const) {
      const bad = good.slice();
      // Cluster 5 has data, cluster 9 is nobody's.
      new DataView(bad.buffer).setUint16(block + (code === 10 ? 5 : 9) * 2, value);
      Deno.writeFileSync(path, bad);
      const check = await hv(["disk", "check", "a.qcow2"], { cwd });
      assert.equal(check.code, code, check.stdout + check.stderr);
      const repair = await hv(["disk", "check", "a.qcow2", "--repair"], { cwd });
      assert.equal(repair.code, 0, repair.stdout + repair.stderr);
      assert.match(repair.stdout, /mended: /);
      qemuCheck(path);
    }
  },
});

Deno.test("hv disk refuses what cannot be, in a line, and leaves nothing", async () => {
  using scratch = new Scratch();
  const cwd = scratch.path;
  scratch.file("raw.img", 1 << 20);
  scratch.file("vmdk.img", 1 << 20, "KDMV");
  Deno.symlinkSync("raw.img", `${cwd}/link`);
  await new Deno.Command("mkfifo", { args: [`${cwd}/fifo`] }).output();
  await allRefused([
    ["disk creat", 2, /no command "creat"; did you mean hv disk create\?/],
    ["disk create", 2, /needs FILE: hv disk create FILE \[SIZE\]/],
    ["disk create x.qcow2", 2, /needs a SIZE/],
    ["disk create x.qcow2 ten", 2, /a disk of "ten": write a size like/],
    ["disk create x.qcow2 1G 2G", 2, /what to do with "2G"/],
    ["disk create x.qcow2 1G --cluster 3K", 2, /--cluster 3K: a power of two/],
    ["disk create x.img 1G --cluster 4K", 2, /raw image has no clusters/],
    ["disk create x.qcow2 4000T --cluster 512", 2, /128 GiB is the most/],
    ["disk convert raw.img x.img --compress zstd", 2, /raw image cannot be compressed/],
    [
      "disk convert raw.img x.qcow2 --compress lzma",
      2,
      /--compress lzma: zlib or zstd is possible/,
    ],
    ["disk create raw.img 1G", 2, /raw\.img: it is there; --force writes over it/],
    ["disk create x.qcow2 --backing no.img", 2, /no such file/],
    ["disk create no/x.qcow2 1G", 4, /Cannot make no\/x\.qcow2: there is no such directory$/],
    ["disk convert no.img x.qcow2", 2, /no such file/],
    ["disk convert vmdk.img x.qcow2", 2, /VMDK image/],
    ["disk check raw.img", 2, /a raw image has nothing to check/],
    ["disk resize raw.img 1K", 2, /--shrink allows it/],
    ["disk resize raw.img -1G", 2, /no option -1/],
    ["disk info no.img", 2, /no such file/],
    ["disk info .", 2, /\. as a disk: it is a directory/],
    ["disk info fifo", 2, /fifo as a disk: it is neither a regular file nor a block device/],
    ["disk check fifo", 2, /fifo as a disk: it is neither/],
    ["disk create . 1G", 2, /Cannot make \.: it is a directory/],
    ["disk create x.vmdk 1G", 2, /Cannot make a vmdk image: raw and qcow2 are made/],
    ["disk convert raw.img x.VHD", 2, /Cannot make a VHD image/],
    ["disk create x.img 4000T", 4, /^hv: Cannot resize x\.img: file too large/],
    ["disk convert raw.img raw.img --force", 2, /Cannot copy raw\.img onto itself/],
    ["disk convert raw.img link --force", 2, /Cannot copy raw\.img onto itself/],
    ["run --disk raw.img,overlay=", 2, /raw\.img with an overlay: .* file name is empty/],
    [
      "run --disk raw.img,overlay=no/x",
      2,
      /Cannot use no\/x as a disk: there is no such directory/,
    ],
    ["run --disk raw.img,backing=no", 2, /the folder for its backing files, no, is not there/],
    ["run --cdrom raw.img,overlay", 2, /with an overlay: no CD-ROM is written to/],
  ], { cwd });
  assert.deepEqual(names(cwd), ["fifo", "link", "raw.img", "vmdk.img"]);
});

Deno.test("hv disk create refuses an empty name in a line", async () => {
  const { code, stderr } = await hv(["disk", "create", "", "1G"]);
  assert.deepEqual([code, stderr], [2, "hv: Cannot make a file without a name\n"]);
});

Deno.test("hv disk create says when what is behind the image will not be looked for", async () => {
  using scratch = new Scratch();
  const cwd = scratch.path;
  Deno.mkdirSync(`${cwd}/new`);
  scratch.file("base.img", 1 << 20);
  const made = await hv(["disk", "create", "new/x.qcow2", "--backing", "../base.img"], { cwd });
  assert.equal(made.code, 0);
  assert.match(made.stderr, /^hv: new\/x\.qcow2 was made, but its backing file .* backing=\S+\n$/);
});

Deno.test("hv disk check names the program that has the image", async () => {
  using scratch = new Scratch();
  const cwd = scratch.path;
  await hv(["disk", "create", "x.qcow2", "1M"], { cwd });
  using held = openDisk({ path: `${cwd}/x.qcow2` });
  assert.equal(held.readOnly, false);
  const line = new RegExp(`deno \\(pid ${Deno.pid}\\) (has it open|writes to it); stop that`);
  await allRefused([["disk check x.qcow2", 2, line], ["disk check x.qcow2 --repair", 2, line]], {
    cwd,
  });
});

Deno.test("a full standard output is a line, not a trace", async () => {
  for (const words of ["--help", "run --help", "disk --help", "info"]) {
    const { code, stderr } = await hv(words.split(" "), {
      prefix: ["sh", "-c", '"$@" > /dev/full', "sh"],
    });
    const line = "hv: Cannot write to the standard output: No space left on device\n";
    assert.deepEqual([code, stderr], [4, line], words);
  }
});

Deno.test("hv disk convert that is interrupted leaves nothing, and says so", async () => {
  using scratch = new Scratch();
  const cwd = scratch.path;
  // Data that is never zero, more of it than can be copied before the signal comes.
  const part = new Uint8Array(16 << 20).fill(0x55);
  using file = Deno.openSync(`${cwd}/big.img`, { write: true, create: true });
  for (let i = 0; i < 16; i++) file.writeSync(part);
  Deno.truncateSync(`${cwd}/big.img`, 300 << 20);
  const process = startHv(["disk", "convert", "big.img", "copy.qcow2"], { cwd });
  let ended = false;
  process.status.then(() => ended = true);
  while (!ended && !names(cwd).some((name) => name.endsWith(".part"))) {
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  if (!ended) process.kill("SIGINT");
  const { code, stderr } = await outcome(process);
  if (code === 0) return console.log("skipped: the copy was complete before the signal came");
  assert.deepEqual([code, stderr], [130, "hv: interrupted; nothing is left of it\n"]);
  assert.deepEqual(names(cwd), ["big.img"]);
});

Deno.test("hv disk convert to a full disk leaves nothing, and says what is full", async () => {
  using scratch = new Scratch();
  const room = `${scratch.path}/room`;
  Deno.mkdirSync(room);
  Deno.writeFileSync(`${scratch.path}/big.img`, new Uint8Array(3 << 20).fill(7));
  const script = `mount -t tmpfs -o size=1m none ${room} && "$@"; code=$?; ls ${room}; exit $code`;
  const { code, stdout, stderr } = await hv(["disk", "convert", "big.img", "room/copy.qcow2"], {
    prefix: ["unshare", "-m", "sh", "-c", script, "sh"],
    cwd: scratch.path,
  });
  if (/unshare|mount/.test(stderr)) return console.log(`skipped: ${stderr.trim()}`);
  assert.equal(code, 4, stderr);
  assert.match(stderr, /^hv: Cannot write to room\/copy.*no space left on device \(ENOSPC\)\n$/);
  assert.equal(stdout, "");
});
