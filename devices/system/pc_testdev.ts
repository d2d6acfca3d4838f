/**
 * pc-testdev: QEMU's device for kvm-unit-tests (hw/misc/pc-testdev.c): interrupt lines that a test
 * pulls by itself, a port and a piece of MMIO that keep what is written, and a port that makes the
 * accelerator map a page anew.
 *
 * The windows, by QEMU's addresses: `echo` E0h-E3h with widths 1, 2 and 4; `flush` E4h-E7h, width 4;
 * `echoBytes` E8h-EBh, split into bytes; `irqs` 2000h-2017h, a byte for each line; `memory` FF000000h,
 * 64 KiB. Guests are tests, but what they write is bounded by the windows all the same.
 */

import type { Device, IoHandler } from "../../hv/core/bus/device.ts";
import type { IrqLine } from "../../hv/core/bus/irq.ts";
import { bytes, bytesOf, record } from "../../hv/core/state/record.ts";

/** Lines at 2000h. */
export const TESTDEV_IRQS = 24;
/** Length of the MMIO window in bytes. */
export const TESTDEV_MEMORY_BYTES = 0x10000;
const PAGE_MASK = 0xffff_f000;

/** The device's state. */
export const PcTestdevState = record("pc_testdev", 1, {
  echo: bytes(4),
  memory: bytes(TESTDEV_MEMORY_BYTES),
});
/** A view of `PcTestdevState`. */
export type PcTestdevState = InstanceType<typeof PcTestdevState>;

/** A window that keeps bytes, little-endian, in accesses of 1, 2 or 4 bytes. */
function store(kept: Uint8Array): IoHandler {
  return {
    read(offset, size) {
      let value = 0;
      for (let i = 0; i < size; i++) value += (kept[offset + i] ?? 0) * 2 ** (8 * i);
      return value;
    },
    write(offset, size, value) {
      for (let i = 0; i < size && offset + i < kept.length; i++) {
        kept[offset + i] = value >>> (8 * i);
      }
    },
  };
}

/** See above. */
export class PcTestdev implements Device {
  /** E0h-E3h. */
  readonly echo: IoHandler;
  /** E8h-EBh; the same four bytes. */
  readonly echoBytes: IoHandler;
  /** E4h-E7h. */
  readonly flush: IoHandler;
  /** 2000h-2017h. */
  readonly irqs: IoHandler;
  /** FF000000h. */
  readonly memory: IoHandler;
  readonly #state: PcTestdevState;
  readonly #lines: readonly IrqLine[];

  /**
   * @param lines Interrupt lines 0 to 23.
   * @param flushPage Drops what the accelerator has mapped for the page at this guest-physical address.
   */
  constructor(
    state: PcTestdevState,
    lines: readonly IrqLine[],
    flushPage: (address: number) => void,
  ) {
    this.#state = state;
    this.#lines = lines;
    this.echo = this.echoBytes = store(state.echo);
    this.memory = store(state.memory);
    this.flush = {
      read: () => 0xffff_ffff,
      write: (_offset, _size, value) => flushPage((value & PAGE_MASK) >>> 0),
    };
    this.irqs = {
      read: () => 0xff,
      write: (offset, _size, value) => lines[offset]?.set(value !== 0),
    };
  }

  reset(): void {
    bytesOf(this.#state).fill(0);
    for (const line of this.#lines) line.set(false);
  }
}
