import assert from "node:assert/strict";
import { BiosBench } from "./bios_bench.ts";

/** A medium with a boot sector, or without its signature. */
function medium(bytes: number, signature = true): Uint8Array {
  const data = new Uint8Array(bytes);
  if (signature) {
    data.set([0xfa, 0xf4], 0);
    data.set([0x55, 0xaa], 510);
  }
  return data;
}

const FLOPPY = 1440 * 1024;
const DISK = 8 << 20;

Deno.test("INT 19h boots the first drive in order: 0000:7C00, DL the drive, interrupts on", () => {
  const b = new BiosBench({ floppy: medium(FLOPPY), disk: medium(DISK) }).post();
  assert.equal(b.call("int19").next, undefined);
  assert.deepEqual(b.peek(0x7c00, 2), [0xfa, 0xf4]);
  assert.equal(b.fake.edx, 0);
  const stack = b.fake.ss.selector * 16 + b.fake.esp;
  assert.equal(stack, 0x7bfa);
  assert.deepEqual(b.peek(stack, 6), [0x00, 0x7c, 0, 0, 0x00, 0x02]);
  const disk = new BiosBench({ disk: medium(DISK), bootOrder: ["floppy", "disk"] }).post();
  disk.call("int19");
  assert.equal(disk.fake.edx, 0x80);
});

Deno.test("INT 19h says why a drive cannot be booted and goes on to the next", () => {
  const b = new BiosBench({ floppy: medium(FLOPPY, false), disk: medium(DISK) }).post();
  b.call("int19");
  assert.equal(b.fake.edx, 0x80);
  assert.match(b.screen, /No bootable medium in floppy A: its first sector has no boot signature/);
});

Deno.test("INT 19h takes a diskette without signature when its sector holds something", () => {
  const floppy = medium(FLOPPY, false);
  floppy.set([0xeb, 0x34, 0x90], 0);
  const b = new BiosBench({ floppy }).post();
  assert.equal(b.call("int19").next, undefined);
});

Deno.test("INT 19h ends in the monitor with nothing to boot", () => {
  const b = new BiosBench({ disk: medium(DISK, false) }).post();
  assert.equal(b.call("int19").next, "startMonitor");
  const empty = new BiosBench().post();
  assert.equal(empty.call("int19").next, "startMonitor");
  assert.match(empty.screen, /no drive to boot from/);
  const noMedium = new BiosBench({ floppy: medium(FLOPPY) }).post();
  noMedium.drives[0].port.setMedium(undefined);
  noMedium.call("int19");
  assert.match(noMedium.screen, /No medium in floppy A$/);
});

Deno.test("INT 19h asks again when the machine is to stop while it reads", () => {
  const b = new BiosBench({ floppy: medium(FLOPPY, false), disk: medium(DISK) }).post();
  b.drives[1].port.start = () => Atomics.store(b.drives[1].port.state.phase, 0, 1);
  b.stopped = true;
  assert.equal(b.call("int19").next, "retry19");
  assert.equal(b.log.length, 1, "the diskette has been tried");
  b.stopped = false;
  b.drives[1].port.finish(0);
  delete (b.drives[1].port as { start?: unknown }).start;
  b.call("int19");
  assert.equal(b.fake.edx, 0x80);
  assert.equal(b.log.filter((line) => line.includes("floppy")).length, 1, "and is not tried again");
});

Deno.test("reset goes where the CMOS shutdown byte says, once (AT BIOS, port 71h index 0Fh)", () => {
  const b = new BiosBench();
  const codes = [[0x00, "coldStart"], [0x05, "warmJumpEoi"], [0x0a, "warmJump"], [
    0x09,
    "warmJump",
  ]];
  for (const [code, label] of codes) {
    b.ports.write(0x70, 1, 0x0f);
    b.ports.write(0x71, 1, code as number);
    assert.equal(b.call("reset").next, label);
    b.ports.write(0x70, 1, 0x0f);
    assert.equal(b.ports.read(0x71, 1), 0);
  }
});

Deno.test("POST fills the data area, the vectors and the EBDA, and prints a banner", () => {
  const b = new BiosBench({ floppy: medium(FLOPPY), disk: medium(DISK) }).post();
  assert.equal(b.memory.readU16(0x413), 639);
  assert.equal(b.memory.readU16(0x40e), 0x9fc0);
  assert.equal(b.memory.readU8(0x9fc00), 1);
  assert.equal(b.memory.readU8(0x475), 1);
  assert.equal(b.memory.readU16(0x400), 0x3f8);
  // Diskette drive, coprocessor, mouse, 80×25 colour, one serial port.
  assert.equal(b.memory.readU16(0x410), 0x0227);
  assert.deepEqual([0x41a, 0x41c, 0x480, 0x482].map((at) => b.memory.readU16(at)), [
    0x1e,
    0x1e,
    0x1e,
    0x3e,
  ]);
  assert.equal(b.memory.readU32(0x13 * 4), 0xf000e3fe);
  assert.equal(b.memory.readU32(0x10 * 4), 0xf000f065);
  assert.equal(b.memory.readU32(0x6d * 4), 0xf000ff53);
  assert.equal(b.memory.readU32(0x60 * 4), 0, "60h-67h are the user's");
  assert.match(b.row(0), /^hv test, test, 1 processor, 16 MiB$/);
  assert.match(b.row(1), /floppy A: 1440 KiB/);
  // 01:46:40 in the bench's clock: 6400 s of 18.2065 ticks.
  assert.equal(b.memory.readU32(0x46c), Math.floor(6400 * 1193182 / 65536));
});

Deno.test("the monitor edits its line, runs commands, and works on the serial port", () => {
  const b = new BiosBench({ serialConsole: true, disk: medium(DISK, false) }).post();
  b.call("int19");
  b.call("monitor");
  b.serialInput = "timx\be\r";
  b.call("monitor");
  assert.match(b.screen, /> time\n {2}2001-09-09 01:46:40\n> *$/);
  assert.match(b.serial, /2001-09-09 01:46:40\r\n> $/);
  b.serialInput = "frob\r";
  b.call("monitor");
  assert.match(b.screen, /There is no command "frob"/);
  b.serialInput = "mem f0000\rdisks\r";
  b.call("monitor");
  b.call("monitor");
  assert.match(b.screen, /80h disk 0: 8192 KiB/);
  b.serialInput = "boot a\rboot c\r";
  b.call("monitor");
  assert.equal(b.call("monitor").next, "bootAgain");
  assert.match(b.screen, /There is no floppy to boot/);
});

Deno.test("the monitor's cpu command has the guest execute CPUID, leaf by leaf", () => {
  const b = new BiosBench({ serialConsole: true }).post();
  b.call("monitor");
  b.serialInput = "cpu\r";
  assert.equal(b.call("monitor").next, "monitorCpuid");
  assert.equal(b.fake.eax, 0);
  const ask = { eax: 1, ebx: 0x756e6547, ecx: 0x6c65746e, edx: 0x49656e69 };
  assert.equal(b.call("monitor", ask).next, "monitorCpuid");
  assert.equal(b.fake.eax, 1);
  assert.match(b.screen, /00000000 00000001 756e6547 6c65746e 49656e69 {2}GenuineIntel/);
  b.call("monitor", { eax: 0x123 });
  assert.equal(b.fake.eax, 0x8000_0000, "then the extended leaves");
  assert.equal(b.call("monitor", { eax: 0x8000_0000 }).next, undefined);
  assert.match(b.screen, /\n> *$/);
});

Deno.test("the monitor waits for whoever is there, and half a second where nobody is", () => {
  const b = new BiosBench({ disk: medium(DISK, false), bootOrder: ["floppy", "disk"] }).post();
  b.call("int19");
  for (let i = 0; i < 50; i++) b.call("monitor");
  assert.equal(b.gaveUp, 0);
  b.boot.attended = false;
  for (let i = 0; i < 7; i++) b.call("monitor");
  assert.equal(b.gaveUp, 0, "a key may be on its way");
  b.call("monitor");
  assert.equal(b.gaveUp, 1);
  assert.match(b.boot.reasons, /^No bootable medium in disk 0: its first sector has no boot sig/);
});

Deno.test("what was typed into the monitor before everybody left is carried out", () => {
  const b = new BiosBench({ serialConsole: true }).post();
  b.boot.attended = false;
  b.call("int19");
  b.call("monitor");
  for (const key of "time") {
    for (let i = 0; i < 5; i++) b.call("monitor");
    b.serialInput = key;
    b.call("monitor");
  }
  b.serialInput = "\roff\r";
  b.call("monitor");
  assert.match(b.screen, /2001-09-09/);
  assert.equal(b.call("monitor").next, "powerOff");
  assert.equal(b.gaveUp, 0);
});

Deno.test("INT 19h notes why each cannot be booted, and begins anew each time", () => {
  const empty = new BiosBench().post();
  empty.call("int19");
  assert.equal(empty.boot.reasons, "There is no drive to boot from");
  const b = new BiosBench({ floppy: medium(FLOPPY, false), disk: medium(DISK, false) }).post();
  const both = /^No bootable medium in floppy A: [^;]*; No bootable medium in disk 0: [^;]*$/;
  b.call("int19");
  assert.match(b.boot.reasons, both);
  b.call("int19");
  assert.match(b.boot.reasons, both);
  const given = new BiosBench({ disk: medium(DISK) }).post();
  given.call("int19");
  // A boot sector that finds no system does INT 18h.
  assert.equal(given.boot.reasons, "What was booted from disk 0 gave up (INT 18h)");
});
