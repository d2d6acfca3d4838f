/**
 * Devices that come and go while a machine runs, with a guest that looks at the registers of ACPI's
 * hot-plug by itself and drives what it finds.
 */

import assert from "node:assert/strict";
import { byte, dword, offset, word } from "../../bios/assembler/assembler.ts";
import { DiskError } from "../../devices/disk/disk_image.ts";
import { openDisk } from "../../devices/disk/open_disk.ts";
import { createQcow2 } from "../../devices/disk/qcow2/create.ts";
import { type Attachment, HostError, Machine, UsageError } from "../../hv/mod.ts";
import { FileHandle } from "../../hv/sys/file/file.ts";
import { noKvm } from "../accel/kvm/test_machine.ts";
import { PATIENCE_MS } from "../support/guest/guests.ts";
import { onEach, type Payload, rom, ROM_SEGMENT, type RomFile } from "../support/payload.ts";
import {
  DATA,
  initialise,
  interruptHandler,
  INTERRUPTS,
  request,
  VECTOR,
} from "../support/guest/virtio_program.ts";
import { inFull } from "../support/quick.ts";

const SLOT = 24;
/** The registers (QEMU, acpi_pci_hotplug). */
const PCIU = 0xae00;
const PCID = 0xae04;
const B0EJ = 0xae08;
/** What the guest counts: devices it has written to, devices it has let go. */
const SERVED = 0x700;
const LET_GO = 0x704;
/** What it found in the slot of the last device that it let go. */
const LEFT_BEHIND = 0x708;
/** The host sets this to 1 for a guest that lets nothing go. */
const STUBBORN = 0x70c;
/** Vendor and device in the slot, as an onlooker sees them. */
const SEEN = 0x710;
const DISK = 0x1001_1af4;
/** How often the guest has looked for news. */
const LOOKS = 0x71c;
const CARDS = { e1000: 0x100e_8086, virtio: 0x1000_1af4 } as const;
/** How often each bouncer has been round. */
const FIRST_TURNS = 0x714;
const SECOND_TURNS = 0x718;
const APIC_SPURIOUS = 0xfee0_00f0;
const ICR_LOW = 0xfee0_0300;
const DISK_BYTES = 1 << 20;
const ROUNDS = inFull(20, 6);
const timeoutMs = PATIENCE_MS;

/** Jumps anywhere if the last result was not zero. */
function jumpIfNotZero(p: Payload, label: string): void {
  const on = p.fresh();
  p.jcc("z", on);
  p.jmp(label);
  p.label(on);
}

/** It writes its count into sector 1 of every disk that comes, and lets go what it is asked for. */
function guest(p: Payload): void {
  p.realMode();
  p.unreal();
  p.vector(VECTOR, "interrupt");
  // The interrupt controllers of the PC have nothing to say.
  p.mov("al", 0xff);
  p.out(0x21, "al");
  p.out(0xa1, "al");
  for (const at of [SERVED, LET_GO, LEFT_BEHIND, STUBBORN, LOOKS]) p.poke(at, 4, 0);
  p.forever(() => {
    p.inc(dword(LOOKS));
    p.mov("dx", PCIU);
    p.in("eax", "dx");
    p.alu("and", "eax", 1 << SLOT);
    jumpIfNotZero(p, "inserted");
    p.label("go on");
    p.mov("dx", PCID);
    p.in("eax", "dx");
    p.alu("and", "eax", 1 << SLOT);
    jumpIfNotZero(p, "leaving");
  });
  p.label("inserted");
  p.mov(word(INTERRUPTS), 0);
  initialise(p, SLOT);
  p.mov("eax", dword(SERVED));
  p.alu("add", "eax", 1);
  p.storeFar(DATA);
  request(p, 1, 1, 1);
  p.inc(dword(SERVED));
  p.jmp("go on");
  p.label("leaving");
  p.alu("cmp", dword(STUBBORN), 0);
  jumpIfNotZero(p, "go on");
  p.mov("dx", B0EJ);
  p.out("dx", "eax");
  // It is gone with this instruction.
  p.mov("eax", 0x8000_0000 + (SLOT << 11));
  p.mov("dx", 0xcf8);
  p.out("dx", "eax");
  p.mov("dx", 0xcfc);
  p.in("eax", "dx");
  p.mov(dword(LEFT_BEHIND), "eax");
  p.inc(dword(LET_GO));
  p.jmp("go on");
  interruptHandler(p);
}

/** It keeps looking what is in the slot. */
function onlooker(p: Payload): void {
  p.realMode();
  p.mov("eax", 0x8000_0000 + (SLOT << 11));
  p.mov("dx", 0xcf8);
  p.out("dx", "eax");
  p.mov("dx", 0xcfc);
  p.forever(() => {
    p.in("eax", "dx");
    p.mov(dword(SEEN), "eax");
  });
}

/** Two processors that throw out whatever comes, again and again. */
function bouncers(p: Payload): void {
  p.realMode();
  p.unreal();
  p.mov(byte(0x8000), 0xea); // jmp far F000:second
  p.mov(word(0x8001), offset("second"));
  p.mov(word(0x8003), ROM_SEGMENT);
  for (
    const [register, value] of [[APIC_SPURIOUS, 0x1ff], [ICR_LOW, 0xc4500], [ICR_LOW, 0xc4608]]
  ) {
    p.poke(register, 4, value);
  }
  for (const counter of [FIRST_TURNS, SECOND_TURNS]) {
    if (counter === SECOND_TURNS) {
      p.label("second");
      p.realMode(0x6000);
    }
    p.forever(() => {
      p.mov("eax", 0xffff_ffff);
      p.mov("dx", B0EJ);
      p.out("dx", "eax");
      for (const register of [PCIU, PCID]) {
        p.mov("dx", register);
        p.in("eax", "dx");
      }
      p.inc(dword(counter));
    });
  }
}

const word32 = (m: Machine, address: number) =>
  new DataView(m.readMemory(address, 4)!.buffer).getUint32(0, true);

/** Waits until the guest has counted to `count`. */
function counted(m: Machine, address: number, count: number): Promise<void> {
  return until(m, () => word32(m, address) === count, () => `${word32(m, address)}, not ${count}`);
}

async function until(m: Machine, isSo: () => boolean, what = () => "no further"): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!isSo()) {
    if (performance.now() > deadline) {
      assert.fail(`it has come to ${what()}\n${await m.describe()}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** What the guest has written into sector 1. */
function written(path: string): number {
  return new DataView(Deno.readFileSync(path).buffer).getUint32(512, true);
}

const descriptors = () => [...Deno.readDirSync("/proc/self/fd")].length;

interface Stage extends AsyncDisposable {
  readonly machine: Machine;
  readonly disk: string;
  readonly folder: string;
}

async function start(
  accelerator: "kvm" | "soft",
  { cpus = 1, program = guest, create = Machine.start }: {
    cpus?: number;
    program?: (p: Payload) => void;
    create?: typeof Machine.start;
  } = {},
): Promise<Stage> {
  const folder = Deno.makeTempDirSync({ prefix: "hv-test-" });
  const image: RomFile = rom(program);
  const disk = `${folder}/disk.img`;
  Deno.writeFileSync(disk, new Uint8Array(DISK_BYTES));
  const machine = await create({ accelerator, memory: "2M", cpus, bios: image.path });
  return {
    machine,
    disk,
    folder,
    async [Symbol.asyncDispose]() {
      await machine[Symbol.asyncDispose]();
      image[Symbol.dispose]();
      Deno.removeSync(folder, { recursive: true });
    },
  };
}

onEach(`${ROUNDS} disks come and go, by request and by force, and nothing leaks`, async (accel) => {
  await using stage = await start(accel, { cpus: 2 });
  const { machine: m, disk } = stage;
  let open = 0;
  let letGo = 0;
  for (let round = 1; round <= ROUNDS; round++) {
    const attachment = await m.attach({ disk });
    assert.equal(attachment.slot, SLOT, "the same slot every time");
    await counted(m, SERVED, round);
    const force = round % 4 === 0;
    await m.detach(attachment, { force, timeoutMs });
    await attachment.left;
    if (!force) {
      await counted(m, LET_GO, ++letGo);
      assert.equal(word32(m, LEFT_BEHIND), 0xffff_ffff, "it was gone with the instruction");
    }
    assert.equal(written(disk), round, "what the guest wrote is on the image");
    // Nobody holds the image any more.
    openDisk({ path: disk })[Symbol.dispose]();
    if (round === 2) open = descriptors();
  }
  // Those of machines before this one may have become less, Deno's own end after their work.
  await until(m, () => descriptors() <= open, () => `${descriptors() - open} descriptors too many`);
  assert.equal(word32(m, LET_GO), letGo);
});

onEach(
  "a qcow2 image that has left has all in it, on top of what it is based on",
  async (accel) => {
    await using stage = await start(accel);
    const { machine: m, disk: base, folder } = stage;
    const path = `${folder}/top.qcow2`;
    {
      using file = FileHandle.open(path, { write: true, create: true });
      createQcow2(file, { sizeBytes: DISK_BYTES, backing: { file: "disk.img", format: "raw" } });
    }
    for (const round of [1, 2]) {
      const attachment = await m.attach({ disk: path });
      await counted(m, SERVED, round);
      await m.detach(attachment, { timeoutMs });
      using image = openDisk({ path });
      const sector = new Uint8Array(512);
      image.read(512, sector);
      assert.equal(new DataView(sector.buffer).getUint32(0, true), round);
    }
    assert.equal(written(base), 0, "the base is as it was");
  },
);

onEach(
  "a guest that does not let a device go keeps it, until it is pulled",
  async (accelerator) => {
    await using stage = await start(accelerator);
    const { machine: m, disk } = stage;
    const attachment = await m.attach({ disk });
    await counted(m, SERVED, 1);
    m.writeMemory(STUBBORN, Uint8Array.of(1));
    await assert.rejects(
      m.detach(attachment, { timeoutMs: 50 }),
      (error) =>
        error instanceof HostError &&
        /^Cannot detach the disk in slot 24: the guest has not let it go in 50 ms, and does not use ACPI[^\n]*$/
          .test(error.message),
    );
    assert.throws(() => openDisk({ path: disk }), DiskError, "it is still in use");
    // The request was withdrawn: a guest that would now does not. It may have seen it before.
    const looks = word32(m, LOOKS);
    await until(m, () => word32(m, LOOKS) >= looks + 2);
    m.writeMemory(STUBBORN, Uint8Array.of(0));
    await m.detach(attachment, { force: true });
    assert.equal(word32(m, LET_GO), 0);
    assert.equal(written(disk), 1);
    // A second time is no error.
    await m.detach(attachment);
  },
);

onEach("a reset keeps what is attached, and takes out what was asked for", async (accelerator) => {
  await using stage = await start(accelerator);
  const { machine: m, disk } = stage;
  const attachment = await m.attach({ disk });
  await counted(m, SERVED, 1);
  await m.reset();
  // The guest is not told again: whatever starts looks for its devices by itself.
  await assert.rejects(m.attach({ disk }), DiskError);
  await m.pause();
  // It is asked in its turn, then the machine is reset, without the guest having had a say.
  const asked = m.detach(attachment, { timeoutMs });
  await m.reset();
  await asked;
  assert.equal(m.state, "paused");
  await m.resume();
  await m.detach(await m.attach({ disk }), { force: true });
});

onEach("attaching to a paused machine leaves it paused, and the guest sees it later", async (a) => {
  await using stage = await start(a);
  const { machine: m, disk } = stage;
  await m.pause();
  const attachment = await m.attach({ disk });
  assert.equal(m.state, "paused");
  assert.equal(word32(m, SERVED), 0);
  await m.resume();
  await counted(m, SERVED, 1);
  await m.pause();
  await m.detach(attachment, { force: true });
  assert.equal(m.state, "paused");
  assert.equal(written(disk), 1);
});

onEach("what is attached before the start is there from the first instruction on", async (a) => {
  await using stage = await start(a, { program: onlooker, create: Machine.create });
  const { machine: m, disk } = stage;
  assert.equal(m.state, "starting");
  const attachment = await m.attach({ disk });
  assert.equal(m.state, "starting");
  await m.resume();
  await until(m, () => word32(m, SEEN) !== 0);
  assert.equal(word32(m, SEEN), DISK);
  await m.detach(attachment, { force: true });
  await counted(m, SEEN, 0xffff_ffff);
});

onEach("what cannot be attached is one line, and holds nothing", async (accelerator) => {
  await using stage = await start(accelerator);
  const { machine: m, disk, folder } = stage;
  await assert.rejects(m.attach({ disk: `${folder}/none.img` }), DiskError);
  await assert.rejects(m.attach({ disk: "" }), UsageError);
  const attached: Attachment[] = [];
  for (let n = 0; n < 8; n++) {
    const path = `${folder}/${n}.img`;
    Deno.writeFileSync(path, new Uint8Array(DISK_BYTES));
    attached.push(await m.attach({ disk: { path, overlay: n % 2 === 0 } }));
  }
  assert.deepEqual(attached.map(({ slot }) => slot), [24, 25, 26, 27, 28, 29, 30, 31]);
  const full = { name: "UsageError", message: /every slot .* is taken; detach one first$/ };
  await assert.rejects(m.attach({ disk }), full);
  openDisk({ path: disk })[Symbol.dispose]();
  await m.detach(attached[3], { force: true });
  assert.equal((await m.attach({ disk })).slot, 27);
});

onEach("a machine that is disposed of lets go of everything, also in the middle", async (accel) => {
  const stage = await start(accel);
  const { machine: m, disk, folder } = stage;
  const attachment = await m.attach({ disk });
  await counted(m, SERVED, 1);
  m.writeMemory(STUBBORN, Uint8Array.of(1));
  const detaching = m.detach(attachment, { timeoutMs });
  const other = `${folder}/other.img`;
  Deno.writeFileSync(other, new Uint8Array(DISK_BYTES));
  const attaching = m.attach({ disk: other }).catch((error) => error);
  await m[Symbol.asyncDispose]();
  await Promise.all([detaching, attaching, attachment.left]);
  for (const path of [disk, other]) openDisk({ path })[Symbol.dispose]();
  assert.equal(written(disk), 1);
  await assert.rejects(m.attach({ disk }), UsageError);
  await m.detach(attachment);
  await stage[Symbol.asyncDispose]();
});

onEach("two processors that throw out what comes keep nothing, and harm nobody", async (accel) => {
  await using stage = await start(accel, { cpus: 2, program: bouncers });
  const { machine: m, disk, folder } = stage;
  const other = `${folder}/other.img`;
  Deno.writeFileSync(other, new Uint8Array(DISK_BYTES));
  for (let round = 0; round < ROUNDS; round++) {
    // Two at a time, one of them asked for as well.
    const both = await Promise.all([m.attach({ disk }), m.attach({ disk: other })]);
    const asked = m.detach(both[round % 2], { timeoutMs });
    if (round % 3 === 0) await m.registers();
    await Promise.all([asked, ...both.map(({ left }) => left)]);
  }
  assert.equal(m.state, "running");
  // Both still go their rounds.
  for (const counter of [FIRST_TURNS, SECOND_TURNS]) {
    const before = word32(m, counter);
    await until(m, () => word32(m, counter) !== before);
  }
});

onEach("a network card comes and goes with its other end", async (accelerator) => {
  await using stage = await start(accelerator, { program: onlooker });
  const { machine: m, folder } = stage;
  const socket = `${folder}/network`;
  await counted(m, SEEN, 0xffff_ffff);
  for (const model of ["e1000", "virtio", "e1000"] as const) {
    const attachment = await m.attach({ network: { model, end: { socket, listen: true } } });
    assert.equal(attachment.name, "network in slot 24");
    await counted(m, SEEN, CARDS[model]);
    using other = await Deno.connect({ transport: "unix", path: socket });
    // It may not even have been taken yet.
    const ended = other.read(new Uint8Array(1)).catch((error) =>
      error instanceof Deno.errors.ConnectionReset ? null : error
    );
    await m.detach(attachment, { force: true });
    assert.equal(await ended, null, "the other end is told");
    assert.throws(() => Deno.statSync(socket), Deno.errors.NotFound);
    await counted(m, SEEN, 0xffff_ffff);
  }
  // A user network: what it is made of crosses the threads, byte arrays and all.
  const user = await m.attach({ network: { end: { user: { forwards: ["tcp:0:22"] } } } });
  const [{ hostPort: port }] = user.forwards;
  using visitor = await Deno.connect({ port });
  const turnedAway = visitor.read(new Uint8Array(1)).catch(() => null);
  await m.detach(user, { force: true });
  assert.equal(await turnedAway, null);
  await assert.rejects(Deno.connect({ port }), Deno.errors.ConnectionRefused);
  await assert.rejects(
    m.attach({ network: { end: { socket } } }),
    (error) => error instanceof HostError && /start its other end first/.test(error.message),
  );
});

Deno.test({
  name: "what is attached goes along to the other accelerator and back",
  ignore: noKvm !== "",
  async fn() {
    await using stage = await start("soft", { cpus: 2 });
    const { machine: m, disk } = stage;
    let served = 0;
    for (const to of ["kvm", "soft", "kvm"] as const) {
      const attachment = await m.attach({ disk });
      await counted(m, SERVED, ++served);
      await m.switchAccelerator(to);
      await m.detach(attachment, { timeoutMs });
      assert.equal(written(disk), served);
      await counted(m, LET_GO, served);
      assert.equal(word32(m, LEFT_BEHIND), 0xffff_ffff);
    }
  },
});
