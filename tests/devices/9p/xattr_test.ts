/** Extended attributes over 9P ("9P2000.L Protocol", xattrwalk and xattrcreate), on a directory of the host. */

import assert from "node:assert/strict";
import { byteString, O_PATH } from "../../../hv/sys/file/at.ts";
import { closeDescriptor, openDescriptor } from "../../../hv/sys/descriptor.ts";
import { getAttribute, setAttribute } from "../../../hv/sys/file/xattr.ts";
import { type Client, E, refused, withShare } from "./client.ts";

const CREATE = 1;
const REPLACE = 2;
const encoder = new TextEncoder();
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** What the host has as an attribute of a file; a negative error number where there is none. */
function onHost(path: string, name: string): string | number {
  const fd = openDescriptor(path, O_PATH);
  try {
    const value = new Uint8Array(65536);
    const length = getAttribute(fd, byteString(name), value);
    return length < 0 ? length : text(value.subarray(0, length));
  } finally {
    closeDescriptor(fd);
  }
}

function setOnHost(path: string, name: string, value: string): number {
  const fd = openDescriptor(path, O_PATH);
  try {
    return setAttribute(fd, byteString(name), { value: encoder.encode(value), flags: 0 });
  } finally {
    closeDescriptor(fd);
  }
}

/** As Linux's client does it. */
function set(client: Client, fid: number, name: string, value: string, flags = 0): void {
  const bytes = encoder.encode(value);
  client.walk(fid, 20);
  client.xattrcreate(20, name, bytes.length, flags);
  for (let at = 0; at < bytes.length; at += 40_000) {
    client.write(20, at, bytes.subarray(at, at + 40_000));
  }
  client.clunk(20);
}

function get(client: Client, fid: number, name = ""): string {
  const size = client.xattrwalk(fid, 21, name);
  let got = "";
  while (got.length < size) got += text(client.read(21, got.length, 30_000));
  assert.equal(client.read(21, size, 10).length, 0);
  client.clunk(21);
  return got;
}

/** A share with a file `file` and fid 1 on it, where the file system has attributes. */
function xattrTest(name: string, body: (stage: { client: Client; inside: string }) => void): void {
  Deno.test(name, () => {
    withShare(({ client, inside }) => {
      Deno.writeTextFileSync(`${inside}/file`, "contents");
      if (setOnHost(`${inside}/file`, "user.probe", "x") < 0) {
        console.log(`skipped: the file system of ${inside} has no extended attributes`);
        return;
      }
      client.walk(0, 1, "file");
      body({ client, inside });
    });
  });
}

xattrTest(
  "an attribute is set, read, replaced, listed and removed, and the host sees it",
  (stage) => {
    const { client, inside } = stage;
    const path = `${inside}/file`;
    set(client, 1, "user.colour", "blue");
    assert.equal(onHost(path, "user.colour"), "blue");
    assert.equal(get(client, 1, "user.colour"), "blue");
    assert.deepEqual(get(client, 1).split("\0").sort(), ["", "user.colour", "user.probe"]);
    set(client, 1, "user.colour", "green", REPLACE);
    assert.equal(onHost(path, "user.colour"), "green");
    set(client, 1, "user.empty", "");
    assert.equal(get(client, 1, "user.empty"), "");
    set(client, 1, "user.colour", "", REPLACE);
    assert.equal(onHost(path, "user.colour"), -E.NODATA);
    refused(() => client.xattrwalk(1, 21, "user.colour"), E.NODATA);
    assert.equal(Deno.readTextFileSync(path), "contents");
    set(client, 0, "user.of-the-root", "directory");
    assert.equal(onHost(inside, "user.of-the-root"), "directory");
    assert.deepEqual(client.server.counts, { fids: 2, openFiles: 0 });
  },
);

xattrTest(
  "creating what is there and replacing what is not fails, when the fid is given up",
  (stage) => {
    const { client, inside } = stage;
    for (
      const [name, flags, error] of [["user.probe", CREATE, E.EXIST], [
        "user.new",
        REPLACE,
        E.NODATA,
      ]] as const
    ) {
      refused(() => set(client, 1, name, "y", flags), error);
      assert.deepEqual(
        client.server.counts,
        { fids: 2, openFiles: 0 },
        "the fid is gone all the same",
      );
    }
    client.walk(1, 20);
    client.xattrcreate(20, "user.short", 10);
    client.write(20, 0, "five.");
    refused(() => client.write(20, 0, "again"), E.INVAL);
    refused(() => client.write(20, 5, "too much"), E.NOSPC);
    refused(() => client.clunk(20), E.INVAL);
    assert.equal(onHost(`${inside}/file`, "user.short"), -E.NODATA, "half of it is not stored");
  },
);

xattrTest(
  "only attributes of users are there: those by which the host judges a file are not",
  (stage) => {
    const { client, inside } = stage;
    const others = [
      "security.capability",
      "trusted.x",
      "system.posix_acl_access",
      "user.",
      "user",
      "x",
    ];
    for (const name of others) {
      refused(() => client.xattrwalk(1, 21, name), E.OPNOTSUPP);
      client.walk(1, 20);
      refused(() => client.xattrcreate(20, name, 1), E.OPNOTSUPP);
      client.clunk(20);
    }
    setOnHost(`${inside}/file`, "trusted.secret", "x"); // works for root alone
    assert.equal(get(client, 1), "user.probe\0");
    refused(() => client.xattrwalk(1, 21, "user.a\0b"), E.INVAL);
    refused(() => client.xattrwalk(1, 21, `user.${"y".repeat(251)}`), E.RANGE);
  },
);

xattrTest("a symbolic link has none, and does not lead to what it names", (stage) => {
  const { client, inside } = stage;
  Deno.symlinkSync(`${inside}/file`, `${inside}/link`);
  client.walk(0, 2, "link");
  assert.equal(client.xattrwalk(2, 21), 0);
  client.clunk(21);
  refused(() => client.xattrwalk(2, 21, "user.probe"), E.NODATA);
  refused(() => set(client, 2, "user.through", "x"), E.PERM);
  assert.equal(onHost(`${inside}/file`, "user.through"), -E.NODATA);
});

xattrTest("fids of attributes are bounded, and no files", (stage) => {
  const { client } = stage;
  refused(() => client.xattrwalk(1, 1, "user.probe"), E.EXIST);
  client.walk(1, 20);
  refused(() => client.xattrcreate(20, "user.large", 65537), E.NOSPC);
  client.xattrcreate(20, "user.large", 65536);
  refused(() => client.xattrcreate(20, "user.other", 1), E.BADF);
  refused(() => client.open(20), E.BADF);
  refused(() => client.read(20, 0, 1), E.INVAL);
  client.xattrwalk(1, 21, "user.probe");
  refused(() => client.write(21, 0, "x"), E.INVAL);
  refused(() => client.readdir(21, 0n, 100), E.BADF);
  assert.equal(client.read(21, 2n ** 62n, 10).length, 0);
  assert.deepEqual(client.server.counts, { fids: 4, openFiles: 2 });
  client.version();
  assert.deepEqual(client.server.counts, { fids: 0, openFiles: 0 });
});

xattrTest("no more fids stand for attributes than files may be open", (stage) => {
  const { client } = stage;
  let fid = 100;
  assert.throws(() => {
    for (;; fid++) client.xattrwalk(1, fid, "user.probe");
  }, (error: { errno?: number }) => error.errno === E.MFILE);
  assert.equal(client.server.counts.openFiles, fid - 100);
  assert.equal(client.server.counts.fids, 2 + fid - 100, "the last is not left half made");
});

xattrTest("another thread goes on with an attribute that is being written", (stage) => {
  const { client, inside } = stage;
  client.walk(1, 20);
  client.xattrcreate(20, "user.moved", 4);
  client.write(20, 0, "mo");
  const saved = client.server.save()!;
  client.server.restore(structuredClone(saved));
  client.write(20, 2, "ve");
  client.clunk(20);
  assert.equal(onHost(`${inside}/file`, "user.moved"), "move");
});

Deno.test("a read-only share shows attributes and changes none", () => {
  withShare(({ client, inside }) => {
    client.walk(0, 1);
    refused(() => client.xattrcreate(1, "user.a", 1), E.ROFS);
    assert.equal(onHost(inside, "user.a"), -E.NODATA);
  }, { readOnly: true });
});
