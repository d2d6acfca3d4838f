/** A virtio disk driven through its legacy interface by a program of its own, as before virtio 1.0. */

import { word } from "../../../bios/assembler/assembler.ts";
import { LegacyRegister as R } from "../../../devices/virtio/transport/pci_legacy.ts";
import { onEach, type Payload } from "../../support/payload.ts";
import { drivesDisk } from "../../support/guest/virtio_disk_program.ts";
import {
  initialisePic,
  INTERRUPTS,
  IRQ5_VECTOR,
  type ProgramQueue,
} from "../../support/guest/virtio_program.ts";

const SLOT = 3;
const PORTS = 0xc000;
/** PIRQRC of PIRQC#, where INTA# of slot 3 leads (82371SB, function 0). */
const PIRQRC_C = 0x62;
/** Edge and level control of the first 8259. */
const ELCR = 0x4d0;
const PAGE = 4096;
const QUEUE_PAGE = 0x20;
/** Entries of a disk's queue, of which a legacy driver takes all. */
const SIZE = 256;

function write(p: Payload, register: number, size: 1 | 2 | 4, value: number): void {
  p.mov("dx", PORTS + register);
  if (size === 4) p.mov("eax", value);
  else if (size === 2) p.mov("ax", value);
  else p.mov("al", value);
  p.out("dx", size === 4 ? "eax" : size === 2 ? "ax" : "al");
}

const QUEUE: ProgramQueue = {
  size: SIZE,
  descriptors: QUEUE_PAGE * PAGE,
  available: QUEUE_PAGE * PAGE + SIZE * 16,
  notify: (p) => write(p, R.queue_notify, 2, 0),
};

/** Initialises the device as the standard says of legacy drivers (3.1.2), with queue 0. */
function initialise(p: Payload): void {
  p.pciWrite(SLOT, 0x10, 4, PORTS);
  p.pciWrite(SLOT, 0x04, 2, 5);
  p.pciWrite(1, PIRQRC_C & ~3, 4, 0x8005_8080);
  p.mov("dx", ELCR);
  p.mov("al", 1 << 5);
  p.out("dx", "al");
  for (const status of [0, 1, 3]) write(p, R.device_status, 1, status);
  write(p, R.driver_features, 4, 0);
  write(p, R.queue_select, 2, 0);
  write(p, R.queue_address, 4, QUEUE_PAGE);
  write(p, R.device_status, 1, 7);
}

onEach(
  "a program drives a virtio disk by its legacy ports and its pin",
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
        p.mov("dx", PORTS + R.isr_status);
        p.in("al", "dx");
        p.inc(word(INTERRUPTS));
        p.mov("al", 0x20);
        p.out(0x20, "al");
        p.iret();
      },
      options: { accelerator },
    }),
);
