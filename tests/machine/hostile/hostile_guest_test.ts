/**
 * A real guest that reads and writes ports and memory at random, on KVM: however it ends, by its own
 * doing it does, not by a fault of ours; and until then the machine can be paused, seen and ended.
 */

import assert from "node:assert/strict";
import { byte, dword } from "../../../bios/assembler/assembler.ts";
import { Machine } from "../../../hv/mod.ts";
import { seed } from "../../support/random.ts";
import { kvmTest, type Payload, rom } from "../../support/payload.ts";
import { inFull } from "../../support/quick.ts";

const STEPS = inFull(30_000, 6000);
/** Where the program runs, so that no game with the ROM's area ends it. */
const COPY_SEGMENT = 0x1000;
const STATE = 0x500;
const LEFT = 0x504;
const IS_STARTED = 0x508;

/** EAX = the next number: a linear congruential generator of 32 bits, with its state in memory. */
function nextRandom(p: Payload): void {
  p.mov("eax", dword(STATE));
  p.db(0x66, 0x69, 0xc0); // imul eax, eax, 1664525
  p.dd(1664525);
  p.db(0x66, 0x05); // add eax, 1013904223
  p.dd(1013904223);
  p.mov(dword(STATE), "eax");
}

function program(p: Payload, start: number): void {
  p.realMode();
  p.unreal();
  // After a reset of its own making it goes on where it was.
  p.alu("cmp", byte(IS_STARTED), 0x5a);
  p.jcc("z", "started");
  p.mov(byte(IS_STARTED), 0x5a);
  p.mov("eax", start);
  p.mov(dword(STATE), "eax");
  p.mov("eax", STEPS);
  p.mov(dword(LEFT), "eax");
  p.label("started");
  p.mov("ax", COPY_SEGMENT);
  p.mov("es", "ax");
  p.mov("ax", "cs");
  p.mov("ds", "ax");
  p.alu("xor", "si", "si");
  p.alu("xor", "di", "di");
  p.mov("cx", 0x4000);
  p.db(0xf3, 0x66, 0xa5); // rep movsd
  p.alu("xor", "ax", "ax");
  p.mov("ds", "ax");
  p.push(COPY_SEGMENT);
  p.push(p.here + 4); // behind this and the RETF
  p.retf();
  p.forever(() => {
    p.alu("sub", dword(LEFT), 1);
    p.jcc("nc", "more");
    p.exit(0x10);
    p.label("more");
    nextRandom(p);
    p.mov("ecx", "eax");
    nextRandom(p);
    p.shr("eax", 4);
    p.mov("dx", "ax");
    // Every other port is one of those that a PC has.
    p.test("cl", 1);
    p.jcc("z", "any");
    p.alu("and", "dx", 0x3ff);
    p.label("any");
    // Not the one that ends the machine, nor those whose wider accesses reach it.
    p.mov("bx", "dx");
    p.alu("and", "bx", 0xfff8);
    p.alu("cmp", "bx", 0xf0);
    p.jcc("z", "next");
    nextRandom(p);
    for (const [bit, access] of ACCESSES) {
      const skip = p.fresh();
      p.test("cl", bit);
      p.jcc("z", skip);
      access(p);
      p.label(skip);
    }
    p.label("next");
  });
}

/** What is done when a bit of the first number is set. */
const ACCESSES: readonly (readonly [bit: number, access: (p: Payload) => void])[] = [
  [0x02, (p) => p.out("dx", "al")],
  [0x04, (p) => p.in("al", "dx")],
  [0x08, (p) => p.out("dx", "ax")],
  [0x10, (p) => p.in("eax", "dx")],
  [0x20, (p) => p.out("dx", "eax")],
  // mov [fs:eax], cl in the display's window; then anywhere above 3 GiB
  [0x40, (p) => {
    p.db(0x66, 0x25);
    p.dd(0x1_ffff); // and eax, 1FFFFh
    p.db(0x66, 0x0d);
    p.dd(0xa_0000); // or eax, A0000h
    p.db(0x64, 0x67, 0x88, 0x08);
  }],
  [0x80, (p) => {
    p.db(0x66, 0x0d);
    p.dd(0xc000_0000); // or eax, C0000000h
    p.db(0x64, 0x67, 0x8a, 0x28); // mov ch, [fs:eax]
  }],
];

kvmTest(`a guest of ${STEPS} random accesses on KVM ends by its own doing`, async () => {
  for (const start of [seed(), seed() + 1]) {
    using image = rom((p) => program(p, start));
    const disk = Deno.makeTempFileSync({ prefix: "hv-test-", suffix: ".img" });
    Deno.truncateSync(disk, 1440 * 1024);
    try {
      await using machine = await Machine.start({
        accelerator: "kvm",
        memory: "4M",
        cpus: 2,
        bios: image.path,
        floppy: { path: disk, overlay: true },
        disk: { path: disk, readOnly: true },
        serialPorts: 4,
      });
      let status: Awaited<Machine["exited"]> | undefined;
      machine.exited.then((ended) => status = ended);
      const untilMs = performance.now() + 20_000;
      while (status === undefined && performance.now() < untilMs) {
        await machine.pause();
        machine.screen.text();
        assert.match(await machine.registers(), /rip=/);
        await machine.resume();
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      // A reason of ours would have a trace of our own files.
      assert.doesNotMatch(status?.message ?? "", /\.ts:\d+/, `HV_SEED=${start}`);
      assert.notEqual(machine.state, "disposed");
      if (status?.reason !== "debug-exit") console.log(`HV_SEED=${start}: ${status?.message}`);
    } finally {
      Deno.removeSync(disk);
    }
  }
});
