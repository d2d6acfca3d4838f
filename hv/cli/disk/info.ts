/** `hv disk info`. */

import { type ImageInfo, imageInfo } from "../../../devices/disk/formats/image_info.ts";
import type { ImageFormat } from "../../../devices/disk/formats/image_format.ts";
import { showBytes } from "../../options/sizes.ts";
import { ExitCode } from "../words/option_table.ts";
import { print } from "../say.ts";

/** Shows what the image is. */
export function showInfo(
  path: string,
  { format, json }: { format: ImageFormat | undefined; json: boolean },
): number {
  const info = imageInfo(path, format);
  if (json) print(JSON.stringify(forPrograms(info), null, 2));
  else for (const [name, text] of rows(info)) print(`${name.padEnd(14)}${text}`);
  return ExitCode.ok;
}

const size = (bytes: number) => `${showBytes(bytes)} (${bytes} bytes)`;

function* rows({ path, format, sizeBytes, hostBytes, qcow2 }: ImageInfo) {
  yield ["image", path];
  const version = qcow2 === undefined ? "" : `, version ${qcow2.header.version}`;
  yield ["format", `${format}${version}`];
  yield ["disk", size(sizeBytes)];
  yield ["on the host", size(hostBytes)];
  if (qcow2 === undefined) return;
  const { header, snapshots, isDirty, isCorrupt } = qcow2;
  const lazy = header.lazyRefcounts ? ", lazy" : "";
  yield ["clusters", `${showBytes(header.clusterBytes)}, compressed by ${header.compression}`];
  yield ["refcounts", `${2 ** header.refcountOrder} bits${lazy}`];
  if (header.backingFile !== undefined) {
    yield ["backing file", `${header.backingFile} (${header.backingFormat ?? "format not said"})`];
  }
  for (const { id, name } of snapshots) yield ["snapshot", `${id} ${name}`];
  if (isDirty) yield ["state", "not closed: it is mended when it is next written"];
  if (isCorrupt) yield ["state", "marked as corrupt: see hv disk check"];
}

/** The names are those of qemu-img info --output=json. */
function forPrograms({ path, format, sizeBytes, hostBytes, qcow2 }: ImageInfo) {
  const common = {
    filename: path,
    format,
    "virtual-size": sizeBytes,
    "actual-size": hostBytes,
  };
  if (qcow2 === undefined) return common;
  const { header, snapshots, isDirty, isCorrupt } = qcow2;
  return {
    ...common,
    "cluster-size": header.clusterBytes,
    "dirty-flag": isDirty,
    ...(header.backingFile === undefined ? {} : {
      "backing-filename": header.backingFile,
      ...(header.backingFormat === undefined
        ? {}
        : { "backing-filename-format": header.backingFormat }),
    }),
    ...(snapshots.length === 0
      ? {}
      : { snapshots: snapshots.map(({ id, name }) => ({ id, name })) }),
    "format-specific": {
      type: "qcow2",
      data: {
        compat: header.version === 2 ? "0.10" : "1.1",
        "compression-type": header.compression,
        "lazy-refcounts": header.lazyRefcounts,
        "refcount-bits": 2 ** header.refcountOrder,
        corrupt: isCorrupt,
      },
    },
  };
}
