/** The serial console as a way for data: a lot of it, both ways, and what happens when one end is slow. */

import assert from "node:assert/strict";
import { byte } from "../../bios/assembler/assembler.ts";
import { Machine } from "../../hv/mod.ts";
import { Random, seed } from "../support/random.ts";
import { PATIENCE_MS } from "../support/guest/guests.ts";
import { exitCode, kvmTest, type Payload, rom } from "../support/payload.ts";

const COM1 = 0x3f8;
/** Bytes that the UART's trigger level promises. */
const BURST = 14;
const ECHO_BYTES = BURST * 3000;

/** FIFOs on, trigger level 14, received-data interrupt enabled so that IIR tells of it. */
function setUp(p: Payload): void {
  for (const [port, value] of [[COM1 + 2, 0xc7], [COM1 + 1, 1]]) {
    p.mov("dx", port);
    p.mov("al", value);
    p.out("dx", "al");
  }
}

/** Waits until IIR says that 14 bytes are there, and fetches them to 0000:0600. */
function receive(p: Payload): void {
  p.mov("dx", COM1 + 2);
  p.until("z", () => {
    p.in("al", "dx");
    p.db(0x24, 0x0f); // and al, 0Fh
    p.alu("cmp", "al", 4);
  });
  p.mov("dx", COM1);
  p.mov("di", 0x600);
  p.mov("cx", BURST);
  p.db(0xf3, 0x6c); // rep insb
}

kvmTest("42,000 bytes go through the guest and back, whole and in order", async () => {
  using image = rom((p) => {
    p.realMode();
    setUp(p);
    p.print("up");
    p.forever(() => {
      receive(p);
      // The transmitter is empty: nobody is faster than this guest.
      p.mov("dx", COM1 + 5);
      p.until("nz", () => {
        p.in("al", "dx");
        p.test("al", 0x20);
      });
      p.mov("dx", COM1);
      p.mov("si", 0x600);
      p.mov("cx", BURST);
      p.db(0xf3, 0x6e); // rep outsb
    });
  });
  await using machine = await Machine.start({ accelerator: "kvm", memory: "1M", bios: image.path });
  // What came before the guest has switched the FIFOs on would go as it does so (PC16550D, 8.5).
  const { text: hello } = await machine.console.expect("up", { timeoutMs: PATIENCE_MS });
  const random = new Random(seed());
  const sent = Uint8Array.from({ length: ECHO_BYTES }, () => random.below(128));
  const received = Promise.withResolvers<void>();
  let length = 0;
  machine.console.listen((bytes) => {
    length += bytes.length;
    if (length >= sent.length) received.resolve();
  });
  // In pieces of all sizes, as people and programs send.
  for (let at = 0, size = 1; at < sent.length; at += size, size = Math.min(size * 2, 100_000)) {
    machine.console.send(sent.slice(at, at + size));
  }
  const late = setTimeout(
    () => received.reject(new Error(`${length} bytes came back`)),
    PATIENCE_MS,
  );
  await received.promise;
  clearTimeout(late);
  assert.equal(machine.console.pendingBytes, 0);
  assert.deepEqual(machine.console.bytes.subarray(hello.length), sent);
});

kvmTest(
  "a guest that never reads leaves the host's bytes pending, in order, until it does",
  async () => {
    using image = rom((p) => {
      p.realMode();
      setUp(p);
      p.print("up");
      p.until("nz", () => p.alu("cmp", byte(0x500), 0));
      for (let i = 0; i < 3; i++) receive(p);
      p.exit(1);
    });
    await using machine = await Machine.start({
      accelerator: "kvm",
      memory: "1M",
      bios: image.path,
    });
    await machine.console.expect("up", { timeoutMs: PATIENCE_MS });
    const text = Array.from({ length: 100_000 }, (_, i) => String.fromCharCode(65 + i % 26)).join(
      "",
    );
    machine.console.send(text);
    const { pendingBytes } = machine.console;
    assert.ok(pendingBytes > text.length - 20 && pendingBytes < text.length, `${pendingBytes}`);
    machine.writeMemory(0x500, Uint8Array.of(1));
    assert.equal(await exitCode(machine), 3);
    const last = new TextDecoder().decode(machine.readMemory(0x600, BURST));
    assert.equal(last, text.slice(2 * BURST, 3 * BURST));
  },
);

kvmTest(
  "a guest that writes faster than the host takes it waits for room and loses nothing",
  async () => {
    const total = 100_000;
    using image = rom((p) => {
      p.realMode();
      p.mov("dx", COM1 + 5);
      p.mov("bl", "a".charCodeAt(0));
      for (let i = 0; i < 4; i++) {
        p.times(total / 4, () => {
          p.until("nz", () => {
            p.in("al", "dx");
            p.test("al", 0x20);
          });
          p.mov("dx", COM1);
          p.mov("al", "bl");
          p.out("dx", "al");
          p.mov("dx", COM1 + 5);
        });
        p.inc("bl");
      }
      p.exit(1);
    });
    await using machine = await Machine.start({
      accelerator: "kvm",
      memory: "1M",
      bios: image.path,
    });
    // The main thread does nothing else for a while: nobody empties the ring.
    const until = performance.now() + 1500;
    while (performance.now() < until);
    assert.equal(await exitCode(machine), 3);
    const expected = ["a", "b", "c", "d"].map((char) => char.repeat(total / 4)).join("");
    assert.equal(machine.console.text.length, total);
    assert.ok(machine.console.text === expected, "bytes were lost or out of order");
  },
);

kvmTest("a sender without an end waits for room, and hears when the guest has ended", async () => {
  using image = rom((p) => {
    p.realMode();
    p.until("nz", () => p.alu("cmp", byte(0x500), 0));
    p.exit(1);
  });
  await using machine = await Machine.start({ accelerator: "kvm", memory: "1M", bios: image.path });
  await machine.console.room();
  machine.console.send(new Uint8Array(100_000));
  const abort = new AbortController();
  const given = machine.console.room({ signal: abort.signal });
  const waiting = machine.console.room();
  abort.abort();
  await assert.rejects(given, /the caller gave up/);
  machine.writeMemory(0x500, Uint8Array.of(1));
  await assert.rejects(waiting, /the guest to read from com1: the guest ended by isa-debug-exit/);
});
