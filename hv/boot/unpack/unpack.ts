/**
 * Unpacks the payload of a bzImage on the host, so that the guest need not do it, which on the
 * software CPU takes minutes. Each unpacker is loaded when it is needed. gzip and zstd come with
 * the run-time; LZ4, LZMA and XZ are own code: the libraries tried do not know the x86 filter
 * that every XZ-packed kernel uses, or cannot bound their memory.
 *
 * Every packed format but gzip is followed by the unpacked length (4 bytes, little-endian), and
 * gzip ends with it by itself (Linux scripts/Makefile.lib, `size_append`): so the length is known
 * and the output is one buffer that no hostile payload can make larger.
 */

import { PackedDataError } from "./packed_data_error.ts";

/** The packings that Linux knows. */
export type Packing = "none" | "gzip" | "xz" | "zstd" | "lz4" | "bzip2" | "lzma" | "lzo";

const SIGNATURES: readonly (readonly [Packing, readonly number[]])[] = [
  ["none", [0x7f, 0x45, 0x4c, 0x46]],
  ["gzip", [0x1f, 0x8b]],
  ["xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ["zstd", [0x28, 0xb5, 0x2f, 0xfd]],
  ["lz4", [0x02, 0x21, 0x4c, 0x18]],
  ["bzip2", [0x42, 0x5a, 0x68]],
  ["lzma", [0x5d, 0x00, 0x00]],
  ["lzo", [0x89, 0x4c, 0x5a, 0x4f, 0x00]],
];

/** How the bytes are packed, by their first bytes; undefined when unknown. */
export function packingOf(bytes: Uint8Array): Packing | undefined {
  return SIGNATURES.find(([, magic]) => magic.every((byte, i) => bytes[i] === byte))?.[0];
}

/** Whether `unpack` can do it; the others are left to the kernel's own unpacker. */
export const canUnpack = (packing: Packing | undefined): boolean =>
  packing === "none" || packing === "gzip" || packing === "xz" || packing === "zstd" ||
  packing === "lz4" || packing === "lzma";

/**
 * Kernels shrink to a quarter or so: what claims more than this is a bomb, or damaged, and gets no
 * buffer.
 */
const MAX_RATIO = 128;

/**
 * Unpacks a payload.
 *
 * @param limit Most bytes that the result may have.
 * @throws PackedDataError when the data are damaged, or larger than `limit`.
 */
export async function unpack(
  payload: Uint8Array,
  packing: Packing,
  limit: number,
): Promise<Uint8Array> {
  if (packing === "none") return payload;
  if (payload.length < 8) throw new PackedDataError("the packed data are cut off");
  const trailer = new DataView(payload.buffer, payload.byteOffset + payload.length - 4, 4);
  const length = trailer.getUint32(0, true);
  if (length > limit) {
    throw new PackedDataError(
      `unpacked it has ${length} bytes, but the guest's memory takes ${limit}: ` +
        "give more with --memory",
    );
  }
  if (length > payload.length * MAX_RATIO) {
    throw new PackedDataError(`${payload.length} packed bytes claim to be ${length}`);
  }
  if (length === 0) throw new PackedDataError("the packed data say that they are empty");
  const packed = payload.subarray(0, payload.length - 4);
  const output = await unpackTo(packing === "gzip" ? payload : packed, packing, length);
  if (output.length !== length) {
    throw new PackedDataError(`unpacked it has ${output.length} bytes instead of ${length}`);
  }
  return output;
}

async function unpackTo(
  packed: Uint8Array,
  packing: Packing,
  length: number,
): Promise<Uint8Array> {
  switch (packing) {
    case "lz4": {
      const output = allocate(length);
      const { unpackLz4Legacy } = await import("./lz4.ts");
      return output.subarray(0, unpackLz4Legacy(packed, output));
    }
    case "gzip":
    case "zstd": {
      const zlib = await import("node:zlib");
      const options = { maxOutputLength: length };
      return wrap(() =>
        packing === "gzip"
          ? zlib.gunzipSync(packed, options)
          : zlib.zstdDecompressSync(packed, options)
      );
    }
    case "lzma": {
      const output = allocate(length);
      const { unpackLzmaAlone } = await import("./lzma.ts");
      return output.subarray(0, unpackLzmaAlone(packed, output));
    }
    case "xz": {
      const output = allocate(length);
      const { unpackXz } = await import("./xz.ts");
      return output.subarray(0, unpackXz(packed, output));
    }
    default:
      throw new PackedDataError(`no unpacker for ${packing}`);
  }
}

function allocate(length: number): Uint8Array {
  try {
    return new Uint8Array(length);
  } catch (cause) {
    throw new PackedDataError(`the host has no memory for its ${length} bytes`, { cause });
  }
}

function wrap(work: () => Uint8Array): Uint8Array {
  try {
    const { buffer, byteOffset, byteLength } = work();
    return new Uint8Array(buffer, byteOffset, byteLength);
  } catch (cause) {
    throw new PackedDataError(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}
