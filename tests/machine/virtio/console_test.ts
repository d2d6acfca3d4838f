/** A virtio console as a program of its own uses it that has no driver, and as the library sees it. */

import assert from "node:assert/strict";
import { Machine, UsageError } from "../../../hv/mod.ts";
import { exitCode, onEach, rom } from "../../support/payload.ts";

const SLOT = 3;
const BAR = 0xc000_4000;
/** The device configuration space in it, and the emergency write there (5.3.4). */
const EMERG_WR = BAR + 0x2000 + 8;

onEach("a program without a driver writes to the console in an emergency", async (accelerator) => {
  using image = rom((p) => {
    p.realMode();
    p.unreal();
    p.pciWrite(SLOT, 0x20, 4, BAR);
    p.pciWrite(SLOT, 0x04, 2, 6);
    for (const char of "it is broken\n") p.poke(EMERG_WR, 4, char.charCodeAt(0));
    p.exit(4);
  });
  await using machine = await Machine.start({
    accelerator,
    memory: "2M",
    bios: image.path,
    console: "virtio",
  });
  assert.equal(await exitCode(machine), 9);
  assert.equal(machine.console.name, "hvc0");
  assert.equal(machine.console.text, "it is broken\n");
  assert.equal(machine.port("hvc0"), machine.console);
});

Deno.test("a machine with a virtio console has serial ports only if it is told so", async () => {
  const names = async (options: Parameters<typeof Machine.create>[0]) => {
    await using machine = await Machine.create({ memory: "2M", ...options });
    return machine.consoles.map(({ name }) => name);
  };
  const debug = ["debugcon", "firmware log"];
  assert.deepEqual(await names({ console: "virtio" }), [...debug, "hvc0"]);
  assert.deepEqual(await names({ console: "virtio", serialPorts: 1, ports: ["a", "b"] }), [
    "com1",
    ...debug,
    "hvc0",
    "a",
    "b",
  ]);
  assert.deepEqual(await names({ ports: ["a"] }), ["com1", ...debug, "a"]);
});

Deno.test("what is sent to a port waits for the guest, and goes with a reset of the machine", async () => {
  await using machine = await Machine.create({ memory: "2M", ports: ["a"] });
  const port = machine.port("a");
  assert.throws(() => machine.port("b"), UsageError);
  assert.deepEqual([port.isOpen, port.isConnected], [false, true]);
  // 64 KiB are in the device's hands, the rest in main's.
  port.send(new Uint8Array(100_000));
  assert.equal(port.pendingBytes, 100_000 - 65536);
  await machine.reset();
  assert.equal(port.pendingBytes, 0);
  port.send(new Uint8Array(65536));
  assert.equal(port.pendingBytes, 0);
});
