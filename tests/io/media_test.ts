import assert from "node:assert/strict";
import { DiskError } from "../../devices/disk/disk_image.ts";
import { Media } from "../../hv/io/media.ts";
import { inDirectory } from "../devices/disk/conformance.ts";

const drive = (path: string, kind: "disk" | "floppy" = "disk") => ({
  path,
  kind,
  unit: 0,
  readOnly: false,
  overlay: false,
  interface: "ide" as const,
});

Deno.test("media: a disk has the geometry of its partition table, a diskette that of its size", () => {
  inDirectory((directory) => {
    const disk = `${directory}/disk.img`;
    const bytes = new Uint8Array(615 * 4 * 17 * 512);
    // One partition of DOS 3: from head 1, sector 1 to cylinder 614, head 3, sector 17.
    bytes.set([0x80, 1, 1, 0, 4, 3, 0x80 | 17, 614 & 0xff], 0x1be);
    const table = new DataView(bytes.buffer, 0x1be);
    table.setUint32(8, 17, true);
    table.setUint32(12, 615 * 68 - 17, true);
    bytes.set([0x55, 0xaa], 510);
    Deno.writeFileSync(disk, bytes);
    const floppy = `${directory}/floppy.img`;
    Deno.writeFileSync(floppy, new Uint8Array(720 * 1024));
    using media = new Media([drive(disk), drive(floppy, "floppy")]);
    const geometry = { cylinders: 615, heads: 4, sectors: 17 };
    assert.deepEqual(media.drives, [
      {
        kind: "disk",
        interface: "ide",
        unit: 0,
        sizeBytes: bytes.length,
        readOnly: false,
        geometry,
      },
      { kind: "floppy", unit: 0, sizeBytes: 720 * 1024, readOnly: false },
    ]);
  });
});

Deno.test("media: when one image cannot be used, those opened before are let go", () => {
  inDirectory((directory) => {
    const path = `${directory}/disk.img`;
    Deno.writeFileSync(path, new Uint8Array(1 << 20));
    assert.throws(() => new Media([drive(path), drive(`${directory}/none.img`)]), DiskError);
    using _again = new Media([drive(path)]);
  });
});
