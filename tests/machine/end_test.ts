/** How guests end, and what a wait tells of it. */

import assert from "node:assert/strict";
import { dword } from "../../bios/assembler/assembler.ts";
import { Machine, type MachineOptions, WaitError } from "../../hv/mod.ts";
import { PATIENCE_MS } from "../support/guest/guests.ts";
import { ending, kvmTest, type Payload, rom } from "../support/payload.ts";

/** PIIX4 power management at 600h: enabled as firmware does it. */
function enablePowerManagement(p: Payload): void {
  for (const [register, value] of [[0x8000_0b40, 0x601], [0x8000_0b80, 1]]) {
    p.mov("dx", 0xcf8);
    p.mov("eax", register);
    p.out("dx", "eax");
    p.mov("dx", 0xcfc);
    p.mov("eax", value);
    p.out("dx", "eax");
  }
}

/** SLP_EN with the SLP_TYP of S5 to PM1a_CNT. */
function powerOff(p: Payload): void {
  enablePowerManagement(p);
  p.mov("dx", 0x604);
  p.mov("ax", 0x2000);
  p.out("dx", "ax");
  p.stop();
}

/** Protected mode without an interrupt descriptor table: an exception is a triple fault. */
function protectedMode(p: Payload): void {
  p.lidt(dword(0x30, undefined, "cs")); // six zero bytes of the ROM
  p.movEaxCr0();
  p.db(0x0c, 1); // or al, 1
  p.movCr0Eax();
}

async function run(
  program: (p: Payload) => void,
  body: (machine: Machine) => Promise<void>,
  options: MachineOptions = {},
): Promise<void> {
  using image = rom(program);
  await using machine = await Machine.start({
    accelerator: "kvm",
    memory: "1M",
    bios: image.path,
    ...options,
  });
  await body(machine);
}

kvmTest("isa-debug-exit gives (value << 1) | 1, whatever the width of the write", async () => {
  for (const [value, code] of [[0, 1], [0x10, 0x21], [0x7f, 0xff], [0xff, 0xff]]) {
    await run((p) => {
      p.mov("eax", value);
      p.out(0xf4, value === 0x7f ? "eax" : "al");
      p.stop();
    }, async (machine) => {
      const status = await ending(machine);
      assert.equal(status.reason, "debug-exit");
      assert.equal(status.code, code);
    });
  }
});

kvmTest(
  "power-off through PM1a_CNT ends the machine and every wait, with that reason",
  async () => {
    await run((p) => {
      p.realMode();
      p.print("going down");
      powerOff(p);
    }, async (machine) => {
      const wait = machine.console.expect("never", { timeoutMs: PATIENCE_MS });
      await assert.rejects(wait, (error: WaitError) => {
        assert.equal(error.name, "WaitError");
        assert.equal(error.reason, "ended");
        assert.match(error.message, /never.*: the guest powered off\n--- console ---\ngoing down/s);
        assert.match(error.message, /--- registers ---\nrax=/);
        return true;
      });
      assert.deepEqual(await machine.exited, {
        reason: "power-off",
        code: 0,
        message: "the guest powered off",
      });
      assert.equal(machine.state, "ended");
      // What came before the end can still be waited for; what did not cannot.
      await machine.console.expect("going down");
      await assert.rejects(machine.console.expect("never"), /powered off/);
      await assert.rejects(machine.screen.waitFor("never"), /powered off/);
      await assert.rejects(machine.keyboard.type("x"), /powered off/);
    });
  },
);

kvmTest("a triple fault ends the machine with the registers in its message", async () => {
  await run((p) => {
    p.realMode();
    p.mov("ebx", 0x1234_5678);
    protectedMode(p);
    p.mov("ax", 0xfff8);
    p.mov("ds", "ax"); // there is no such descriptor: #GP
  }, async (machine) => {
    const { reason, message } = await ending(machine);
    assert.equal(reason, "triple-fault");
    assert.match(message, /^the guest ended by a triple fault\n.*rbx=0000000012345678/s);
  });
});

kvmTest("a kernel's panic ends waits at once, whatever follows it on the console", async () => {
  await run((p) => {
    p.realMode();
    p.print("[1.0] Kernel panic - not syncing: no init found\n");
    // More than what a look at the last lines alone would show.
    p.mov("dx", 0x3f8);
    p.mov("al", ".".charCodeAt(0));
    p.times(20_000, () => p.out("dx", "al"));
    p.print("\nend");
    p.stop();
  }, async (machine) => {
    const wait = machine.console.expect("never", { timeoutMs: PATIENCE_MS });
    await assert.rejects(wait, (error: WaitError) => {
      assert.equal(error.reason, "ended");
      assert.match(error.message, /the guest died: Kernel panic - not syncing: no init found\n/);
      return true;
    });
    assert.equal(machine.state, "running");
  });
  const text = { panicPatterns: [/STOP: 0x[0-9A-F]+/] };
  await run((p) => {
    p.realMode();
    p.print("*** STOP: 0x0000007B");
    p.stop();
  }, async (machine) => {
    await assert.rejects(machine.console.expect("never"), /the guest died: STOP: 0x0/);
  }, text);
});

kvmTest(
  "an instruction that KVM cannot emulate ends the machine, saying which and where",
  async () => {
    await run((p) => {
      p.realMode();
      protectedMode(p);
      p.db(0x0f, 0x0b); // ud2: a triple fault, unless KVM emulates
    }, async (machine) => {
      const { reason, message } = await ending(machine);
      if (reason === "triple-fault") return console.log("skipped: this host runs the instruction");
      assert.equal(reason, "failed");
      assert.match(message, /f000:1[0-9a-f]+/);
      assert.match(message, /bytes 0f 0b/);
      await assert.rejects(machine.console.expect("never"), /f000:1/);
    });
  },
);

kvmTest(
  "a wait's time limit ends it with console, screen and registers; the guest goes on",
  async () => {
    await using machine = await Machine.start({ accelerator: "kvm", memory: "4M" });
    await machine.screen.waitFor("hv", { timeoutMs: PATIENCE_MS });
    const wait = machine.screen.waitFor(/never/, { timeoutMs: 50 });
    await assert.rejects(wait, (error: WaitError) => {
      assert.equal(error.reason, "timeout");
      assert.match(error.message, /^Waited .* s for the screen to show \/never\/: .* 0\.05 s\n/);
      assert.match(error.message, /--- screen ---\n.*hv.*--- registers ---\nrax=/s);
      return true;
    });
    assert.equal(machine.state, "running");
  },
);

kvmTest("an AbortSignal ends a wait, also one that is aborted before", async () => {
  await run((p) => p.stop(), async (machine) => {
    const abort = new AbortController();
    const { signal } = abort;
    const waits = [
      machine.console.expect("never", { signal }),
      machine.screen.waitFor("never", { signal }),
      machine.keyboard.type("x", { signal }),
    ];
    const failed = waits.map((wait) =>
      assert.rejects(wait, ({ reason, cause }: WaitError) => {
        assert.equal(reason, "aborted");
        assert.equal((cause as Error).message, "enough");
        return true;
      })
    );
    abort.abort(new Error("enough"));
    await Promise.all(failed);
    await assert.rejects(machine.console.expect("never", { signal }), /the caller gave up/);
  });
});

kvmTest("a time limit of days, or none at all, is no time limit of nothing", async () => {
  await run((p) => {
    p.realMode();
    p.times(3000, () => p.out(0x80, "al"));
    p.print("late");
    p.stop();
  }, async (machine) => {
    await machine.console.expect("late", { timeoutMs: 30 * 86_400_000 });
  });
  await run((p) => {
    p.realMode();
    p.times(3000, () => p.out(0x80, "al"));
    p.print("late");
    p.stop();
  }, async (machine) => {
    await machine.console.expect("late", { timeoutMs: Infinity });
  });
});

Deno.test("nothing to boot: the monitor waits for a script, or the machine ends as it was asked", async () => {
  const reason = /nothing can be booted, .*: There is no drive to boot from/;
  await using waiting = await Machine.start({ memory: "2M" });
  await waiting.console.expect("ROM monitor", { timeoutMs: PATIENCE_MS });
  assert.equal(waiting.attended, true);
  waiting.console.send("time\n");
  await waiting.console.expect(/> time\s+\d{4}-/, { timeoutMs: PATIENCE_MS });
  waiting.attended = false;
  assert.match((await ending(waiting)).message, reason);

  await using machine = await Machine.start({ memory: "2M", attended: false });
  await assert.rejects(machine.console.expect("login:", { timeoutMs: PATIENCE_MS }), reason);
  const { reason: how, message } = await ending(machine);
  assert.equal(how, "failed");
  assert.match(message, reason);
});
