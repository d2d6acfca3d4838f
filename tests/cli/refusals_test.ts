/** What hv refuses: one clear line that says what was tried, what was wrong and what to do. */

import assert from "node:assert/strict";
import { bzImage, elf } from "../boot/kernels.ts";
import { allRefused, hv, type Refusal, Scratch } from "../support/hv_process.ts";
import { inFull } from "../support/quick.ts";

const USAGE = 2;
const HOST = 4;

Deno.test("words that hv does not know are refused, naming what was meant", async () => {
  await allRefused([
    ["rum", USAGE, /no command "rum"; did you mean hv run\?/],
    ["run --memroy 5M", USAGE, /no option --memroy; did you mean --memory\?/],
    ["run --nonsense", USAGE, /hv run has no option --nonsense$/],
    ["run a b", USAGE, /does not know what to do with "b"/],
    ["run --memory", USAGE, /--memory needs a value: --memory SIZE/],
    ["run --memory=", USAGE, /--memory needs a value/],
    ["run --memory 1M --memory 2M", USAGE, /--memory can be given once only/],
    ["run --no-reboot=1", USAGE, /--no-reboot takes no value/],
    ["help runn", USAGE, /hv has no command "runn"; did you mean hv run\?/],
    [
      "run --kernel-entry long64",
      USAGE,
      /Cannot enter a kernel without one: give it with --kernel/,
    ],
    ["info x", USAGE, /hv info does not know what to do with "x"/],
    ["run --accel xyz", USAGE, /--accel xyz: auto, kvm or soft is possible/],
    ["run --accel soft --cpu host,+avx", USAGE, /the software CPU does not offer avx to guests/],
    ["run --display vnc", USAGE, /--display vnc: none or text is possible/],
    ["run --boot tape", USAGE, /--boot tape: floppy, disk, cdrom/],
    ["run --kernel-entry 8", USAGE, /--kernel-entry 8: auto/],
    ["run --append", USAGE, /--append needs a value: --append TEXT/],
    [
      "run --kernel nothing --append=",
      USAGE,
      /Cannot use nothing as kernel: there is no such file/,
    ],
    [
      "run --serial file:a.log --debugcon file:a.log",
      USAGE,
      /Cannot write com1 and debugcon to a\.log: they would overwrite each other; name two files/,
    ],
    ["run --serial foo", USAGE, /--serial foo: stdio, null, file:PATH or unix:PATH/],
    ["run --serial file:", USAGE, /--serial file:/],
    ["run --cpu 486", USAGE, /--cpu 486: there is no processor "486"/],
    ["run --cpu host,+sse5", USAGE, /--cpu host,\+sse5: there is no feature "sse5"/],
  ]);
});

Deno.test("numbers that cannot be are refused, with the range that can", async () => {
  await allRefused([
    ...["0", "1K", "100000", "999999G", "1e3", "65535B", "16G"].map((
      size,
    ): Refusal => [`run --memory ${size}`, USAGE, /Cannot give the guest ".*" of memory: /]),
    ...["12Q", "-5", "x", "1.3M", "␣", "0x100"].map((
      size,
    ): Refusal => [
      `run --memory=${size}`,
      USAGE,
      /Cannot give the guest ".*" of memory: write a size like/,
    ]),
    [
      "run --memory 64M --balloon-target 65M",
      USAGE,
      /Cannot give the guest 65 MiB by its balloon: it has 64 MiB/,
    ],
    ["run --balloon-target x", USAGE, /Cannot give the guest "x" of memory: write a size like/],
    ["run --memory 1000K", USAGE, /multiple of 64K|1M to 15G/],
    ["run --cpus 0", USAGE, /Cannot have 0 processors: a whole number from 1 to 64/],
    ["run --cpus 65", USAGE, /Cannot have 65 processors/],
    ["run --cpus 1.5", USAGE, /Cannot have 1.5 processors/],
    ["run --cpus x", USAGE, /--cpus x: not a number/],
    ["run --cpus=-1", USAGE, /--cpus -1: not a number/],
    ["run --timeout 0", USAGE, /--timeout 0: a positive number of seconds/],
    ["run --timeout 1e9", USAGE, /--timeout 1e9: not a number/],
    ["run --timeout 3000000", USAGE, /--timeout 3000000/],
  ]);
});

Deno.test("files that are no images are refused, of every kind and for every use", async () => {
  using scratch = new Scratch();
  const at = (name: string) => `${scratch.path}/${name}`;
  scratch.file("empty.img", 0);
  scratch.file("tiny.img", 100);
  scratch.file("huge.img", 8 * 2 ** 40);
  scratch.file("qcow2.img", 1 << 20, Uint8Array.of(0x51, 0x46, 0x49, 0xfb, 0, 0, 0, 3));
  scratch.file("text", 6, "hello\n");
  scratch.file("floppy.img", 1440 * 1024);
  Deno.mkdirSync(at("dir"));
  Deno.symlinkSync("loop", at("loop"));
  await new Deno.Command("mkfifo", { args: [at("fifo")] }).output();
  const uses = [
    "--floppy",
    "--disk",
    "--cdrom",
    "--bios",
    "--kernel",
    "--kernel floppy.img --initrd",
    "",
  ];
  const refusals: Refusal[] = [];
  for (const use of uses) {
    const refuse = (file: string, line: RegExp) =>
      refusals.push([`run ${use} ${file}`, USAGE, line]);
    // Of a kernel and its initrd, the kernel is looked at first.
    if (use.endsWith("initrd")) {
      refuse("missing", /there is no such file|no kernel/);
      continue;
    }
    refuse("missing", /missing.*: there is no such file/);
    refuse("dir", /dir.*: it is a directory/);
    refuse("empty.img", /empty\.img.*(is empty|: 0 bytes)/);
    refuse("fifo", /fifo.*: it is neither a regular file nor a block device/);
    refuse("/dev/null", /\/dev\/null.*: it is neither a regular file nor a block device/);
    refuse("loop", /loop.*: a loop of symbolic links/);
    refuse("text/x", /text\/x.*: a part of the path is not a directory/);
  }
  refusals.push(
    ["run --floppy tiny.img", USAGE, /has 100 bytes, and a floppy disk/],
    ["run --floppy huge.img", USAGE, /has 8796093022208 bytes, and a floppy disk/],
    ["run --bios tiny.img", USAGE, /100 bytes, where a multiple of 64 KiB up to 4 MiB is needed/],
    ["run --bios huge.img", USAGE, /8796093022208 bytes, where a multiple of 64 KiB/],
    ["run --kernel huge.img", USAGE, /8796093022208 bytes are more than/],
    ["run --kernel text", USAGE, /Cannot boot text: /],
    ["run --kernel floppy.img", USAGE, /Cannot boot floppy.img: .*no kernel/],
    ["run --disk qcow2.img", USAGE, /qcow2.img as a disk: it has clusters of 2\^0 bytes/],
    [
      "run --disk floppy.img,foo",
      USAGE,
      /"foo" in --disk floppy.img,foo: readonly, overlay, backing=, format=, iops=, bps=, if=, serial=, aio= are/,
    ],
    ["run --disk floppy.img,if=scsi", USAGE, /if=scsi: ide or virtio is possible/],
    ["run --disk floppy.img,if=virtio,aio=native", USAGE, /aio=native: io_uring or threads is/],
    ["run --disk floppy.img,aio=threads", USAGE, /aio=threads for floppy.img: .* on virtio/],
    ["run --cdrom floppy.img,if=virtio", USAGE, /"if=virtio" in --cdrom/],
    ["run --disk floppy.img,iops=0", USAGE, /0 requests a second: 1 or more is needed/],
    ["run --disk floppy.img,bps=fast", USAGE, /bps=fast: a number like 500, 20K or 10M/],
    ["run --disk floppy.img,serial=a_name_of_21_letters!", USAGE, /1 to 20 letters/],
    ["run --disk ,readonly", USAGE, /its file name is empty/],
    ["run --disk floppy.img,readonly,overlay", USAGE, /leave out read-only/],
    ["run --disk floppy.img --disk floppy.img", USAGE, /this hv has it open already/],
    ["run --share missing:src", USAGE, /Cannot share missing: there is no such directory/],
    ["run --share text:src", USAGE, /Cannot share text: it is not a directory/],
    ["run --share dir", USAGE, /Cannot use --share dir: DIR:TAG is needed/],
    ["run --share dir:", USAGE, /Cannot share dir as "": a tag of 1 to 31 ASCII characters/],
    ["run --share dir:src,rw", USAGE, /"rw" in --share dir:src,rw: readonly is possible/],
    ["run --share dir:a --share dir:a", USAGE, /as "a": another directory has that tag/],
    [
      `run ${[1, 2, 3, 4, 5, 6, 7, 8, 9].map((i) => `--share dir:${i}`).join(" ")}`,
      USAGE,
      /Cannot share 9 directories: the board has room for 8/,
    ],
    ["run --vsock text", HOST, /Cannot use the vsock text: something is there already/],
    ["run --vsock no/x", HOST, /Cannot use the vsock no\/x: there is no such directory$/],
    ["run --vsock v,cid=2", USAGE, /the vsock address 2: 3 to 4294967294 is possible/],
    ["run --vsock v,port=2", USAGE, /"port=2" in --vsock v,port=2: cid=N is possible, once/],
    [`run --vsock ${"x".repeat(120)}`, USAGE, /its path may have at most 107 bytes/],
    ["run --initrd text", USAGE, /an initrd without a kernel/],
    ["run --append x", USAGE, /a command line without a kernel/],
    [`run ${"--floppy floppy.img,readonly ".repeat(3)}`, USAGE, /3 floppy drives/],
    [`run ${"--disk floppy.img,readonly ".repeat(5)}`, USAGE, /5 disks and 0 CD-ROM drives/],
    ["run --serial file:dir", HOST, /Cannot write the console to dir: it is a directory/],
    [
      "run --serial file:no/x",
      HOST,
      /Cannot write the console to no\/x: there is no such directory/,
    ],
    ["run --serial unix:text", HOST, /the socket text: something is there already/],
    ["run --serial unix:no/x", HOST, /the socket no\/x: there is no such directory/],
    [`run --serial unix:${"x".repeat(120)}`, HOST, /the socket x+: its path is too long/],
  );
  // One after the other, each a process.
  const some = refusals.filter((_, i) => i % inFull(1, 4) === 0);
  await allRefused(some, { cwd: scratch.path });
  assert.equal(Deno.readTextFileSync(at("text")), "hello\n");
});

Deno.test("kernels that are cut off anywhere are refused or run, and an initrd that is too large", async () => {
  using scratch = new Scratch();
  const kernels = { bzImage: bzImage({}), elf: elf() };
  for (const [name, image] of Object.entries(kernels)) {
    const lengths = [4, 64, 500, 513, 700, 1024, Math.floor(image.length / 2)];
    for (const length of lengths.filter((length) => length < image.length)) {
      scratch.file(`${name}-${length}`, length, image.subarray(0, length));
    }
  }
  const initrd = scratch.file("initrd", 64 << 20);
  const whole = scratch.file("whole", kernels.bzImage.length, kernels.bzImage);
  const files = [...Deno.readDirSync(scratch.path)].map(({ name }) => name).filter((n) =>
    n.includes("-")
  );
  await allRefused([
    ...files.map((file): Refusal => [`run --kernel ${file}`, USAGE, /^hv: Cannot boot /]),
    [`run --memory 40M --kernel ${whole} --initrd ${initrd}`, USAGE, /initrd/],
  ], { cwd: scratch.path });
});

Deno.test("help and version go to the standard output, with exit code 0", async () => {
  for (
    const words of [["--help"], ["run", "--help"], ["info", "-h"], ["help", "run"], ["--version"]]
  ) {
    const { code, stdout, stderr } = await hv(words);
    assert.equal(code, 0);
    assert.match(stdout, /^hv /);
    assert.equal(stderr, "");
  }
  const { code, stderr } = await hv([]);
  assert.equal(code, USAGE);
  assert.match(stderr, /Usage: hv COMMAND/);
});
