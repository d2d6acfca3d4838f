/** Clusters that are compressed: raw deflate streams (RFC 1951) or zstd frames (RFC 8878). */

/**
 * Importing zlib, or what would load it late, costs a start 40 ms: it is loaded when the first such
 * cluster is read, by the name that Node gives to everybody.
 */
const zlib = () => globalThis.process.getBuiltinModule("node:zlib");

/**
 * The cluster in `packed`, behind whose end there may be anything; undefined when it is no stream, or
 * one that gives less or more than a cluster.
 */
export function decompressCluster(
  packed: Uint8Array,
  clusterBytes: number,
  compression: "zlib" | "zstd",
): Uint8Array | undefined {
  const { inflateRawSync, zstdDecompressSync } = zlib();
  const options = { maxOutputLength: clusterBytes };
  try {
    let cluster: Uint8Array;
    if (compression === "zlib") {
      cluster = inflateRawSync(packed, options);
    } else {
      const length = zstdFrameBytes(packed);
      if (length === undefined) return undefined;
      cluster = zstdDecompressSync(packed.subarray(0, length), options);
    }
    return cluster.length === clusterBytes ? cluster : undefined;
  } catch {
    return undefined;
  }
}

/** The cluster as a stream, or undefined where that does not make it shorter. */
export function compressCluster(
  cluster: Uint8Array,
  compression: "zlib" | "zstd",
): Uint8Array | undefined {
  const { deflateRawSync, zstdCompressSync } = zlib();
  // QEMU unpacks with a window of 4 KiB.
  const packed = compression === "zlib"
    ? deflateRawSync(cluster, { windowBits: 12 })
    : zstdCompressSync(cluster);
  return packed.length < cluster.length ? packed : undefined;
}

const ZSTD_MAGIC = 0xfd2fb528;

/** Length of the zstd frame at the beginning of `bytes`: the decoder wants no byte more (3.1.1). */
function zstdFrameBytes(bytes: Uint8Array): number | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 6 || view.getUint32(0, true) !== ZSTD_MAGIC) return undefined;
  const descriptor = bytes[4];
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const contentSize = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6];
  const dictionary = [0, 1, 2, 4][descriptor & 3];
  let at = 5 + (isSingleSegment ? 0 : 1) + dictionary + contentSize;
  for (;;) {
    if (at + 3 > bytes.length) return undefined;
    const header = bytes[at] | bytes[at + 1] << 8 | bytes[at + 2] << 16;
    const type = (header >> 1) & 3;
    at += 3 + (type === 1 ? 1 : header >> 3);
    if ((header & 1) !== 0) break;
  }
  if ((descriptor & 4) !== 0) at += 4;
  return at <= bytes.length ? at : undefined;
}
