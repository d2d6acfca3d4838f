/** Formats that are only read, made by qemu-img: VHD, VHDX, VMDK. */

import assert from "node:assert/strict";
import type { DiskError } from "../../../devices/disk/disk_image.ts";
import type { ImageFormat } from "../../../devices/disk/formats/image_format.ts";
import { openDisk } from "../../../devices/disk/open_disk.ts";
import { HAS_QEMU_IMG, qemuCheck, qemuImg, qemuRead, tool } from "../../support/guest/qemu_img.ts";
import { seeded } from "../../support/random.ts";
import { assertSameBytes } from "../../support/same_bytes.ts";
import { content, imageConformance, inDirectory } from "./conformance.ts";
import { slowTest } from "../../support/quick.ts";

/** As qemu-img calls them, with options; fixed VHD images have to be called so. */
const KINDS: readonly {
  readonly format: ImageFormat;
  readonly qemu: string;
  readonly options: string;
  readonly given?: boolean;
}[] = [
  { format: "vhd", qemu: "vpc", options: "subformat=dynamic,force_size=on" },
  { format: "vhd", qemu: "vpc", options: "subformat=fixed,force_size=on", given: true },
  { format: "vhdx", qemu: "vhdx", options: "subformat=dynamic" },
  { format: "vhdx", qemu: "vhdx", options: "subformat=fixed,block_size=2M" },
  { format: "vmdk", qemu: "vmdk", options: "subformat=monolithicSparse" },
  { format: "vmdk", qemu: "vmdk", options: "subformat=streamOptimized" },
];

const at = (directory: string) => `${directory}/disk.img`;

function make(directory: string, bytes: Uint8Array, { qemu, options }: typeof KINDS[number]): void {
  const raw = `${directory}/content.raw`;
  Deno.writeFileSync(raw, bytes);
  qemuImg("convert", "-O", qemu, "-o", options, raw, at(directory));
}

const withFormat = ({ format, given }: typeof KINDS[number]) => given ? { format } : {};

if (HAS_QEMU_IMG) {
  for (const kind of KINDS) {
    const name = `${kind.format} ${kind.options}`;
    imageConformance({
      name,
      open(directory, bytes) {
        make(directory, bytes, kind);
        return openDisk({ path: at(directory), readOnly: true, ...withFormat(kind) });
      },
      reopen: (directory) => openDisk({ path: at(directory), readOnly: true, ...withFormat(kind) }),
    });

    slowTest(`${name}: several blocks with data here and there are read as QEMU reads them`, () => {
      seeded((random) =>
        inDirectory((directory) => {
          const raw = `${directory}/content.raw`;
          Deno.truncateSync((Deno.writeFileSync(raw, new Uint8Array(0)), raw), 40 << 20);
          const writes = Array.from({ length: 30 }, () => {
            const length = 512 * (1 + random.below(200));
            return `write -P ${1 + random.below(255)} ${512 * random.below(80_000)} ${length}`;
          });
          tool("qemu-io", ["-f", "raw", ...writes.flatMap((write) => ["-c", write]), raw]);
          qemuImg("convert", "-O", kind.qemu, "-o", kind.options, raw, at(directory));
          using image = openDisk({ path: at(directory), readOnly: true, ...withFormat(kind) });
          const all = new Uint8Array(40 << 20);
          image.read(0, all);
          assertSameBytes(all, Deno.readFileSync(raw));
        })
      );
    });

    Deno.test(`${name}: random damage never ends in anything but bytes or a DiskError`, () => {
      seeded((random) =>
        inDirectory((directory) => {
          make(directory, content(1 << 20), kind);
          const good = Deno.readFileSync(at(directory));
          // Copying the rest of a sparse file again and again would be most of the work.
          const bad = good.slice(0, Math.min(good.length, 5 << 20));
          const buffer = new Uint8Array(65536);
          for (let i = 0; i < 60; i++) {
            const bytes = random.chance(10) ? bad.slice(0, random.below(bad.length)) : bad.slice();
            for (let n = 1 + random.below(8); n > 0; n--) {
              const where = random.pick([512, 4096, 1 << 18, bytes.length]);
              const place = random.chance(30)
                ? bytes.length - 1 - random.below(1024)
                : random.below(where);
              bytes[place] = random.pick([0, 1, 0x7f, 0x80, 0xff, random.below(256)]);
            }
            Deno.writeFileSync(at(directory), bytes);
            try {
              using image = openDisk({
                path: at(directory),
                readOnly: true,
                format: kind.format,
              });
              const end = Math.min(image.sizeBytes, 2 << 20);
              for (let offset = 0; offset + buffer.length <= end; offset += buffer.length) {
                try {
                  image.read(offset, buffer);
                } catch (error) {
                  assert.equal((error as Error).name, "DiskError", (error as Error).stack);
                }
              }
            } catch (error) {
              assert.equal((error as Error).name, "DiskError", (error as Error).stack);
            }
          }
        })
      );
    });
  }

  Deno.test("a format that is only read is refused for writing, and has an overlay", () => {
    inDirectory((directory) => {
      const original = content(1 << 20);
      for (const kind of KINDS) {
        const path = at(directory);
        make(directory, original, kind);
        const options = { path, ...withFormat(kind) };
        assert.throws(() => openDisk(options), (error: DiskError) => {
          assert.equal(error.code, "format");
          assert.match(
            error.message,
            /images are only read; attach it read-only or with an overlay/,
          );
          return true;
        });
        const overlay = `${directory}/over.qcow2`;
        {
          using image = openDisk({ ...options, overlay });
          image.write(1000 * 512, new Uint8Array(512).fill(0xee));
          image.flush();
          const sector = new Uint8Array(512);
          image.read(0, sector);
          assertSameBytes(sector, original.slice(0, 512));
        }
        qemuCheck(overlay);
        const expected = original.slice();
        expected.fill(0xee, 1000 * 512, 1001 * 512);
        assertSameBytes(qemuRead(overlay, directory).subarray(0, 1 << 20), expected);
        Deno.removeSync(overlay);
      }
    });
  });

  Deno.test("a fixed VHD image is one whatever its guest has written at its beginning", () => {
    inDirectory((directory) => {
      const path = at(directory);
      qemuImg("create", "-f", "vpc", "-o", "subformat=fixed", path, "1M");
      using file = Deno.openSync(path, { write: true });
      file.writeSync(Uint8Array.of(0x51, 0x46, 0x49, 0xfb));
      using image = openDisk({ path, format: "vhd", readOnly: true });
      const sector = new Uint8Array(512);
      image.read(0, sector);
      assert.deepEqual([...sector.subarray(0, 4)], [0x51, 0x46, 0x49, 0xfb]);
    });
  });

  Deno.test("differences to a parent, and images in several files, are refused by what they are", () => {
    inDirectory((directory) => {
      const path = at(directory);
      const base = `${directory}/base.vmdk`;
      qemuImg("create", "-f", "vmdk", base, "1M");
      qemuImg("create", "-f", "vmdk", "-b", base, "-F", "vmdk", path);
      const open = () => openDisk({ path, readOnly: true });
      assert.throws(open, /a difference to another VMDK image/);
      Deno.removeSync(path);
      qemuImg("create", "-f", "vmdk", "-o", "subformat=monolithicFlat", path, "1M");
      assert.throws(open, /a VMDK image in several files/);
    });
  });
}
