/** Pausing and resuming: a thousand rounds, nothing runs meanwhile, guest time stands still. */

import assert from "node:assert/strict";
import { Assembler, byte, dword, offset, word } from "../../bios/assembler/assembler.ts";
import { Machine } from "../../hv/mod.ts";
import {
  exitCode,
  kvmTest,
  onEach,
  type Payload,
  rom,
  ROM_SEGMENT,
  romFile,
} from "../support/payload.ts";

const APIC_SPURIOUS = 0xfee0_00f0;
const ICR_LOW = 0xfee0_0300;
/** Counters of the processors, and the last sample of the power-management timer. */
const COUNTERS = [0x600, 0x604] as const;
const SAMPLE = 0x608;
/** PIIX4, 3.579545 MHz. */
const PM_TIMER_HZ = 3_579_545;
const PM_BASE = 0x600;
/** How long the guest stands still in the test of its time. */
const PAUSED_MS = 2000;

type Work = "port accesses" | "halted";

/** What each processor does all the time. */
function work(p: Payload, kind: Work, counter: number): void {
  p.forever(() => {
    if (kind === "port accesses") p.out(0x80, "al");
    else p.hlt();
    p.inc(dword(counter));
  });
}

/** One or two processors at work. */
function workers(kind: Work, cpus: number): (p: Payload) => void {
  return (p) => {
    p.realMode();
    p.unreal();
    if (cpus > 1) {
      p.mov(byte(0x8000), 0xea); // jmp far F000:second
      p.mov(word(0x8001), offset("second"));
      p.mov(word(0x8003), ROM_SEGMENT);
      for (
        const [register, value] of [[APIC_SPURIOUS, 0x1ff], [ICR_LOW, 0xc4500], [ICR_LOW, 0xc4608]]
      ) {
        p.mov("eax", value);
        p.storeFar(register);
      }
    }
    work(p, kind, COUNTERS[0]);
    p.label("second");
    p.realMode(0x6000);
    work(p, kind, COUNTERS[1]);
  };
}

function counter(machine: Machine, address: number): number {
  return new DataView(machine.readMemory(address, 4)!.buffer).getUint32(0, true);
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

for (const cpus of [1, 2]) {
  for (const kind of ["port accesses", "halted"] as const) {
    onEach(
      `a thousand rounds of pause and resume, ${cpus} processors, ${kind}`,
      async (accelerator) => {
        using image = rom(workers(kind, cpus));
        await using machine = await Machine.start({
          accelerator,
          memory: "1M",
          cpus,
          bios: image.path,
        });
        const read = () => COUNTERS.slice(0, cpus).map((address) => counter(machine, address));
        for (let round = 0; round < 1000; round++) {
          await machine.pause();
          assert.equal(machine.state, "paused");
          if (round % 100 === 0) {
            const before = read();
            await sleep(5);
            assert.deepEqual(read(), before, "a processor ran while paused");
          }
          await machine.resume();
          assert.equal(machine.state, "running");
        }
        if (kind === "halted") return;
        // It still runs, on every processor.
        const before = read();
        while (read().some((value, i) => value === before[i])) await sleep(5);
      },
    );
  }
}

kvmTest("guest time stands still while paused (PIIX4 power-management timer)", async () => {
  using image = rom((p) => {
    p.realMode();
    for (const [register, value] of [[0x8000_0b40, PM_BASE + 1], [0x8000_0b80, 1]]) {
      p.mov("dx", 0xcf8);
      p.mov("eax", register);
      p.out("dx", "eax");
      p.mov("dx", 0xcfc);
      p.mov("eax", value);
      p.out("dx", "eax");
    }
    p.mov("dx", PM_BASE + 8);
    p.forever(() => {
      p.in("eax", "dx");
      p.mov(dword(SAMPLE), "eax");
      p.inc(dword(COUNTERS[0]));
    });
  });
  await using machine = await Machine.start({ accelerator: "kvm", memory: "1M", bios: image.path });
  // Two turns on, the sample was taken after `startMs`, however long the host kept the guest waiting.
  const sampled = async () => {
    const before = counter(machine, COUNTERS[0]);
    while (counter(machine, COUNTERS[0]) < before + 2) await sleep(1);
    return counter(machine, SAMPLE);
  };
  let startMs = performance.now();
  const first = await sampled();
  await machine.pause();
  let runningMs = performance.now() - startMs;
  await sleep(PAUSED_MS);
  startMs = performance.now();
  await machine.resume();
  const last = await sampled();
  runningMs += performance.now() - startMs;
  const ticks = (last - first) & 0xff_ffff;
  assert.notEqual(ticks, 0, "the timer runs");
  const guestMs = ticks / PM_TIMER_HZ * 1000;
  assert.ok(
    guestMs < runningMs + PAUSED_MS / 2,
    `${guestMs} ms passed in ${runningMs} ms of running`,
  );
});

kvmTest("pausing twice, resuming twice and pausing a guest that has ended do nothing", async () => {
  using image = rom((p) => {
    p.realMode();
    p.until("nz", () => p.alu("cmp", byte(0x500), 0));
    p.exit(1);
  });
  await using machine = await Machine.create({
    accelerator: "kvm",
    memory: "1M",
    bios: image.path,
  });
  await machine.pause();
  assert.equal(machine.state, "starting");
  await machine.resume();
  await machine.resume();
  await Promise.all([machine.pause(), machine.pause(), machine.resume(), machine.pause()]);
  assert.equal(machine.state, "paused");
  await Promise.all([machine.resume(), machine.registers(), machine.resume()]);
  assert.equal(machine.state, "running");
  machine.writeMemory(0x500, Uint8Array.of(1));
  assert.equal(await exitCode(machine), 3);
  await machine.pause();
  await machine.resume();
  assert.equal(machine.state, "ended");
  assert.match(await machine.registers(), /cs =f000/);
});

kvmTest(
  "a guest that has ended runs no further, whatever is asked of the machine meanwhile",
  async () => {
    using image = rom((p) => {
      p.realMode();
      p.until("nz", () => {
        p.inc(dword(COUNTERS[0]));
        p.alu("cmp", byte(0x500), 0);
      });
      p.mov("al", 1);
      p.out(0xf4, "al");
      p.inc(byte(0x501));
      p.stop();
    });
    for (let round = 0; round < 10; round++) {
      await using machine = await Machine.start({
        accelerator: "kvm",
        memory: "1M",
        bios: image.path,
      });
      const asked = Array.from({ length: 20 }, () => machine.registers());
      machine.writeMemory(0x500, Uint8Array.of(1));
      for (let i = 0; i < 20; i++) asked.push(machine.registers());
      await Promise.all(asked);
      assert.equal(await exitCode(machine), 3);
      assert.equal(machine.readMemory(0x501, 1)![0], 0, "the guest went on after its end");
    }
  },
);

/** The host sets this byte when the guest has read enough. */
const ENOUGH = 0x7000;

/** A diskette whose boot sector reads track 0 by INT 13h and compares what it gets until `ENOUGH`. */
function readingFloppy(): Uint8Array {
  const a = new Assembler(1440 * 1024);
  a.jmpFar(0x07c0, offset("start"));
  a.label("start");
  a.mov("ax", 0x1000);
  a.mov("es", "ax");
  a.alu("xor", "ax", "ax");
  a.mov("fs", "ax");
  a.label("again");
  a.alu("xor", "di", "di");
  a.mov(dword(0, undefined, "es"), "eax"); // to be overwritten
  a.mov("ax", 0x0211); // read 17 sectors
  a.mov("cx", 0x0002);
  a.mov("dx", 0);
  a.alu("xor", "bx", "bx");
  a.int(0x13);
  a.jcc("c", "bad");
  a.alu("cmp", "al", 17);
  a.jcc("nz", "bad");
  a.mov("al", byte(0, undefined, "es"));
  a.alu("cmp", "al", 1);
  a.jcc("nz", "bad");
  a.mov("al", byte(16 * 512, undefined, "es"));
  a.alu("cmp", "al", 17);
  a.jcc("nz", "bad");
  a.alu("cmp", byte(ENOUGH, undefined, "fs"), 0);
  a.jcc("z", "again");
  a.mov("al", 0x10);
  a.jmpShort("end");
  a.label("bad");
  a.mov("al", 0x20);
  a.label("end");
  a.out(0xf4, "al");
  a.label("stop");
  a.hlt();
  a.jmpShort("stop");
  a.link();
  for (let sector = 1; sector < 2880; sector++) {
    a.image.fill(sector, sector * 512, sector * 512 + 512);
  }
  a.image.set([0x55, 0xaa], 510);
  return a.image;
}

kvmTest(
  "pausing while the firmware waits for a disk loses no request and changes no data",
  async () => {
    using floppy = romFile(readingFloppy());
    await using machine = await Machine.start({
      accelerator: "kvm",
      memory: "2M",
      cpus: 2,
      floppy: floppy.path,
    });
    const ended = exitCode(machine);
    for (let round = 0; round < 200 && machine.state !== "ended"; round++) {
      await machine.pause();
      await machine.resume();
      await sleep(round % 3);
    }
    machine.writeMemory(ENOUGH, Uint8Array.of(1));
    assert.equal(await ended, 0x21);
  },
);
