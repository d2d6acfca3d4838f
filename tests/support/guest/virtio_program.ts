/** The parts of a program in 16 bits that drives a virtio device: what a driver has at least to do. */

import { word } from "../../../bios/assembler/assembler.ts";
import type { Buffer } from "../../devices/virtio/queue/split_driver.ts";
import type { Payload } from "../payload.ts";

const MSIX = 0xc000_0000;
const VIRTIO = 0xc000_4000;
/** Where it is told of a queue. */
export const NOTIFY = VIRTIO + 0x3000;
const LOCAL_APIC = 0xfee0_0000;
/** Vector of its message. */
export const VECTOR = 0x50;

/** Where the parts of the queue, of four entries, are. */
export const DESCRIPTORS = 0x1_0000;
export const AVAILABLE = 0x1_1000;
export const USED = 0x1_2000;
const HEADER = 0x1_3000;
/** The device's answer. */
export const STATUS = 0x1_3100;
/** Where the data of a request are. */
export const DATA = 0x1_4000;
/** Word that counts the interrupts: 0 before `initialise`. */
export const INTERRUPTS = 0x600;

/** A queue of the program's. */
export interface ProgramQueue {
  readonly size: number;
  readonly descriptors: number;
  readonly available: number;
  /** Tells the device of it. */
  notify(p: Payload): void;
}

const QUEUE: ProgramQueue = {
  size: 4,
  descriptors: DESCRIPTORS,
  available: AVAILABLE,
  notify: (p) => p.poke(NOTIFY, 2, 0),
};

/** The first 8259: vectors from 8 on, edges, and of its interrupts IRQ 5 alone. */
export function initialisePic(p: Payload): void {
  for (const [port, value] of [[0x20, 0x11], [0x21, 8], [0x21, 4], [0x21, 1], [0x21, 0xdf]]) {
    p.mov("al", value);
    p.out(port, "al");
  }
}
/** Vector of IRQ 5 then. */
export const IRQ5_VECTOR = 8 + 5;

/** Initialises the device in `slot` as the standard says (3.1.1, 4.1.5), with queue 0 and vector 1. */
export function initialise(p: Payload, slot: number): void {
  p.poke(LOCAL_APIC + 0xf0, 4, 0x1ff);
  p.pciWrite(slot, 0x14, 4, MSIX);
  p.pciWrite(slot, 0x20, 4, VIRTIO);
  p.pciWrite(slot, 0x04, 2, 6);
  p.pciWrite(slot, 0x42, 2, 0x8000);
  p.poke(MSIX + 16, 4, LOCAL_APIC);
  p.poke(MSIX + 20, 4, 0);
  p.poke(MSIX + 24, 4, VECTOR);
  p.poke(MSIX + 28, 4, 0);
  for (const status of [0, 1, 3]) p.poke(VIRTIO + 0x14, 1, status);
  // The rings are empty, whatever was there before.
  p.poke(AVAILABLE, 4, 0);
  p.poke(USED, 4, 0);
  p.poke(VIRTIO + 0x08, 4, 1);
  p.poke(VIRTIO + 0x0c, 4, 1);
  p.poke(VIRTIO + 0x14, 1, 11);
  p.poke(VIRTIO + 0x16, 2, 0);
  p.poke(VIRTIO + 0x18, 2, 4);
  for (const [register, at] of [[0x20, DESCRIPTORS], [0x28, AVAILABLE], [0x30, USED]]) {
    p.poke(VIRTIO + register, 4, at);
    p.poke(VIRTIO + register + 4, 4, 0);
  }
  p.poke(VIRTIO + 0x1a, 2, 1);
  p.poke(VIRTIO + 0x1c, 2, 1);
  p.poke(VIRTIO + 0x14, 1, 15);
}

/**
 * Request `number`, from 1 on, as a chain of header, data and status byte; waits for its interrupt.
 *
 * @param type 0 reads, 1 writes.
 * @param queue Default: that of `initialise`.
 */
export function request(
  p: Payload,
  number: number,
  type: number,
  sector: number,
  queue: ProgramQueue = QUEUE,
): void {
  const isRead = type === 0;
  p.poke(HEADER, 4, type);
  p.poke(HEADER + 8, 4, sector);
  p.poke(HEADER + 12, 4, 0);
  const chain = [
    { address: HEADER, length: 16 },
    { address: DATA, length: 512, write: isRead },
    { address: STATUS, length: 1, write: true },
  ];
  exchange(p, number, chain, queue);
}

/** Chain `number`, from 1 on; waits for its interrupt. */
export function exchange(
  p: Payload,
  number: number,
  chain: readonly Buffer[],
  queue: ProgramQueue = QUEUE,
): void {
  for (const [i, { address, length, write }] of chain.entries()) {
    const at = queue.descriptors + i * 16;
    const flags = (write ? 2 : 0) + (i + 1 < chain.length ? 1 : 0);
    p.poke(at, 4, address);
    p.poke(at + 4, 4, 0);
    p.poke(at + 8, 4, length);
    p.poke(at + 12, 4, flags + ((i + 1) << 16));
  }
  p.poke(queue.available + 4 + ((number - 1) % queue.size) * 2, 2, 0);
  p.poke(queue.available + 2, 2, number);
  queue.notify(p);
  p.until("e", () => {
    p.sti();
    p.hlt();
    p.cli();
    p.alu("cmp", word(INTERRUPTS), number);
  });
}

/** The handler of `VECTOR`, as label `interrupt`. */
export function interruptHandler(p: Payload): void {
  p.label("interrupt");
  p.inc(word(INTERRUPTS));
  p.poke(LOCAL_APIC + 0xb0, 4, 0);
  p.iret();
}
