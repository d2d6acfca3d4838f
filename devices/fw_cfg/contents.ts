/**
 * What a fw_cfg device holds: items known by number, and files known by name and listed in a
 * directory. The board fills it when it is built, the same on every thread; what the guest may write
 * lies in the device's state record.
 *
 * Reference: QEMU, docs/specs/fw_cfg.rst.
 */

/** Numbers of the items that are no files. */
export const FwCfgKey = {
  signature: 0x00,
  id: 0x01,
  uuid: 0x02,
  ramSize: 0x03,
  noGraphic: 0x04,
  nbCpus: 0x05,
  machineId: 0x06,
  kernelAddress: 0x07,
  kernelSize: 0x08,
  kernelCommandLine: 0x09,
  initrdAddress: 0x0a,
  initrdSize: 0x0b,
  bootDevice: 0x0c,
  numa: 0x0d,
  bootMenu: 0x0e,
  maxCpus: 0x0f,
  kernelEntry: 0x10,
  kernelData: 0x11,
  initrdData: 0x12,
  commandLineAddress: 0x13,
  commandLineSize: 0x14,
  commandLineData: 0x15,
  setupAddress: 0x16,
  setupSize: 0x17,
  setupData: 0x18,
  fileDirectory: 0x19,
  /** From here on, files. */
  fileFirst: 0x20,
  /** Specific to the PC. */
  acpiTables: 0x8000,
  smbiosEntries: 0x8001,
  irq0Override: 0x8002,
  e820Table: 0x8003,
} as const;

/** Bytes of a name in the directory, with the zero that ends it. */
const NAME_BYTES = 56;
const DIRECTORY_ENTRY_BYTES = 64;
/** Numbers from here on have another meaning (bit 14 was the write channel). */
const KEY_LIMIT = 0x4000;

/** ID: bit 0, the traditional interface; bit 1, the DMA interface. */
const ID_TRADITIONAL_AND_DMA = 3;

/** An item. */
export interface FwCfgItem {
  /** Bytes that the guest reads; for a writable file, its content after reset. */
  readonly bytes: Uint8Array;
  /** Offset of a writable file in the state record, or -1. */
  readonly writableOffset: number;
  /** Told after the guest has written to the file. Must not throw. */
  readonly onWrite?: (content: Uint8Array) => void;
}

/** A file as the directory lists it. */
export interface FwCfgFile {
  readonly name: string;
  readonly key: number;
  readonly length: number;
}

const encode = (text: string) => new TextEncoder().encode(text);

/** See above. */
export class FwCfgContents {
  readonly #items = new Map<number, FwCfgItem>();
  readonly #files: FwCfgFile[] = [];
  #writableBytes = 0;
  #addLater: ((contents: this) => void) | undefined;

  constructor() {
    this.item(FwCfgKey.signature, encode("QEMU"));
    this.number(FwCfgKey.id, ID_TRADITIONAL_AND_DMA, 4);
    this.#list();
  }

  /** Bytes that writable files need in the state record. */
  get writableBytes(): number {
    return this.#writableBytes;
  }

  /** Every file, in the order of the directory. */
  get files(): readonly FwCfgFile[] {
    this.#addFiles();
    return this.#files;
  }

  /** Every item with its number. */
  get items(): ReadonlyMap<number, FwCfgItem> {
    this.#addFiles();
    return this.#items;
  }

  /** Those that the guest can write to. */
  get writable(): Iterable<FwCfgItem> {
    return this.#items.values().filter(({ writableOffset }) => writableOffset >= 0);
  }

  /** The item with this number, or undefined. */
  get(key: number): FwCfgItem | undefined {
    if (key >= FwCfgKey.fileDirectory) this.#addFiles();
    return this.#items.get(key);
  }

  /** Sets an item that is no file. */
  item(key: number, bytes: Uint8Array): void {
    this.#items.set(key, { bytes, writableOffset: -1 });
  }

  /** Sets an item to a little-endian number of `size` bytes (2, 4 or 8). */
  number(key: number, value: number, size: 2 | 4 | 8): void {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
    this.item(key, bytes.slice(0, size));
  }

  /** Sets an item to text with the zero that ends it. */
  text(key: number, text: string): void {
    this.item(key, encode(`${text}\0`));
  }

  /**
   * Adds a file that the guest can read, such as `etc/e820`.
   *
   * @throws {Error} When the name is taken, empty or longer than 55 bytes.
   */
  file(name: string, bytes: Uint8Array): void {
    this.#add(name, { bytes, writableOffset: -1 });
  }

  /**
   * Has files added when the first is asked for: what few guests ask for costs no start its time.
   *
   * @param add Adds them, the same on every thread, none that the guest can write.
   */
  filesLater(add: (contents: this) => void): void {
    this.#addLater = add;
  }

  /**
   * Adds a file that the guest can write, too.
   *
   * @param initial Its content after reset; its length never changes.
   * @param onWrite Told of every change, with the whole content; must not throw.
   */
  writableFile(name: string, initial: Uint8Array, onWrite?: FwCfgItem["onWrite"]): void {
    this.#add(name, { bytes: initial, writableOffset: this.#writableBytes, onWrite });
    this.#writableBytes += initial.length;
  }

  #addFiles(): void {
    const add = this.#addLater;
    this.#addLater = undefined;
    add?.(this);
  }

  #add(name: string, item: FwCfgItem): void {
    const key = FwCfgKey.fileFirst + this.#files.length;
    const fail = (why: string) => new Error(`Cannot add fw_cfg file "${name}": ${why}`);
    const nameBytes = encode(name).length;
    if (nameBytes === 0 || nameBytes >= NAME_BYTES) {
      throw fail(`its name has ${nameBytes} bytes; 1 to ${NAME_BYTES - 1} are possible`);
    }
    if (this.#files.some((file) => file.name === name)) throw fail("the name is taken");
    if (key >= KEY_LIMIT) throw fail("the directory is full");
    this.#files.push({ name, key, length: item.bytes.length });
    this.#items.set(key, item);
    this.#list();
  }

  /** Writes the directory anew: count, then size, number and name of each file, big-endian. */
  #list(): void {
    const bytes = new Uint8Array(4 + this.#files.length * DIRECTORY_ENTRY_BYTES);
    const data = new DataView(bytes.buffer);
    data.setUint32(0, this.#files.length);
    for (const [i, { name, key, length }] of this.#files.entries()) {
      const at = 4 + i * DIRECTORY_ENTRY_BYTES;
      data.setUint32(at, length);
      data.setUint16(at + 4, key);
      bytes.set(encode(name), at + 8);
    }
    this.item(FwCfgKey.fileDirectory, bytes);
  }
}
