/** A virtio disk on no bus, driven by a program of its own, in 16 bits, with an interrupt line. */

import assert from "node:assert/strict";
import { word } from "../../bios/assembler.ts";
import { MmioRegister as R } from "../../devices/virtio/virtio_mmio.ts";
import { Machine } from "../../hv/mod.ts";
import { exitCode, onEach, type Payload, rom } from "../support/payload.ts";
import {
  AVAILABLE,
  DATA,
  DESCRIPTORS,
  initialisePic,
  INTERRUPTS,
  IRQ5_VECTOR,
  type ProgramQueue,
  request,
  STATUS,
  USED,
} from "../support/virtio_program.ts";

const BASE = 0xfec4_0000;
const QUEUE: ProgramQueue = {
  size: 4,
  descriptors: DESCRIPTORS,
  available: AVAILABLE,
  notify: (p) => p.poke(BASE + R.QueueNotify, 4, 0),
};

/** Initialises the device as the standard says (4.2.3), with queue 0. */
function initialise(p: Payload): void {
  const write = (register: number, value: number) => p.poke(BASE + register, 4, value);
  for (const status of [0, 1, 3]) write(R.Status, status);
  write(R.DriverFeaturesSel, 1);
  write(R.DriverFeatures, 1);
  write(R.Status, 11);
  p.poke(AVAILABLE, 4, 0);
  p.poke(USED, 4, 0);
  write(R.QueueSel, 0);
  write(R.QueueSize, 4);
  write(R.QueueDescLow, DESCRIPTORS);
  write(R.QueueDriverLow, AVAILABLE);
  write(R.QueueDeviceLow, USED);
  write(R.QueueReady, 1);
  write(R.Status, 15);
}

onEach(
  "a program drives a virtio disk that is on no bus, by its window and its line",
  async (accelerator) => {
    const path = Deno.makeTempFileSync({ prefix: "hv-test-disk-" });
    try {
      const sectors = new Uint8Array(8192);
      sectors.set(new TextEncoder().encode("moin"), 512);
      Deno.writeFileSync(path, sectors);
      using image = rom((p) => {
        p.realMode();
        p.unreal();
        p.vector(IRQ5_VECTOR, "interrupt");
        p.mov(word(INTERRUPTS), 0);
        initialisePic(p);
        initialise(p);
        request(p, 1, 0, 1, QUEUE);
        p.mov("dx", 0x3f8);
        for (let i = 0; i < 4; i++) {
          p.peekByte(DATA + i);
          p.out("dx", "al");
        }
        for (let number = 2; number < 9; number++) {
          p.poke(DATA, 4, 0x2020_2030 + number);
          request(p, number, 1, number, QUEUE);
        }
        p.peekByte(STATUS);
        p.out(0xf4, "al");
        p.label("interrupt");
        p.loadFar(BASE + R.InterruptStatus);
        p.storeFar(BASE + R.InterruptACK);
        p.inc(word(INTERRUPTS));
        p.mov("al", 0x20);
        p.out(0x20, "al");
        p.iret();
      });
      await using machine = await Machine.start({
        accelerator,
        memory: "2M",
        bios: image.path,
        disk: { path, interface: "virtio" },
        virtioTransport: "mmio",
      });
      await machine.console.expect("moin");
      assert.equal(await exitCode(machine), 1, "the last status is OK");
      const written = Deno.readFileSync(path);
      for (let number = 2; number < 9; number++) {
        assert.equal(written[number * 512], 0x30 + number, `sector ${number}`);
      }
    } finally {
      Deno.removeSync(path);
    }
  },
);
