/** Images that others use, and disks whose host fails while the guest runs. */

import assert from "node:assert/strict";
import { allRefused, hv, outcome, Scratch, startHv, until } from "../support/hv_process.ts";
import { type Payload, rom } from "../support/payload.ts";

const IDE = 0x1f0;
const WRITE_SECTORS = 0x30;
const READ_SECTORS = 0x20;
const ERR = 0x01;
const DRQ = 0x08;
const BSY = 0x80;

function out(p: Payload, port: number, value: number): void {
  p.mov("dx", port);
  p.mov("al", value);
  p.out("dx", "al");
}

/** Waits until `mask` of the status is `value`; AL is the status. */
function untilStatus(p: Payload, mask: number, value: number): void {
  p.mov("dx", IDE + 7);
  p.until("z", () => {
    p.in("al", "dx");
    p.mov("ah", "al");
    p.alu("and", "ah", mask);
    p.alu("cmp", "ah", value);
  });
}

/** One sector at the 64 KiB cluster CX by PIO; AL is the status at the end. */
function sector(p: Payload, command: number): void {
  out(p, IDE + 6, 0xe0);
  out(p, IDE + 2, 1);
  // 128 sectors a cluster: bit 0 of the number is bit 7 of the address.
  p.mov("ax", "cx");
  p.shl("al", 4);
  p.shl("al", 3);
  p.mov("dx", IDE + 3);
  p.out("dx", "al");
  p.mov("ax", "cx");
  p.shr("ax", 1);
  p.mov("dx", IDE + 4);
  p.out("dx", "al");
  out(p, IDE + 5, 0);
  out(p, IDE + 7, command);
  p.push("cx");
  if (command === WRITE_SECTORS) {
    untilStatus(p, BSY | DRQ, DRQ);
    p.mov("si", 0x1000);
    p.mov("dx", IDE);
    p.mov("cx", 256);
    p.db(0xf3, 0x6f); // rep outsw
  }
  p.pop("cx");
  untilStatus(p, BSY, 0);
}

for (
  const [what, size, overlay] of [
    ["an overlay's scratch space", "1m", "overlay"],
    ["the host's disk with a qcow2 image", "384k", "overlay=ROOM/over.qcow2"],
  ]
) {
  Deno.test(`when ${what} is full the guest gets an error, the user a line, and both go on`, async () => {
    using image = rom((p) => {
      p.realMode();
      p.alu("xor", "bx", "bx");
      p.times(40, () => {
        sector(p, WRITE_SECTORS);
        p.test("al", ERR);
        p.jcc("z", "written");
        p.inc("bl");
        p.jmp("next");
        p.label("written");
        p.inc("bh");
        p.label("next");
      });
      // What was written before can still be read.
      p.mov("cx", 40);
      sector(p, READ_SECTORS);
      p.test("al", ERR);
      p.jcc("nz", "bad");
      p.alu("cmp", "bl", 5);
      p.jcc("b", "bad");
      p.alu("cmp", "bh", 5);
      p.jcc("b", "bad");
      p.exit(0x10);
      p.label("bad");
      p.exit(0x20);
    });
    using scratch = new Scratch();
    const disk = scratch.file("disk.img", 8 << 20);
    const room = `${scratch.path}/room`;
    Deno.mkdirSync(room);
    const prefix = [
      ...[
        "unshare",
        "-m",
        "sh",
        "-c",
        `mount -t tmpfs -o size=${size} none ${room} && exec "$@"`,
        "sh",
      ],
    ];
    const { code, stderr } = await hv([
      ...["run", "--memory", "1M", "--display", "none", "--bios", image.path, "--timeout", "280"],
      ...["--disk", `${disk},${overlay.replace("ROOM", room)}`],
    ], { prefix, env: { TMPDIR: room } });
    if (/unshare|mount/.test(stderr)) return console.log(`skipped: ${stderr.trim()}`);
    const lines = stderr.trimEnd().split("\n");
    assert.equal(code, 0x21, stderr);
    assert.equal(lines.length, 2, stderr);
    assert.match(
      lines[1],
      /^hv: .*: .*no space left on device.*; the guest gets an I\/O error$/,
    );
  });
}

Deno.test(
  "an image in use is refused to a second writer, in hv and in QEMU, and free afterwards",
  async () => {
    using image = rom((p) => {
      p.realMode();
      p.print("up\n");
      p.forever(() => p.out(0x80, "al"));
    });
    using scratch = new Scratch();
    scratch.file("disk.img", 1 << 20);
    const { path: cwd } = scratch;
    const run = ["run", "--memory", "1M", "--display", "none", "--bios", image.path];
    const first = startHv([...run, "--disk", "disk.img"], { cwd });
    await until(first.stdout, "up");
    const inUse = /disk\.img.*deno \(pid \d+\) (has it open|writes to it); stop that/;
    await allRefused([
      ["run --disk disk.img", 2, inUse],
      ["run --disk disk.img,readonly", 2, inUse],
      ["run --disk disk.img,overlay", 2, inUse],
    ], { cwd });
    const io = async () => {
      try {
        const args = ["-f", "raw", "-c", "write 0 512", "disk.img"];
        const { code, stderr } = await new Deno.Command("qemu-io", { args, cwd }).output();
        return { code, text: new TextDecoder().decode(stderr) };
      } catch {
        return undefined;
      }
    };
    const during = await io();
    if (during === undefined) console.log("without QEMU: qemu-io is not installed");
    else assert.match(during.text, /Failed to get .*lock/);
    first.kill("SIGTERM");
    assert.equal((await outcome(first)).code, 130);
    const after = await io();
    assert.ok(after === undefined || after.code === 0, after?.text);
  },
);
