/** Main's part of devices that come and go, with a board but without threads: what can go wrong on the way. */

import assert from "node:assert/strict";
import { DiskError } from "../../devices/disk/disk_image.ts";
import { closeDiskHandle } from "../../devices/disk/disk_handle.ts";
import { openDisk, openDiskHandle } from "../../devices/disk/open_disk.ts";
import { Attachments, type AttachmentsParts } from "../../hv/machine/attachments.ts";
import { HostError, UsageError } from "../../hv/errors.ts";
import { BlockPorts } from "../../hv/io/block_ports.ts";
import { NetworkLinks } from "../../hv/io/network_links.ts";
import { Unplugged } from "../../hv/core/net/network.ts";
import { HotParts } from "../../hv/io/hot_parts.ts";
import { DescriptorSet } from "../../hv/sys/wait/descriptor_set.ts";
import { VirtioDisks } from "../../hv/io/virtio_disks.ts";
import { FULL_BOARD, TestBoard } from "../support/test_board.ts";
import { DiskWriteback } from "../../hv/io/disk_writeback.ts";

/** Main, and an I/O worker that does its part when it is asked. */
function stage(parts: Partial<AttachmentsParts> = {}) {
  const board = new TestBoard(FULL_BOARD);
  const { hotplug } = board.pc;
  const attachments = new Attachments({
    hotplug,
    board: { tags: ["board"], hasVsock: false },
    whileParked: async (change) => await change(),
    ioUp: () => Promise.resolve(),
    ioFollows: () => Promise.resolve(hotplug.ioFollowed()),
    guestIsOver: () => false,
    guestEnds: new Promise(() => {}),
    ...parts,
  });
  return { board, hotplug, attachments };
}

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync({ prefix: "hv-test-" });
  try {
    await body(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

const isFree = (path: string) => openDisk({ path })[Symbol.dispose]();
const isTaken = (path: string) => assert.throws(() => isFree(path), DiskError);

function disk(folder: string, name = "disk.img"): string {
  const path = `${folder}/${name}`;
  Deno.writeFileSync(path, new Uint8Array(1 << 20));
  return path;
}

Deno.test("a device whose host's end the I/O worker cannot open leaves nothing behind", async () => {
  await inFolder(async (folder) => {
    const path = disk(folder);
    const { hotplug, attachments } = stage({
      ioFollows: () => {
        hotplug.ioFollowed(hotplug.devices.length > 0 ? "no room for its buffers" : "");
        return Promise.resolve();
      },
    });
    await assert.rejects(attachments.attach({ disk: path }), {
      name: "HostError",
      message: `Cannot attach ${path}: no room for its buffers`,
    });
    assert.deepEqual(hotplug.devices, []);
    isFree(path);
  });
});

Deno.test("an attached card has a cable, which does nothing once the card has left", async () => {
  await inFolder(async (folder) => {
    const { hotplug, attachments } = stage();
    assert.equal((await attachments.attach({ disk: disk(folder) })).cable, undefined);
    const network = (name: string) => ({
      network: { end: { socket: `${folder}/${name}`, listen: true } },
    });
    const heard: [slot: string, isUp: boolean, who: number][] = [];
    const attach = async (name: string) => {
      const attachment = await attachments.attach(network(name));
      const card = hotplug.cardIn(attachment.slot)!;
      card.setLink = (isUp, who) => void heard.push([name, isUp, who]);
      return attachment;
    };
    const first = await attach("first");
    first.cable!.unplug();
    first.cable!.plug();
    assert.deepEqual(heard.splice(0), [
      ["first", false, Unplugged.user],
      ["first", true, Unplugged.user],
    ]);
    await attachments.detach(first, { force: true });
    const second = await attach("second");
    assert.equal(second.slot, first.slot);
    first.cable!.unplug();
    assert.deepEqual(heard, []);
    second.cable!.unplug();
    assert.deepEqual(heard, [["second", false, Unplugged.user]]);
    attachments[Symbol.dispose]();
  });
});

Deno.test("a second vsock, and a share of a tag that another has, are refused", async () => {
  await inFolder(async (folder) => {
    const { hotplug, attachments } = stage();
    const share = (tag: string) => ({ share: { path: folder, tag } });
    const vsock = (name: string) => ({ vsock: `${folder}/${name}` });
    const first = await attachments.attach(share("src"));
    assert.equal(first.name, "share in slot 24");
    for (const tag of ["src", "board"]) {
      const message = `Cannot share a directory as "${tag}": another directory has that tag`;
      await assert.rejects(attachments.attach(share(tag)), { name: "UsageError", message });
    }
    await attachments.attach(vsock("one"));
    await assert.rejects(attachments.attach(vsock("two")), UsageError);
    assert.throws(() => Deno.lstatSync(`${folder}/two`), Deno.errors.NotFound);
    assert.equal(hotplug.devices.length, 2);
    await attachments.detach(first, { force: true });
    await attachments.attach(share("src"));
    const entropy = await attachments.attach({ rng: true });
    assert.equal(entropy.name, "rng in slot 26");
    attachments[Symbol.dispose]();
    assert.throws(() => Deno.lstatSync(`${folder}/one`), Deno.errors.NotFound);

    const other = stage({ board: { tags: [], hasVsock: true } });
    await assert.rejects(other.attachments.attach(vsock("three")), UsageError);
  });
});

Deno.test("what cannot be attached is said, with what can", async () => {
  const { attachments } = stage();
  // deno-lint-ignore no-explicit-any
  for (const options of [{}, { rng: false }, { vsock: undefined }, { usb: "x" }] as any[]) {
    await assert.rejects(attachments.attach(options), {
      name: "UsageError",
      message: /^Cannot attach \{.*\}: \{ disk: "PATH" \}, .* is possible$/,
    });
  }
});

Deno.test("an image stays open while a thread that does not answer may still use it", async () => {
  await inFolder(async (folder) => {
    const path = disk(folder);
    const hangs = { ioFollows: () => Promise.reject(new HostError("its I/O thread is silent")) };
    const { attachments } = stage(hangs);
    await assert.rejects(attachments.attach({ disk: path }), HostError);
    isTaken(path);
    // With the machine it goes.
    attachments[Symbol.dispose]();
    isFree(path);
  });
});

Deno.test("nothing is attached to a guest that is over, and what is there leaves without its say", async () => {
  await inFolder(async (folder) => {
    const path = disk(folder);
    let isOver = false;
    const { hotplug, attachments } = stage({ guestIsOver: () => isOver });
    const attachment = await attachments.attach({ disk: path });
    isTaken(path);
    isOver = true;
    await assert.rejects(attachments.attach({ disk: disk(folder, "other.img") }), UsageError);
    await attachments.detach(attachment);
    await attachment.left;
    assert.deepEqual(hotplug.devices, []);
    isFree(path);
  });
});

Deno.test("a guest that ends while it is asked is not waited for", async () => {
  await inFolder(async (folder) => {
    const path = disk(folder);
    const end = Promise.withResolvers<void>();
    const { attachments } = stage({ guestEnds: end.promise });
    const attachment = await attachments.attach({ disk: path });
    const detached = attachments.detach(attachment, { timeoutMs: 3_600_000 });
    end.resolve();
    await detached;
    isFree(path);
  });
});

Deno.test("the I/O worker says which host's end it cannot open, and opens the others", async () => {
  await inFolder(async (folder) => {
    const { board, hotplug } = stage();
    const drive = {
      kind: "disk",
      interface: "virtio",
      unit: 24,
      sizeBytes: 1 << 20,
      readOnly: false,
    } as const;
    using descriptors = new DescriptorSet();
    using disks = new VirtioDisks(board.memory, descriptors);
    const flushed: string[] = [];
    const parts = new HotParts({
      hotplug,
      memory: board.memory,
      loadDisks: () => Promise.resolve(disks),
      ports: new BlockPorts(),
      links: new NetworkLinks(),
      descriptors,
      shareSessions: new Map(),
      warn: () => {},
      failed: () => {},
      writeback: new DiskWriteback((_image, path) => flushed.push(path), () => 0),
    });
    const good = openDiskHandle({ path: disk(folder) });
    const bad = { ...good, path: "bad", format: "qcow2", fd: -1 };
    await hotplug.insert(24, { kind: "disk", drive }, good);
    await parts.follow();
    assert.ok(hotplug.ioHasFollowed);
    assert.equal(hotplug.failure, "");
    await hotplug.insert(25, { kind: "disk", drive: { ...drive, unit: 25 } }, bad);
    assert.equal(hotplug.ioHasFollowed, false);
    await parts.follow();
    assert.match(hotplug.failure, /EBADF/);
    await hotplug.remove(25);
    await hotplug.remove(24);
    await parts.follow();
    assert.equal(hotplug.failure, "");
    assert.deepEqual(flushed, [good.path], "what could be opened");
    closeDiskHandle(good);
  });
});
