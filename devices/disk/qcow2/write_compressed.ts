/**
 * A new qcow2 image whose clusters are compressed, written once from the beginning to the end. The
 * streams follow each other byte to byte; the refcounts are made when everything is there.
 */

import type { DiskImage } from "../disk_image.ts";
import type { ImageFile } from "../image_file.ts";
import { repairQcow2 } from "./check.ts";
import { compressCluster } from "./compressed_cluster.ts";
import { readHeader } from "./header.ts";
import { compressedHigh, COPIED } from "./l2_entry.ts";

/**
 * Copies `from` into `file`, in which `createQcow2` has made an image; yields how many bytes of the
 * disk are done.
 *
 * @throws SysError
 */
export function* writeCompressed(file: ImageFile, from: DiskImage): Generator<number> {
  const { clusterBytes, clusterBits, l1Entries, l1Position, compression } = readHeader(file);
  const inTable = clusterBytes / 8;
  const l1 = new DataView(new ArrayBuffer(l1Entries * 8));
  const l2 = new DataView(new ArrayBuffer(clusterBytes));
  const cluster = new Uint8Array(clusterBytes);
  let end = file.size;
  /** Writes a whole cluster where one begins. */
  const putWhole = (bytes: Uint8Array): bigint => {
    const position = Math.ceil(end / clusterBytes) * clusterBytes;
    file.write(bytes, position);
    end = position + clusterBytes;
    return BigInt(position) | BigInt(COPIED) << 32n;
  };
  const put = (entry: number): void => {
    const packed = compressCluster(cluster, compression);
    if (packed === undefined) return l2.setBigUint64(entry, putWhole(cluster));
    file.write(packed, end);
    l2.setUint32(entry, compressedHigh(end, packed.length, clusterBits));
    l2.setUint32(entry + 4, end % 2 ** 32);
    end += packed.length;
  };
  for (let table = 0; table < l1Entries; table++) {
    const start = table * inTable * clusterBytes;
    let isUsed = false;
    for (let at = start; at < Math.min(from.sizeBytes, start + inTable * clusterBytes);) {
      const length = Math.min(clusterBytes, from.sizeBytes - at);
      if (from.zerosAt(at, length) < length) {
        from.read(at, cluster.subarray(0, length));
        cluster.fill(0, length);
        if (cluster.some((byte) => byte !== 0)) {
          put((at - start) / clusterBytes * 8);
          isUsed = true;
        }
      }
      at += length;
      yield at;
    }
    if (!isUsed) continue;
    l1.setBigUint64(table * 8, putWhole(new Uint8Array(l2.buffer)));
    new Uint8Array(l2.buffer).fill(0);
  }
  file.write(new Uint8Array(l1.buffer), l1Position);
  repairQcow2(file);
}
