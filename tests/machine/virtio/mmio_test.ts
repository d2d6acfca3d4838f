/** A virtio disk on no bus, driven by a program of its own, in 16 bits, with an interrupt line. */

import { word } from "../../../bios/assembler/assembler.ts";
import { MmioRegister as R } from "../../../devices/virtio/transport/mmio.ts";
import { onEach, type Payload } from "../../support/payload.ts";
import { drivesDisk } from "../../support/guest/virtio_disk_program.ts";
import {
  AVAILABLE,
  DESCRIPTORS,
  initialisePic,
  INTERRUPTS,
  IRQ5_VECTOR,
  type ProgramQueue,
  USED,
} from "../../support/guest/virtio_program.ts";

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
  (accelerator) =>
    drivesDisk({
      vector: IRQ5_VECTOR,
      initialise(p) {
        initialisePic(p);
        initialise(p);
      },
      queue: QUEUE,
      handler(p) {
        p.label("interrupt");
        p.loadFar(BASE + R.InterruptStatus);
        p.storeFar(BASE + R.InterruptACK);
        p.inc(word(INTERRUPTS));
        p.mov("al", 0x20);
        p.out(0x20, "al");
        p.iret();
      },
      options: { accelerator, virtioTransport: "mmio" },
    }),
);
