import assert from "node:assert/strict";
import { byteString, descriptorLimit, openNameByName, openPath } from "../../hv/sys/file/at.ts";
import { closeDescriptor, O_RDONLY, openDescriptor } from "../../hv/sys/descriptor.ts";
import { Errno } from "../../hv/sys/errors.ts";

const O_PATH = 0o10000000;
const O_NOFOLLOW = 0o400000;

const ways = {
  "openat2": (root: number, path: string) => openPath(root, byteString(path)),
  "name by name": (root: number, path: string) =>
    openNameByName(root, byteString(path), O_PATH | O_NOFOLLOW),
};

for (const [name, open] of Object.entries(ways)) {
  Deno.test(`${name}: a path from a directory on is found, and no symbolic link is followed`, () => {
    const base = Deno.makeTempDirSync();
    const root = openDescriptor(base, O_RDONLY);
    const targetOf = (path: string) => {
      const fd = open(root, path);
      if (fd < 0) return fd;
      const target = Deno.readLinkSync(`/proc/self/fd/${fd}`);
      closeDescriptor(fd);
      return target;
    };
    try {
      Deno.mkdirSync(`${base}/a/b/c`, { recursive: true });
      Deno.writeTextFileSync(`${base}/a/b/file`, "");
      Deno.symlinkSync("b", `${base}/a/link`);
      Deno.symlinkSync("/", `${base}/root`);
      assert.equal(targetOf("."), base);
      assert.equal(targetOf("a"), `${base}/a`);
      assert.equal(targetOf("a/b/c"), `${base}/a/b/c`);
      assert.equal(targetOf("a/b/file"), `${base}/a/b/file`);
      assert.equal(targetOf("a/link"), `${base}/a/link`, "the link itself");
      const isRefused = (path: string) =>
        assert.ok([-Errno.ELOOP, -Errno.ENOTDIR].includes(targetOf(path) as number), path);
      isRefused("a/link/c");
      isRefused("root/etc");
      isRefused("a/b/file/x");
      assert.equal(targetOf("a/missing"), -Errno.ENOENT);
      assert.equal(targetOf("missing/b"), -Errno.ENOENT);
      targetOf("a/b/missing/c");
      const open = [...Deno.readDirSync("/proc/self/fd")].filter(({ name }) => {
        try {
          return Deno.readLinkSync(`/proc/self/fd/${name}`).startsWith(base);
        } catch {
          return false;
        }
      });
      assert.deepEqual(open.map(({ name }) => name), [`${root}`], "all others are closed");
    } finally {
      closeDescriptor(root);
      Deno.removeSync(base, { recursive: true });
    }
  });
}

Deno.test("the limit of open files is the one that the kernel tells", () => {
  const limits = Deno.readTextFileSync("/proc/self/limits");
  const [, soft] = /^Max open files +(\S+)/m.exec(limits)!;
  assert.equal(descriptorLimit(), soft === "unlimited" ? 1 << 30 : Number(soft));
});
