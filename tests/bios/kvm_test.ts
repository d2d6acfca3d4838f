/** The ROM on a real processor under KVM: from the reset vector to the monitor, and interrupts on the way. */

import assert from "node:assert/strict";
import { Assembler, word } from "../../bios/assembler/assembler.ts";
import { Firmware } from "../../bios/firmware.ts";
import { ROM_BYTES } from "../../bios/rom/rom.ts";
import { FIRMWARE_PORT } from "../../bios/rom/stub_names.ts";
import { createVm, Exit, type Vcpu } from "../../hv/accel/mod.ts";
import { serveMmio, servePort } from "../../hv/threads/exits.ts";
import { BiosBench, type BiosBenchOptions } from "./bios_bench.ts";

const MIB = 1 << 20;
const MOST_EXITS = 20_000;

function kvmWorks(): boolean {
  try {
    Deno.openSync("/dev/kvm", { read: true, write: true }).close();
    return true;
  } catch {
    console.log("skipped: /dev/kvm cannot be opened");
    return false;
  }
}

/** Runs a machine from reset until `done`, asked after each exit. */
function run(options: BiosBenchOptions, done: (b: BiosBench, vcpu: Vcpu) => boolean): BiosBench {
  const b = new BiosBench(options);
  using vm = createVm({ accelerator: "kvm", memory: b.memory.memory, cpus: 1 });
  const map = (slot: number, guestAddress: number, length: number, memoryOffset: number) =>
    vm.mapMemory({
      slot,
      guestAddress,
      length,
      memoryOffset,
      readOnly: memoryOffset === b.rom.offset,
    });
  map(0, 0, 0xa0000, 0);
  map(1, 0xc0000, 0x30000, 0xc0000);
  map(2, 0xf0000, ROM_BYTES, b.rom.offset);
  map(3, MIB, b.memory.lowBytes - MIB, MIB);
  map(4, 0xffff0000, ROM_BYTES, b.rom.offset);
  using vcpu = vm.openVcpu(0);
  const clock = { nowNs: () => performance.now() * 1e6, wallMs: () => Date.now() };
  const firmware = new Firmware({ ...b.host, clock, registers: vcpu.registers });
  b.ports.claim({ name: "firmware", base: FIRMWARE_PORT, length: 1, device: firmware });
  for (let exits = 0; exits < MOST_EXITS; exits++) {
    const exit = vcpu.run();
    if (exit === Exit.port) servePort(b.ports, vcpu.access);
    else if (exit === Exit.mmio) serveMmio(b.mmio, vcpu.access);
    else if (exit !== Exit.interrupted) {
      assert.fail(`exit ${exit}: ${exit === Exit.failed ? vcpu.failure() : ""}`);
    }
    if (done(b, vcpu)) return b;
  }
  return assert.fail(`not done after ${MOST_EXITS} exits:\n${b.screen}`);
}

const test = { ignore: !kvmWorks() };

Deno.test({
  name: "KVM: reset, POST, boot and monitor; the timer ticks while the monitor halts",
  ...test,
  fn() {
    let first: number | undefined;
    const b = run({ serialConsole: true, disk: new Uint8Array(MIB) }, (b) => {
      if (!/> $/.test(b.serial)) return false;
      first ??= b.memory.readU32(0x46c);
      return b.memory.readU32(0x46c) >= first + 3;
    });
    assert.match(b.screen, /No bootable medium in disk 0: .*\n\nROM monitor/);
  },
});

Deno.test({
  name: "KVM: a boot sector calls INT 10h, 12h, 13h, 15h and 1Ah and gets registers and flags",
  ...test,
  fn() {
    const a = new Assembler(0x7e00);
    a.org(0x7c00);
    a.alu("xor", "ax", "ax");
    a.mov("ds", "ax");
    a.int(0x12);
    a.mov(word(0x600), "ax");
    a.mov("ax", 0x0201);
    a.mov("bx", 0x0700);
    a.mov("cx", 0x0002);
    a.mov("dx", 0x0080);
    a.int(0x13);
    a.jcc("c", "failed");
    a.mov("ax", 0x0201);
    a.mov("cx", 0x0000); // sector 0: an error
    a.int(0x13);
    a.jcc("nc", "failed");
    a.mov(word(0x602), "ax");
    a.mov("ah", 0x01); // no key: ZF
    a.int(0x16);
    a.jcc("nz", "failed");
    a.mov("ax", 0x8600); // 100 ms, halting
    a.mov("cx", 1);
    a.mov("dx", 34464);
    a.int(0x15);
    a.jcc("c", "failed");
    a.mov("ax", 0x0e2a);
    a.mov("bx", 7);
    a.int(0x10);
    a.mov(word(0x604), 0x600d);
    a.label("failed");
    a.mov("al", 0);
    a.out(0x80, "al");
    a.label("stop");
    a.hlt();
    a.jmpShort("stop");
    a.org(0x7dfe);
    a.dw(0xaa55);
    a.link();
    const disk = new Uint8Array(MIB);
    disk.set(a.image.subarray(0x7c00));
    disk.fill(0x77, 512, 1024);
    const b = run({ disk }, (_b, { access }) => access.address === 0x80 && access.isWrite);
    assert.deepEqual([0x600, 0x602, 0x604].map((at) => b.memory.readU16(at)), [
      639,
      0x0400,
      0x600d,
    ]);
    assert.deepEqual(b.peek(0x700, 2), [0x77, 0x77]);
    assert.match(b.screen, /\*$/);
  },
});
