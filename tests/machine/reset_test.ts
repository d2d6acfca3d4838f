/** Resets: by the chip set, the keyboard controller, port 92h, the host; of the processor alone. */

import assert from "node:assert/strict";
import { byte, word } from "../../bios/assembler/assembler.ts";
import { Machine } from "../../hv/mod.ts";
import { PATIENCE_MS } from "../support/guest/guests.ts";
import { ending, exitCode, kvmTest, type Payload, rom } from "../support/payload.ts";

/** A byte of CMOS that nobody else uses. */
const BOOTS = 0x50;
const SHUTDOWN = 0x0f;
const SCRATCH = 0x3ff;

/** AL = CMOS byte `index`. */
function loadCmos(p: Payload, index: number): void {
  p.mov("al", index);
  p.out(0x70, "al");
  p.in("al", 0x71);
}

/** CMOS byte `index` = AH. */
function storeCmos(p: Payload, index: number): void {
  p.mov("al", index);
  p.out(0x70, "al");
  p.mov("al", "ah");
  p.out(0x71, "al");
}

const RESETS: Record<string, (p: Payload) => void> = {
  "the reset control register, CF9h (82371SB, RC)": (p) => {
    p.mov("dx", 0xcf9);
    for (const value of [0x02, 0x06]) {
      p.mov("al", value);
      p.out("dx", "al");
    }
  },
  "the keyboard controller's command FEh (IBM AT)": (p) => {
    p.mov("al", 0xfe);
    p.out(0x64, "al");
  },
  "bit 0 of port 92h": (p) => {
    p.in("al", 0x92);
    p.db(0x0c, 1); // or al, 1
    p.out(0x92, "al");
  },
};

/** Counts its starts in CMOS, which stays; at the third it ends. */
function startedThrice(p: Payload, reset: (p: Payload) => void): void {
  p.realMode();
  loadCmos(p, BOOTS);
  p.mov("ah", "al");
  p.inc("ah");
  storeCmos(p, BOOTS);
  p.mov("bl", "ah");
  // A device's register tells whether the devices were reset as well.
  p.mov("dx", SCRATCH);
  p.in("al", "dx");
  p.alu("or", byte(0x500), "al");
  p.mov("al", 0xff);
  p.out("dx", "al");
  p.alu("cmp", "bl", 3);
  p.jcc("z", "third");
  reset(p);
  p.stop();
  p.label("third");
  p.exit(0x10);
}

for (const [name, reset] of Object.entries(RESETS)) {
  kvmTest(`the guest resets the machine by ${name}`, async () => {
    using image = rom((p) => startedThrice(p, reset));
    for (const cpus of [1, 2]) {
      await using machine = await Machine.start({
        accelerator: "kvm",
        memory: "1M",
        cpus,
        bios: image.path,
      });
      assert.equal(await exitCode(machine), 0x21);
      assert.equal(machine.readMemory(0x500, 1)![0], 0, "the UART kept its scratch register");
    }
    await using once = await Machine.start({
      accelerator: "kvm",
      memory: "1M",
      bios: image.path,
      noReboot: true,
    });
    assert.equal((await ending(once)).reason, "reset");
    assert.equal((await ending(once)).message, "the guest asked for a reset");
  });

  kvmTest(`with shutdown code 0Ah, ${name} resets the processor alone`, async () => {
    const whole = name.includes("CF9h");
    using image = rom((p) => {
      p.realMode();
      loadCmos(p, SHUTDOWN);
      p.alu("cmp", "al", 0x0a);
      p.jcc("z", "again");
      p.mov("ah", 0x0a);
      storeCmos(p, SHUTDOWN);
      p.mov("dx", SCRATCH);
      p.mov("al", 0x5a);
      p.out("dx", "al");
      p.mov(word(0x600), 0x1234);
      reset(p);
      p.stop();
      p.label("again");
      p.mov("dx", SCRATCH);
      p.in("al", "dx");
      p.mov(byte(0x602), "al");
      p.exit(0x10);
    });
    await using machine = await Machine.start({
      accelerator: "kvm",
      memory: "1M",
      bios: image.path,
    });
    assert.equal(await exitCode(machine), 0x21);
    const [low, high, scratch] = machine.readMemory(0x600, 3)!;
    assert.equal(low | high << 8, 0x1234, "RAM changed");
    assert.equal(scratch, whole ? 0 : 0x5a);
  });
}

kvmTest("the host resets a running, a halted, a paused and an ended guest", async () => {
  using image = rom((p) => {
    p.realMode();
    loadCmos(p, BOOTS);
    p.mov("ah", "al");
    p.inc("ah");
    storeCmos(p, BOOTS);
    p.mov("al", "ah");
    p.alu("add", "al", "0".charCodeAt(0));
    p.mov("dx", 0x3f8);
    p.out("dx", "al");
    p.alu("cmp", "ah", 3);
    p.jcc("z", "halt");
    p.jcc("a", "end");
    p.forever(() => p.out(0x80, "al"));
    p.label("halt");
    p.stop();
    p.label("end");
    p.exit(1);
  });
  await using machine = await Machine.start({
    accelerator: "kvm",
    memory: "1M",
    cpus: 2,
    bios: image.path,
  });
  await machine.console.expect("1", { timeoutMs: PATIENCE_MS });
  await machine.reset();
  await machine.console.expect("2", { timeoutMs: PATIENCE_MS });
  await machine.reset();
  await machine.console.expect("3", { timeoutMs: PATIENCE_MS });
  await machine.pause();
  await machine.reset();
  assert.equal(machine.state, "paused");
  assert.equal(machine.console.text, "123");
  await machine.resume();
  assert.equal(await exitCode(machine), 3);
  await machine.reset();
  await machine.resume();
  assert.equal(machine.state, "ended");
  assert.equal(machine.console.text, "1234");
});

kvmTest("a hundred resets by the host, at any moment, each start the guest anew", async () => {
  using image = rom((p) => {
    p.realMode();
    p.print("up ");
    p.forever(() => p.out(0x80, "al"));
  });
  await using machine = await Machine.start({
    accelerator: "kvm",
    memory: "1M",
    cpus: 2,
    bios: image.path,
  });
  for (let round = 0; round < 100; round++) {
    await Promise.all([machine.reset(), machine.registers(), machine.pause(), machine.resume()]);
    if (round % 10 === 0) await machine.console.expect("up ", { timeoutMs: PATIENCE_MS });
  }
  assert.equal(machine.state, "running");
});
