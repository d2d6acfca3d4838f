import assert from "node:assert/strict";
import { cpioArchive } from "../../hv/boot/cpio.ts";

const text = (bytes: Uint8Array) => new TextDecoder("latin1").decode(bytes);

Deno.test("a cpio archive has a header, a name and data, each aligned to 4 (newc)", () => {
  const archive = cpioArchive([{ name: "a/bc", kind: "file", permissions: 0o644, data: "hello" }]);
  assert.equal(
    text(archive.subarray(0, 110)),
    "070701" + "00000001" + "000081A4" + "00000000".repeat(2) + "00000001" + "00000000" +
      "00000005" + "00000000".repeat(4) + "00000005" + "00000000",
  );
  assert.equal(text(archive.subarray(110, 116)), "a/bc\0\0");
  assert.equal(text(archive.subarray(116, 124)), "hello\0\0\0");
  assert.equal(text(archive.subarray(124 + 110, 124 + 121)), "TRAILER!!!\0");
  assert.equal(archive.length % 4, 0);
});

Deno.test("folders, links and devices have their type bits and numbers", () => {
  const archive = text(cpioArchive([
    { name: "d", kind: "folder" },
    { name: "l", kind: "link", data: "d" },
    { name: "c", kind: "character device", permissions: 0o600, device: [5, 1] },
  ]));
  assert.match(archive, /^07070100000001000041ED/);
  assert.match(archive, /070701000000020000A1ED/);
  assert.match(archive, /0707010000000300002180.{56}0000000500000001/);
});
