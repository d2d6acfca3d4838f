/** Starting and stopping: whatever way it goes, everything is given back. */

import assert from "node:assert/strict";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Machine, type MachineOptions } from "../../hv/mod.ts";
import { PATIENCE_MS } from "../support/guest/guests.ts";
import { exitCode, kvmTest, rom, type RomFile } from "../support/payload.ts";
import { inFull } from "../support/quick.ts";

const FLOPPY_BYTES = 1440 * 1024;

const count = (directory: string) => [...Deno.readDirSync(directory)].length;
const descriptors = () => count("/proc/self/fd");
const threads = () => count("/proc/self/task");

setFlagsFromString("--expose-gc");
const collectGarbage: () => void = runInNewContext("gc");

/** Resident memory in MiB, without garbage. */
function residentMib(): number {
  collectGarbage();
  return Deno.memoryUsage().rss / 2 ** 20;
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Workers end a little after they are told to, and Deno's own threads some ten seconds after their work:
 * waits until `look` gives `most` or less, for a minute at most.
 */
async function atMost(look: () => number, most: number): Promise<number> {
  for (let i = 0; i < 2400 && look() > most; i++) await sleep(25);
  return look();
}

/** What `look` gives when it has not become less for a quarter of a second. */
async function settled(look: () => number): Promise<number> {
  let least = look();
  for (let i = 0; i < 10; i++) {
    await sleep(25);
    if (look() < least) [least, i] = [look(), 0];
  }
  return least;
}

/** Images of a floppy, a disk and a CD-ROM, and the options that use them. */
class Images implements Disposable {
  readonly directory = Deno.makeTempDirSync({ prefix: "hv-test-" });
  readonly options: MachineOptions;

  constructor(image: RomFile, cpus: number) {
    const file = (name: string, bytes: number) => {
      const path = `${this.directory}/${name}`;
      Deno.createSync(path).close();
      Deno.truncateSync(path, bytes);
      return path;
    };
    this.options = {
      accelerator: "kvm",
      memory: "2M",
      cpus,
      bios: image.path,
      floppy: file("floppy.img", FLOPPY_BYTES),
      disk: { path: file("disk.img", 8 << 20), overlay: true },
      cdrom: file("cdrom.iso", 1 << 20),
    };
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.directory, { recursive: true });
  }
}

/** A guest that works through a port for ever. */
const busy = () =>
  rom((p) => {
    p.realMode();
    p.print("up\n");
    p.forever(() => p.out(0x80, "al"));
  });

/** A machine that is not given back costs more than this in its threads alone, MiB. */
const MACHINE_MIB = 20;

/** Does `round` often, having done it thrice to warm up: nothing is left of it. */
async function leavesNothing(rounds: number, round: (i: number) => Promise<void>): Promise<void> {
  for (let i = 0; i < 3; i++) await round(i);
  const before = { threads: await settled(threads), descriptors: await settled(descriptors) };
  const beforeMib = residentMib();
  for (let i = 0; i < rounds; i++) await round(i);
  const after = {
    threads: await atMost(threads, before.threads),
    descriptors: await atMost(descriptors, before.descriptors),
  };
  assert.ok(after.threads <= before.threads, `${after.threads - before.threads} threads are left`);
  const left = after.descriptors - before.descriptors;
  assert.ok(left <= 0, `${left} descriptors are left`);
  const grownMib = residentMib() - beforeMib;
  // Compiled code and arenas of the allocator stay; a machine each round would be more.
  const mostMib = 100 + rounds * MACHINE_MIB / 4;
  assert.ok(grownMib < mostMib, `memory has grown by ${grownMib} MiB in ${rounds} rounds`);
}

const STARTS = inFull(50, 10);

kvmTest(`${STARTS} starts and stops, 2 processors, three drives: nothing is left`, async () => {
  using image = busy();
  using images = new Images(image, 2);
  await leavesNothing(STARTS, async () => {
    await using machine = await Machine.start(images.options);
    await machine.console.expect("up\n", { timeoutMs: PATIENCE_MS });
  });
});

const ROUNDS = inFull(3, 1);

kvmTest("a start that fails half-way gives everything back", async () => {
  using image = busy();
  using images = new Images(image, 2);
  const { options, directory } = images;
  const missing = `${directory}/missing.img`;
  const odd = `${directory}/odd.rom`;
  Deno.writeTextFileSync(odd, "not a ROM");
  const wrong: [MachineOptions, RegExp][] = [
    [{ ...options, cdrom: missing }, /missing\.img .* no such file/],
    [{ ...options, floppy: [options.floppy as string, options.floppy as string] }, /has it open/],
    [{ ...options, bios: odd }, /odd\.rom as firmware: 9 bytes/],
    [{ ...options, bios: missing }, /no such file/],
    [{ ...options, cpu: "host,+nonsense" }, /nonsense/],
    [{ ...options, kernel: odd }, /odd\.rom/],
    [{ ...options, kernel: image.path, bios: "builtin" }, /Cannot/],
  ];
  await leavesNothing(ROUNDS, async () => {
    for (const [options, message] of wrong) {
      await assert.rejects(Machine.start(options), ({ message: text }: Error) => {
        assert.match(text, message);
        assert.doesNotMatch(text, /\n/);
        return true;
      });
    }
  });
});

kvmTest(
  "a machine that is disposed of at once, twice, or never started is given back",
  async () => {
    using image = busy();
    using images = new Images(image, 2);
    await leavesNothing(ROUNDS, async () => {
      const atOnce = (await Machine.start(images.options))[Symbol.asyncDispose]();
      const twice = await Machine.start({ ...images.options, floppy: [] });
      const first = twice[Symbol.asyncDispose]();
      await Promise.resolve();
      await twice[Symbol.asyncDispose]();
      await atOnce;
      // The images are free as soon as any of the calls says so.
      await using _again = await Machine.create({ ...images.options, cdrom: [] });
      await first;
      assert.equal(twice.state, "disposed");
      assert.equal((await twice.exited).reason, "disposed");
    });
  },
);

kvmTest(
  "a machine that is disposed of during a reset, a pause or a wait is given back",
  async () => {
    using image = busy();
    using images = new Images(image, 2);
    await leavesNothing(ROUNDS, async (round) => {
      const machine = await Machine.start(images.options);
      const wait = machine.console.expect("never", { timeoutMs: PATIENCE_MS });
      const failed = assert.rejects(wait, /machine was disposed of/);
      const others = [machine.reset(), machine.pause(), machine.registers()];
      if (round % 2 === 0) await others[0];
      await machine[Symbol.asyncDispose]();
      await Promise.all(others);
      await failed;
      // Of a machine that is no more, every question still has an answer.
      assert.equal(await machine.registers(), "");
      await machine.reset();
      await machine.pause();
      await machine.resume();
      assert.equal(machine.state, "disposed");
      await assert.rejects(machine.console.expect("never"), /machine was disposed of/);
      await assert.rejects(machine.screen.waitFor("never"), /machine was disposed of/);
      await assert.rejects(machine.keyboard.type("x"), /machine was disposed of/);
      machine.console.send("nobody listens");
    });
  },
);

kvmTest(
  "await using ends the machine when its block throws, and a guest that ended by itself",
  async () => {
    using image = rom((p) => {
      p.realMode();
      p.print("up\n");
      p.exit(2);
    });
    using images = new Images(image, 1);
    await leavesNothing(ROUNDS, async (round) => {
      const body = async () => {
        await using machine = await Machine.start(images.options);
        if (round % 2 === 0) assert.equal(await exitCode(machine), 5);
        throw new Error("the test's own");
      };
      await assert.rejects(body(), /the test's own/);
    });
  },
);

kvmTest(
  "guest memory goes back to the host when the machine is disposed of, not when it is collected",
  async () => {
    using image = busy();
    const beforeMib = residentMib();
    for (let round = 0; round < 6; round++) {
      await using machine = await Machine.create({
        accelerator: "kvm",
        memory: "256M",
        bios: image.path,
      });
      const page = new Uint8Array(1 << 20).fill(0xa5);
      for (let mib = 1; mib < 250; mib++) machine.writeMemory(mib << 20, page);
    }
    const grownMib = residentMib() - beforeMib;
    assert.ok(grownMib < 300, `memory has grown by ${grownMib} MiB`);
  },
);

kvmTest("whoever makes a machine is told how many of its processors' threads are up", async () => {
  using image = rom((p) => p.exit(0));
  const told: number[] = [];
  await using _machine = await Machine.create({
    accelerator: "kvm",
    memory: "1M",
    cpus: 4,
    bios: image.path,
    onStarting(up, of) {
      assert.equal(of, 4);
      told.push(up);
    },
  });
  assert.ok(told.length > 0);
  assert.deepEqual(told, told.toSorted((a, b) => a - b), "threads that are up stay up");
});
