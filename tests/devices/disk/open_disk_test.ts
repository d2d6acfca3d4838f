import assert from "node:assert/strict";
import { imageInfo } from "../../../devices/disk/formats/image_info.ts";
import { attachDisk, closeDiskHandle } from "../../../devices/disk/disk_handle.ts";
import { DiskError } from "../../../devices/disk/disk_image.ts";
import {
  type DiskOptions,
  floppyImageBytes,
  openDisk,
  openDiskHandle,
} from "../../../devices/disk/open_disk.ts";
import { inDirectory } from "./conformance.ts";

/** Opening must fail with `code` and a line that matches `text`. */
function refused(options: DiskOptions, code: string, text: RegExp): void {
  assert.throws(
    () => openDisk(options)[Symbol.dispose](),
    (error) => {
      assert.ok(error instanceof DiskError, String(error));
      assert.equal(error.code, code, error.message);
      assert.match(error.message, text);
      assert.ok(error.message.startsWith(`Cannot use ${options.path} as a disk: `));
      assert.ok(!error.message.includes("\n"), "one line");
      return true;
    },
  );
}

Deno.test("openDisk says what is wrong with a path", () => {
  inDirectory((directory) => {
    const path = `${directory}/disk.img`;
    refused({ path }, "missing", /no such file; make one with hv disk create$/);
    Deno.writeTextFileSync(path, "");
    refused({ path }, "empty", /give it a size/);
    refused({ path: `${path}/x` }, "missing", /not a directory/);
    refused({ path: directory }, "not a disk", /directory/);
    refused({ path: "/dev/null" }, "not a disk", /neither/);
    refused({ path, readOnly: true, overlay: true }, "host", /leave out read-only/);
  });
});

Deno.test("openDisk does not wait for the writer of a FIFO", async () => {
  const directory = Deno.makeTempDirSync();
  const path = `${directory}/fifo`;
  try {
    await new Deno.Command("mkfifo", { args: [path] }).output();
    refused({ path, readOnly: true }, "not a disk", /neither/);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});

Deno.test("openDisk refuses other formats, unless it is told that the image is raw", () => {
  inDirectory((directory) => {
    const path = `${directory}/disk.img`;
    for (const [magic, name] of [["QFI\xfb", /qcow2/], ["KDMV", /vmdk/], ["QED\0", /QED/]]) {
      const bytes = new Uint8Array(1024);
      [...magic as string].forEach((char, i) => bytes[i] = char.charCodeAt(0));
      Deno.writeFileSync(path, bytes);
      refused({ path }, "format", name as RegExp);
    }
    using image = openDisk({ path, format: "raw" });
    assert.equal(image.sizeBytes, 1024);
  });
});

Deno.test("an image of another format than was said is refused as what it is, not as read only", () => {
  inDirectory((directory) => {
    const path = `${directory}/disk.img`;
    const marked = (magic: string) => {
      const bytes = new Uint8Array(4096);
      [...magic].forEach((char, i) => bytes[i] = char.charCodeAt(0));
      Deno.writeFileSync(path, bytes);
    };
    marked("QFI\xfb");
    for (const format of ["vhd", "vhdx", "vmdk"] as const) {
      const problem = new RegExp(`it is a qcow2 image, not ${format}$`);
      refused({ path, format }, "format", problem);
      refused({ path, format, readOnly: true }, "format", problem);
      assert.throws(() => imageInfo(path, format), problem);
    }
    marked("");
    for (const format of ["qcow2", "vhd", "vhdx", "vmdk"] as const) {
      refused({ path, format }, "format", new RegExp(`it is no ${format} image$`));
    }
  });
});

Deno.test("openDisk lets one machine write, or many read", () => {
  inDirectory((directory) => {
    const path = `${directory}/disk.img`;
    Deno.writeFileSync(path, new Uint8Array(4096));
    const overlay = { path, overlay: true, scratchDirectory: directory };
    {
      using _writer = openDisk({ path });
      refused({ path }, "in use", /this hv has it open already; attach both/);
      refused({ path, readOnly: true }, "in use", /writes to it/);
      refused(overlay, "in use", /writes to it/);
    }
    {
      using _reader = openDisk({ path, readOnly: true });
      using _other = openDisk(overlay);
      using _third = openDisk(overlay);
      refused({ path }, "in use", /has it open/);
    }
    openDisk({ path })[Symbol.dispose]();
  });
});

Deno.test("a disk handle holds the claim while it goes to the thread that serves it", () => {
  inDirectory((directory) => {
    const path = `${directory}/disk.img`;
    Deno.writeFileSync(path, new Uint8Array(4096).fill(3));
    for (const overlay of [false, true]) {
      const handle = openDiskHandle({ path, overlay, scratchDirectory: directory });
      if (!overlay) refused({ path, readOnly: true }, "in use", /writes to it/);
      using image = attachDisk(structuredClone(handle));
      image.write(512, new Uint8Array(512).fill(9));
      const data = new Uint8Array(1024);
      image.read(0, data);
      assert.deepEqual([data[0], data[512]], [3, 9]);
      if (!overlay) image.write(512, new Uint8Array(512).fill(3));
    }
    assert.ok(Deno.readFileSync(path).every((byte) => byte === 3));
    const handle = openDiskHandle({ path });
    closeDiskHandle(handle);
    openDisk({ path })[Symbol.dispose]();
  });
});

Deno.test("openDisk of a sparse image larger than any disk", () => {
  // Only a file system without a limit of its own can hold it.
  const path = `/dev/shm/hv-test-${crypto.randomUUID()}`;
  Deno.writeFileSync(path, new Uint8Array());
  try {
    Deno.truncateSync(path, 2 ** 52 + 512);
    refused({ path }, "size", /are the most/);
    Deno.truncateSync(path, 2 ** 52);
    using image = openDisk({ path });
    const data = new Uint8Array(512).fill(7);
    image.read(2 ** 52 - 512, data);
    assert.equal(data[0], 0);
  } finally {
    Deno.removeSync(path);
  }
});

Deno.test("openDisk rounds a disc up to sectors of 2048 bytes", () => {
  inDirectory((directory) => {
    const path = `${directory}/disc.iso`;
    Deno.writeFileSync(path, new Uint8Array(2048 * 3 + 512).fill(9));
    using image = openDisk({ path, readOnly: true, sectorBytes: 2048 });
    assert.equal(image.sizeBytes, 4 * 2048);
    const last = new Uint8Array(2048);
    image.read(3 * 2048, last);
    assert.deepEqual([last[511], last[512]], [9, 0]);
  });
});

Deno.test("openDisk tells when there is no room for a scratch file", () => {
  inDirectory((directory) => {
    const path = `${directory}/disk.img`;
    Deno.writeFileSync(path, new Uint8Array(512));
    const scratchDirectory = `${directory}/none`;
    refused({ path, overlay: true, scratchDirectory }, "scratch", /set TMPDIR/);
    openDisk({ path })[Symbol.dispose]();
  });
});

Deno.test("a floppy disk image has the size of a floppy disk, or is refused", () => {
  assert.equal(floppyImageBytes("a.img", 737_280), 737_280);
  assert.equal(floppyImageBytes("a.img", 1_474_560), 1_474_560);
  for (const size of [1_474_561, 1_475_072, 1_000_000]) {
    assert.throws(() => floppyImageBytes("a.img", size), /one of 160K, 180K.*hard disk/);
  }
});

Deno.test("a short floppy image, as GRUB's rescue floppy, is the beginning of a 1440K diskette", () => {
  assert.equal(floppyImageBytes("a.img", 1_296_384), 1_474_560);
});
