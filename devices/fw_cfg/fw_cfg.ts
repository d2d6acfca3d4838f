/**
 * fw_cfg, QEMU's firmware configuration device: by it SeaBIOS and OVMF ask the board for memory map,
 * ACPI and SMBIOS tables, boot order and kernels. Selector at 510h, data at 511h, DMA address at
 * 514h-51Bh (big-endian, the high half first).
 *
 * Left out: writing by the data port, as in QEMU since 2.4; callbacks on selecting.
 *
 * Threats: DMA addresses and lengths are the guest's. A transfer is checked against RAM as a whole
 * before a byte moves, so it can neither leave it nor take longer than RAM is large. One lock guards
 * all windows.
 *
 * Reference: QEMU, docs/specs/fw_cfg.rst.
 */

import type { Device, IoHandler } from "../../hv/core/bus/device.ts";
import type { GuestMemory } from "../../hv/core/memory/guest_memory.ts";
import { bytes, f64, record, u16, u32 } from "../../hv/core/state/record.ts";
import type { FwCfgContents, FwCfgItem } from "./contents.ts";

/** Offsets from 510h. */
const SELECTOR = 0;
const DATA = 1;

/** What the DMA register reads as: it tells that DMA is there. */
const DMA_SIGNATURE = [...("QEMU CFG")].map((char) => char.charCodeAt(0));

/** The guest's DMA request: control, length and address, big-endian. */
const REQUEST_BYTES = 16;
const REQUEST_CONTROL = 0;
const REQUEST_LENGTH = 4;
const REQUEST_ADDRESS_HIGH = 8;
const REQUEST_ADDRESS_LOW = 12;

/** Bits of the control word; bits 31-16 are the number to select. */
const CTL_ERROR = 1;
const CTL_READ = 2;
const CTL_SKIP = 4;
const CTL_SELECT = 8;
const CTL_WRITE = 16;

const ONES = [0, 0xff, 0xffff, 0xff_ffff, 0xffff_ffff];

const stateOf = (writableBytes: number) =>
  record("fw_cfg", 1, {
    /** Number of the selected item. */
    selected: u16,
    /** High half of the next request's address. */
    addressHigh: u32,
    /** Bytes of the item that have been read, skipped or written; at most its length. */
    offset: f64,
    /** The writable files, one after the other. */
    files: bytes(Math.max(1, writableBytes)),
  });

/** A view of the device's state. */
export type FwCfgState = InstanceType<ReturnType<typeof stateOf>>;

/** The state record of a device with these contents, whose writable files lie in it. */
export const fwCfgState = (contents: FwCfgContents): ReturnType<typeof stateOf> =>
  stateOf(contents.writableBytes);

/** See above. */
export class FwCfg implements Device {
  /** 510h and 511h, access width 1 to 2. */
  readonly ports: IoHandler = {
    read: (offset, size) => this.#readPort(offset, size),
    write: (offset, size, value) => {
      if (offset === SELECTOR && size === 2) this.#select(value);
    },
  };
  /** 514h-51Bh, access width 1 to 4. */
  readonly dma: IoHandler = {
    read: (offset, size) => {
      let value = 0;
      for (let i = 0; i < size; i++) value += DMA_SIGNATURE[(offset + i) & 7] * 2 ** (i * 8);
      return value;
    },
    write: (offset, size, value) => this.#writeDma(offset, size, value),
  };
  readonly #state: FwCfgState;
  readonly #contents: FwCfgContents;
  readonly #memory: GuestMemory;

  constructor(state: FwCfgState, contents: FwCfgContents, memory: GuestMemory) {
    this.#state = state;
    this.#contents = contents;
    this.#memory = memory;
  }

  reset(): void {
    const state = this.#state;
    state.selected = 0;
    state.offset = 0;
    state.addressHigh = 0;
    state.files.fill(0);
    for (const item of this.#contents.writable) this.#content(item).set(item.bytes);
  }

  /** The content of a file or item, live if it is writable; undefined when there is no such number. */
  content(key: number): Uint8Array | undefined {
    const item = this.#contents.get(key);
    return item === undefined ? undefined : this.#content(item);
  }

  #content({ bytes, writableOffset }: FwCfgItem): Uint8Array {
    if (writableOffset < 0) return bytes;
    return this.#state.files.subarray(writableOffset, writableOffset + bytes.length);
  }

  #select(key: number): void {
    this.#state.selected = key;
    this.#state.offset = 0;
  }

  /** What is left of the selected item. */
  #rest(): Uint8Array {
    const content = this.content(this.#state.selected);
    return content === undefined ? new Uint8Array(0) : content.subarray(this.#state.offset);
  }

  #readPort(offset: number, size: number): number {
    if (offset !== DATA || size !== 1) return ONES[size];
    const content = this.content(this.#state.selected);
    const at = this.#state.offset;
    if (content === undefined || at >= content.length) return 0;
    this.#state.offset = at + 1;
    return content[at];
  }

  #writeDma(offset: number, size: number, value: number): void {
    if (size !== 4) return;
    const bigEndian = swap32(value);
    if (offset === 0) this.#state.addressHigh = bigEndian;
    if (offset !== 4) return;
    const address = this.#state.addressHigh * 2 ** 32 + bigEndian;
    this.#state.addressHigh = 0;
    const request = this.#memory.view(address, REQUEST_BYTES);
    // Nowhere to report an error to.
    if (request === undefined) return;
    const data = new DataView(request.buffer, request.byteOffset, REQUEST_BYTES);
    const done = this.#transfer(
      data.getUint32(REQUEST_CONTROL),
      data.getUint32(REQUEST_LENGTH),
      data.getUint32(REQUEST_ADDRESS_HIGH) * 2 ** 32 + data.getUint32(REQUEST_ADDRESS_LOW),
    );
    data.setUint32(REQUEST_CONTROL, done ? 0 : CTL_ERROR);
  }

  /** Carries a request out; false when it must end with an error. */
  #transfer(control: number, length: number, address: number): boolean {
    if ((control & CTL_SELECT) !== 0) this.#select(control >>> 16);
    if ((control & (CTL_READ | CTL_WRITE | CTL_SKIP)) === 0 || length === 0) return true;
    const rest = this.#rest();
    const count = Math.min(length, rest.length);
    if ((control & CTL_READ) !== 0) {
      const target = this.#memory.view(address, length);
      if (target === undefined) return false;
      target.set(rest.subarray(0, count));
      // Reading on beyond the item gives zeros.
      target.fill(0, count);
    } else if ((control & CTL_WRITE) !== 0) {
      if (!this.#write(rest, address, length)) return false;
    }
    this.#state.offset += count;
    return true;
  }

  #write(rest: Uint8Array, address: number, length: number): boolean {
    const item = this.#contents.get(this.#state.selected);
    if (item === undefined || item.writableOffset < 0 || length > rest.length) return false;
    const source = this.#memory.view(address, length);
    if (source === undefined) return false;
    rest.set(source);
    item.onWrite?.(this.#content(item));
    return true;
  }
}

const swap32 = (value: number): number =>
  ((value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)) >>> 0;
