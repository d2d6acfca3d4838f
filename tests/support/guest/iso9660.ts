/** Makes a small bootable CD-ROM image: ISO 9660 (ECMA-119), level 1, with El Torito, no emulation. */

const BLOCK = 2048;
const PRIMARY = 16;
const BOOT_RECORD = 17;
const TERMINATOR = 18;
const CATALOGUE = 19;
const PATH_TABLE_LITTLE = 20;
const PATH_TABLE_BIG = 21;
const ROOT = 22;
const FIRST_FILE = 23;
/** 512-byte sectors that the firmware loads: the rest the loader fetches itself. */
const LOADED_SECTORS = 4;
const BOOT_INFO_TABLE = 8;
const BOOT_INFO_END = 64;

/** A file in the root directory. */
export interface IsoFile {
  /** At most 8 characters, a dot, 3 more; upper case. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

const text = (value: string) => new TextEncoder().encode(value);

/** The image with `files`, of which the first is the boot loader and gets a boot information table. */
export function bootableIso(files: readonly IsoFile[]): Uint8Array {
  const blocks = files.map(({ bytes }) => Math.ceil(bytes.length / BLOCK));
  const starts = blocks.map((_, i) => FIRST_FILE + blocks.slice(0, i).reduce((a, b) => a + b, 0));
  const total = FIRST_FILE + blocks.reduce((a, b) => a + b, 0);
  const image = new Uint8Array(total * BLOCK);
  const at = (block: number) => image.subarray(block * BLOCK);
  for (const [i, { bytes }] of files.entries()) at(starts[i]).set(bytes);
  addBootInformation(at(starts[0]), starts[0], files[0].bytes.length);

  const self = directoryRecord("\0", ROOT, BLOCK, 2);
  const records = [
    self,
    directoryRecord("\x01", ROOT, BLOCK, 2),
    ...files.map(({ name, bytes }, i) => directoryRecord(`${name};1`, starts[i], bytes.length, 0)),
  ];
  let next = 0;
  for (const record of records) {
    at(ROOT).set(record, next);
    next += record.length;
  }
  at(PRIMARY).set(primaryDescriptor(total, self));
  at(BOOT_RECORD).set(text("\0CD001\x01EL TORITO SPECIFICATION"));
  new DataView(image.buffer).setUint32(BOOT_RECORD * BLOCK + 0x47, CATALOGUE, true);
  at(TERMINATOR).set([255, ...text("CD001\x01")]);
  at(CATALOGUE).set(catalogue(starts[0]));
  // One entry: the root, which is its own parent.
  at(PATH_TABLE_LITTLE).set([1, 0, ROOT, 0, 0, 0, 1, 0, 0, 0]);
  at(PATH_TABLE_BIG).set([1, 0, 0, 0, 0, ROOT, 0, 1, 0, 0]);
  return image;
}

/** A number in both byte orders (ECMA-119, 7.2.3 and 7.3.3). */
function both(view: DataView, offset: number, value: number, bytes: 2 | 4): void {
  if (bytes === 2) {
    view.setUint16(offset, value, true);
    view.setUint16(offset + 2, value);
  } else {
    view.setUint32(offset, value, true);
    view.setUint32(offset + 4, value);
  }
}

function directoryRecord(name: string, block: number, length: number, flags: number): Uint8Array {
  const record = new Uint8Array(33 + name.length + (name.length % 2 === 0 ? 1 : 0));
  const view = new DataView(record.buffer);
  record[0] = record.length;
  both(view, 2, block, 4);
  both(view, 10, length, 4);
  record[25] = flags;
  both(view, 28, 1, 2);
  record[32] = name.length;
  record.set(text(name), 33);
  return record;
}

function primaryDescriptor(totalBlocks: number, root: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(BLOCK);
  const view = new DataView(bytes.buffer);
  bytes.set(text("\x01CD001\x01"));
  bytes.fill(0x20, 8, 72);
  bytes.set(text("HVTEST"), 40);
  both(view, 80, totalBlocks, 4);
  both(view, 120, 1, 2);
  both(view, 124, 1, 2);
  both(view, 128, BLOCK, 2);
  both(view, 132, 10, 4);
  view.setUint32(140, PATH_TABLE_LITTLE, true);
  view.setUint32(148, PATH_TABLE_BIG);
  bytes.set(root, 156);
  bytes.fill(0x20, 190, 813);
  bytes[881] = 1;
  return bytes;
}

function catalogue(block: number): Uint8Array {
  const bytes = new Uint8Array(BLOCK);
  const view = new DataView(bytes.buffer);
  bytes.set([1, 0]);
  bytes.set([0x55, 0xaa], 30);
  view.setUint16(28, -(1 + 0xaa55) & 0xffff, true);
  bytes[32] = 0x88;
  view.setUint16(38, LOADED_SECTORS, true);
  view.setUint32(40, block, true);
  return bytes;
}

/** What mkisofs -boot-info-table writes: where descriptor and file lie, length and checksum. */
function addBootInformation(file: Uint8Array, block: number, length: number): void {
  const view = new DataView(file.buffer, file.byteOffset, Math.ceil(length / 4) * 4);
  let sum = 0;
  for (let at = BOOT_INFO_END; at < view.byteLength; at += 4) sum += view.getUint32(at, true);
  file.fill(0, BOOT_INFO_TABLE, BOOT_INFO_END);
  [PRIMARY, block, length, sum >>> 0].forEach((value, i) =>
    view.setUint32(BOOT_INFO_TABLE + 4 * i, value, true)
  );
}
