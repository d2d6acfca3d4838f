/**
 * The header of a qcow2 image, read with every number checked, and where its fields are.
 *
 * Reference: QEMU, docs/interop/qcow2.txt (the qcow2 image format), "Header", "Additional fields",
 * "Header extensions". The limits of the tables are those that QEMU sets.
 */

import { DiskError } from "../disk_image.ts";
import type { ImageFile } from "../image_file.ts";

/** Offsets of header fields; all are big-endian. */
export const Field = {
  magic: 0,
  version: 4,
  backingOffset: 8,
  backingLength: 16,
  clusterBits: 20,
  size: 24,
  cryptMethod: 32,
  l1Entries: 36,
  l1Position: 40,
  refcountTablePosition: 48,
  refcountTableClusters: 56,
  snapshots: 60,
  snapshotsPosition: 64,
  incompatible: 72,
  compatible: 80,
  autoclear: 88,
  refcountOrder: 96,
  headerLength: 100,
  compressionType: 104,
} as const;

/** `QFI\xfb` */
export const MAGIC = 0x514649fb;
/** Length of a version 2 header; version 3 has at least 104. */
export const V2_HEADER_BYTES = 72;

/** Bits of `incompatible`. */
export const Incompatible = {
  dirty: 1 << 0,
  corrupt: 1 << 1,
  externalData: 1 << 2,
  compressionType: 1 << 3,
  extendedL2: 1 << 4,
} as const;
const INCOMPATIBLE_NAMES = ["dirty", "corrupt", "external data file", "compression type"];
const SUPPORTED = Incompatible.dirty | Incompatible.corrupt | Incompatible.compressionType;

/** Bit of `compatible`: refcounts may be written late while the dirty bit is set. */
export const LAZY_REFCOUNTS = 1;

/** Bit of `autoclear`. */
const AUTOCLEAR_BITMAPS = 1;

/** Types of header extensions. */
export const Extension = {
  end: 0,
  backingFormat: 0xe2792aca,
  featureNames: 0x6803f857,
  bitmaps: 0x23852875,
} as const;
/** An entry of the feature name table: type, bit, name. */
const FEATURE_NAME_BYTES = 48;

export const MIN_CLUSTER_BITS = 9;
export const MAX_CLUSTER_BITS = 21;
/** Largest active mapping table, bytes: 2 PiB of disk with clusters of 64 KiB. */
export const MAX_L1_BYTES = 32 << 20;
export const MAX_REFCOUNT_TABLE_BYTES = 8 << 20;
const MAX_SNAPSHOTS = 65536;
const MAX_NAME_BYTES = 1023;
/** Positions in the file that entries can name. */
const MAX_POSITION = 2 ** 52;

/** What the header says, checked. Positions and sizes are in bytes. */
export interface Qcow2Header {
  readonly version: 2 | 3;
  readonly clusterBits: number;
  readonly clusterBytes: number;
  /** Of the disk. */
  readonly sizeBytes: number;
  readonly backingFile: string | undefined;
  /** As the header extension names it. */
  readonly backingFormat: string | undefined;
  readonly l1Entries: number;
  readonly l1Position: number;
  readonly refcountTablePosition: number;
  readonly refcountTableClusters: number;
  /** A refcount has 2^this bits. */
  readonly refcountOrder: number;
  readonly snapshots: number;
  readonly snapshotsPosition: number;
  readonly incompatible: number;
  readonly lazyRefcounts: boolean;
  /** Whether any bit is set that whoever writes without knowing it has to clear. */
  readonly autoclear: boolean;
  readonly compression: "zlib" | "zstd";
  /** The directory of dirty bitmaps, if they are said to be consistent. */
  readonly bitmaps: { readonly position: number; readonly bytes: number } | undefined;
}

/** Entries that an L1 table needs for a disk of `sizeBytes`. */
export function l1EntriesFor(sizeBytes: number, clusterBytes: number): number {
  return Math.ceil(sizeBytes / (clusterBytes * (clusterBytes / 8)));
}

/**
 * Reads the header of `file`.
 *
 * @throws DiskError for what cannot be, is not supported, or is encrypted
 */
export function readHeader(file: ImageFile): Qcow2Header {
  const { path } = file;
  const refuse = (problem: string): never => {
    throw new DiskError(path, "format", problem);
  };
  const fixed = new DataView(new ArrayBuffer(112));
  const got = file.read(new Uint8Array(fixed.buffer), 0);
  if (got < V2_HEADER_BYTES || fixed.getUint32(Field.magic) !== MAGIC) {
    return refuse("it does not begin with the header of a qcow2 image");
  }
  const version = fixed.getUint32(Field.version);
  if (version !== 2 && version !== 3) {
    return refuse(`it is a qcow2 image of version ${version}; 2 and 3 are supported`);
  }
  const number = (field: number): number => {
    const value = fixed.getUint32(field) * 2 ** 32 + fixed.getUint32(field + 4);
    return value <= MAX_POSITION ? value : refuse(`its header has ${value} at byte ${field}`);
  };
  const clusterBits = fixed.getUint32(Field.clusterBits);
  if (clusterBits < MIN_CLUSTER_BITS || clusterBits > MAX_CLUSTER_BITS) {
    return refuse(`it has clusters of 2^${clusterBits} bytes; 512 bytes to 2 MiB are possible`);
  }
  const clusterBytes = 2 ** clusterBits;
  const v3 = version === 3;
  const headerLength = v3 ? fixed.getUint32(Field.headerLength) : V2_HEADER_BYTES;
  if (v3 && (headerLength < 104 || headerLength > clusterBytes || headerLength % 8 !== 0)) {
    return refuse(`its header says that it is ${headerLength} bytes long`);
  }
  // A header is in the first cluster with its extensions and the backing file's name.
  const head = new Uint8Array(clusterBytes);
  file.read(head, 0);
  const extensions = readExtensions(head, headerLength, fixed.getUint32(Field.backingOffset + 4));
  const incompatible = v3 ? checkFeatures(fixed, extensions, refuse) : 0;
  const crypt = fixed.getUint32(Field.cryptMethod);
  if (crypt !== 0) {
    const method = crypt === 2 ? "LUKS" : crypt === 1 ? "AES" : `method ${crypt}`;
    return refuse(`it is encrypted (${method}), which is not supported`);
  }
  const header: Qcow2Header = {
    version,
    clusterBits,
    clusterBytes,
    sizeBytes: number(Field.size),
    backingFile: backingName(head, number(Field.backingOffset), fixed, refuse),
    backingFormat: textOf(extensions.get(Extension.backingFormat)),
    l1Entries: fixed.getUint32(Field.l1Entries),
    l1Position: number(Field.l1Position),
    refcountTablePosition: number(Field.refcountTablePosition),
    refcountTableClusters: fixed.getUint32(Field.refcountTableClusters),
    refcountOrder: v3 ? fixed.getUint32(Field.refcountOrder) : 4,
    snapshots: fixed.getUint32(Field.snapshots),
    snapshotsPosition: number(Field.snapshotsPosition),
    incompatible,
    lazyRefcounts: v3 && (fixed.getUint32(Field.compatible + 4) & LAZY_REFCOUNTS) !== 0,
    autoclear: v3 && fixed.getBigUint64(Field.autoclear) !== 0n,
    bitmaps: v3 ? bitmapsOf(fixed, extensions) : undefined,
    compression: compressionOf(fixed, incompatible, headerLength, refuse),
  };
  checkTables(header, file.size, refuse);
  return header;
}

type Refuse = (problem: string) => never;

function checkTables(header: Qcow2Header, fileBytes: number, refuse: Refuse): void {
  const { clusterBytes, l1Entries, l1Position, sizeBytes, snapshots, snapshotsPosition } = header;
  const { refcountTablePosition, refcountTableClusters } = header;
  if (header.refcountOrder > 6) refuse(`its refcounts have 2^${header.refcountOrder} bits`);
  if (l1Entries * 8 > MAX_L1_BYTES) {
    refuse(`its L1 table has ${l1Entries} entries; ${MAX_L1_BYTES / 8} are the most`);
  }
  const needed = l1EntriesFor(sizeBytes, clusterBytes);
  if (l1Entries < needed) {
    refuse(
      `it says that it has ${sizeBytes} bytes, which its L1 table of ${l1Entries} entries cannot
map (${needed} are needed)`.replace("\n", " "),
    );
  }
  const inFile = (name: string, position: number, bytes: number) => {
    if (position % clusterBytes !== 0 || position === 0) {
      refuse(`its ${name} is at byte ${position}, which no table can be`);
    }
    if (position + bytes > Math.ceil(fileBytes / clusterBytes) * clusterBytes) {
      refuse(`its ${name} is beyond the end of the file, which is cut off`);
    }
  };
  if (l1Entries > 0) inFile("L1 table", l1Position, l1Entries * 8);
  const refcountBytes = refcountTableClusters * clusterBytes;
  if (refcountBytes > MAX_REFCOUNT_TABLE_BYTES) {
    refuse(`its refcount table has ${refcountTableClusters} clusters, which is too large`);
  }
  if (refcountTableClusters > 0) inFile("refcount table", refcountTablePosition, refcountBytes);
  if (snapshots > MAX_SNAPSHOTS) refuse(`it says that it has ${snapshots} snapshots`);
  if (snapshots > 0) inFile("snapshot table", snapshotsPosition, 40);
}

function readExtensions(
  head: Uint8Array,
  start: number,
  backingOffset: number,
): Map<number, Uint8Array> {
  const view = new DataView(head.buffer);
  const end = backingOffset === 0 ? head.length : Math.min(backingOffset, head.length);
  const found = new Map<number, Uint8Array>();
  for (let at = start; at + 8 <= end;) {
    const type = view.getUint32(at);
    const length = view.getUint32(at + 4);
    if (type === Extension.end || length > end - at - 8) break;
    found.set(type, head.subarray(at + 8, at + 8 + length));
    at += 8 + Math.ceil(length / 8) * 8;
  }
  return found;
}

function checkFeatures(
  fixed: DataView,
  extensions: Map<number, Uint8Array>,
  refuse: Refuse,
): number {
  const high = fixed.getUint32(Field.incompatible);
  const low = fixed.getUint32(Field.incompatible + 4);
  if (low & Incompatible.externalData) {
    refuse("its data is in an external data file, which is not supported");
  }
  if (low & Incompatible.extendedL2) {
    refuse(
      "it has extended L2 entries (subclusters), which are not supported; " +
        "convert it with qemu-img convert -O qcow2",
    );
  }
  const unknown: string[] = [];
  for (let bit = 0; bit < 64; bit++) {
    const word = bit < 32 ? low : high;
    if ((word & (1 << (bit & 31))) === 0 || (bit < 32 && SUPPORTED & (1 << bit))) continue;
    unknown.push(featureName(extensions, bit));
  }
  if (unknown.length > 0) refuse(`it needs what is not supported: ${unknown.join(", ")}`);
  return low;
}

/** By the image's own table of names: type 0 is that of incompatible features. */
function featureName(extensions: Map<number, Uint8Array>, bit: number): string {
  const table = extensions.get(Extension.featureNames) ?? new Uint8Array(0);
  for (let at = 0; at + FEATURE_NAME_BYTES <= table.length; at += FEATURE_NAME_BYTES) {
    if (table[at] === 0 && table[at + 1] === bit) {
      return `${textOf(table.subarray(at + 2, at + FEATURE_NAME_BYTES))} (bit ${bit})`;
    }
  }
  return `${INCOMPATIBLE_NAMES[bit] ?? "feature"} (bit ${bit})`;
}

/** Up to the first NUL, with nothing that a terminal would obey. */
function textOf(bytes: Uint8Array | undefined): string | undefined {
  if (bytes === undefined) return undefined;
  const end = bytes.indexOf(0);
  const text = new TextDecoder().decode(bytes.slice(0, end < 0 ? bytes.length : end));
  return text.replaceAll(/\p{Cc}/gu, "?");
}

/** "Bitmaps extension": u32 number, u32 reserved, u64 size of the directory, u64 position. */
function bitmapsOf(fixed: DataView, extensions: Map<number, Uint8Array>) {
  const data = extensions.get(Extension.bitmaps);
  if (data === undefined || data.length < 24) return undefined;
  if ((fixed.getUint32(Field.autoclear + 4) & AUTOCLEAR_BITMAPS) === 0) return undefined;
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  return { position: Number(view.getBigUint64(16)), bytes: Number(view.getBigUint64(8)) };
}

function backingName(
  head: Uint8Array,
  offset: number,
  fixed: DataView,
  refuse: Refuse,
): string | undefined {
  if (offset === 0) return undefined;
  const length = fixed.getUint32(Field.backingLength);
  if (length === 0) return undefined;
  if (length > MAX_NAME_BYTES || offset + length > head.length) {
    return refuse(
      `the name of its backing file has ${length} bytes at ${offset}, outside its header`,
    );
  }
  const bytes = head.slice(offset, offset + length);
  if (bytes.some((byte) => byte < 32)) refuse("the name of its backing file is no name");
  return new TextDecoder().decode(bytes);
}

function compressionOf(
  fixed: DataView,
  incompatible: number,
  headerLength: number,
  refuse: Refuse,
): "zlib" | "zstd" {
  const type = headerLength > Field.compressionType ? fixed.getUint8(Field.compressionType) : 0;
  if (type > 1) {
    return refuse(`its clusters are compressed by method ${type}; zlib and zstd are known`);
  }
  if (type === 1 && (incompatible & Incompatible.compressionType) === 0) {
    return refuse("its header contradicts itself about how its clusters are compressed");
  }
  return type === 1 ? "zstd" : "zlib";
}
