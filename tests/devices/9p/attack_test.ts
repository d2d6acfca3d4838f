/** What a guest, or another process of the host, may try to get out of a shared directory. */

import assert from "node:assert/strict";
import { Client, E, NinePError, refused, type Shared, u32, u64, withShare } from "./client.ts";

const RDWR = 2;
const TRUNC = 0o1000;

/** Fails unless what is outside of the share is as it was. */
function untouched({ outside }: Shared): void {
  assert.deepEqual([...Deno.readDirSync(outside)].map(({ name }) => name), ["secret"]);
  assert.equal(Deno.readTextFileSync(`${outside}/secret`), "secret");
  assert.equal(Deno.statSync(`${outside}/secret`).mode! & 0o7777, 0o644);
}

/** Runs `body` in a share beside whose directory another one must stay as it was. */
function attack(body: (shared: Shared) => void): void {
  withShare((shared) => {
    Deno.chmodSync(`${shared.outside}/secret`, 0o644);
    body(shared);
    untouched(shared);
  });
}

Deno.test("names that are paths, empty, '.', '..' or hold a NUL are refused everywhere", () => {
  attack(({ client, inside }) => {
    Deno.mkdirSync(`${inside}/d`);
    Deno.writeTextFileSync(`${inside}/f`, "");
    client.walk(0, 1, "d");
    client.walk(0, 2, "f");
    const names = ["", ".", "..", "/", "../outside", "d/../../outside", "/etc", "a\0b", "f/"];
    for (const name of names) {
      if (name !== "..") refused(() => client.walk(0, 9, name), E.INVAL);
      refused(() => client.mkdir(1, name), E.INVAL);
      refused(() => client.mknod(1, name, 0o100644), E.INVAL);
      refused(() => client.symlink(1, name, "x"), E.INVAL);
      refused(() => client.link(1, 2, name), E.INVAL);
      refused(() => client.rename(2, 1, name), E.INVAL);
      refused(() => client.renameat(0, "f", 1, name), E.INVAL);
      refused(() => client.renameat(0, name, 1, "g"), E.INVAL);
      refused(() => client.unlinkat(1, name), E.INVAL);
      refused(() => client.unlinkat(1, name, 0x200), E.INVAL);
      refused(() => client.create(1, name), E.INVAL);
    }
    refused(() => client.mkdir(0, "x".repeat(256)), 36);
    refused(() => client.symlink(0, "nul", "a\0b"), E.INVAL);
    assert.deepEqual([...Deno.readDirSync(`${inside}/d`)], []);
  });
});

Deno.test("'..' of the root is the root, from wherever and however often", () => {
  attack(({ client, inside }) => {
    Deno.mkdirSync(`${inside}/d`);
    const root = BigInt(Deno.statSync(inside).ino!);
    const [qid] = client.walk(0, 1, "..");
    assert.equal(qid.path, root);
    client.walk(0, 2, "d", "..", "..", "..", "d", "..", "..");
    assert.equal(client.getattr(2).qid.path, root);
    refused(() => client.walk(2, 3, "outside"), E.NOENT);
  });
});

Deno.test("symbolic links, absolute or relative, lead nowhere: not to walk, open, make or change", () => {
  attack((shared) => {
    const { client, outside } = shared;
    client.symlink(0, "absolute", outside);
    client.symlink(0, "relative", "../outside");
    client.symlink(0, "file", `${outside}/secret`);
    client.symlink(0, "proc", "/proc/self/root");
    for (const [i, name] of ["absolute", "relative", "file", "proc"].entries()) {
      const fid = 10 + i;
      const [qid] = client.walk(0, fid, name);
      assert.equal(qid.type, 0x02);
      // The walk ends at the link.
      assert.equal(client.walkSome(0, 99, name, "secret").length, 1);
      refused(() => client.walk(fid, 99, "secret"), E.NOTDIR, E.LOOP);
      refused(() => client.open(fid), E.NXIO);
      refused(() => client.open(fid, RDWR | TRUNC), E.NXIO);
      refused(() => client.setattr(fid, 8, { size: 0n }), E.NXIO);
      refused(() => client.setattr(fid, 1, { mode: 0o777 }), E.OPNOTSUPP);
      refused(() => client.mkdir(fid, "d"), E.NOTDIR, E.LOOP);
      refused(() => client.create(fid, "c"), E.NOTDIR, E.LOOP);
      refused(() => client.unlinkat(fid, "secret"), E.NOTDIR, E.LOOP);
      refused(() => client.renameat(fid, "secret", 0, "stolen"), E.NOTDIR, E.LOOP);
      // Making a file by a link's name opens the link, not what it points to.
      client.walk(0, 98);
      refused(() => client.create(98, name, { flags: RDWR | TRUNC }), E.NXIO);
      client.clunk(98);
    }
    // A hard link to a symbolic link is one more link.
    client.link(0, 12, "another");
    client.walk(0, 20, "another");
    assert.equal(client.readlink(20), `${outside}/secret`);
    untouched(shared);
  });
});

Deno.test("a directory that the host replaces by a link to elsewhere is gone for its fids", () => {
  attack((shared) => {
    const { client, inside, outside } = shared;
    Deno.mkdirSync(`${inside}/d/e`, { recursive: true });
    Deno.writeTextFileSync(`${inside}/d/secret`, "harmless");
    Deno.writeTextFileSync(`${inside}/f`, "");
    client.walk(0, 1, "d");
    client.walk(0, 2, "d", "secret");
    client.walk(0, 3, "d");
    client.open(3);
    client.walk(0, 4, "f");
    Deno.renameSync(`${inside}/d`, `${inside}/kept`);
    Deno.symlinkSync(outside, `${inside}/d`);
    const gone = [E.STALE, E.LOOP, E.NOTDIR];
    refused(() => client.walk(1, 9, "secret"), ...gone);
    refused(() => client.open(2), ...gone);
    refused(() => client.setattr(2, 8, { size: 0n }), ...gone);
    refused(() => client.getattr(2), ...gone);
    refused(() => client.mkdir(1, "x"), ...gone);
    refused(() => client.create(1, "x"), ...gone);
    refused(() => client.link(1, 4, "x"), ...gone);
    refused(() => client.rename(4, 1, "x"), ...gone);
    refused(() => client.renameat(1, "secret", 0, "stolen"), ...gone);
    refused(() => client.unlinkat(1, "secret"), ...gone);
    refused(() => client.readdir(3, 0n, 1000), ...gone);
    refused(() => client.remove(2), ...gone);
    untouched(shared);
  });
});

Deno.test("an open directory that is moved out of the share shows nothing of what is there", () => {
  attack((shared) => {
    const { client, inside, outside } = shared;
    Deno.mkdirSync(`${inside}/d/e`, { recursive: true });
    client.walk(0, 1, "d");
    client.walk(0, 2, "d");
    client.walk(0, 3, "d", "e");
    client.open(2);
    const moved = `${outside}-moved`;
    Deno.renameSync(`${inside}/d`, moved);
    Deno.writeTextFileSync(`${moved}/private`, "private");
    const gone = [E.NOENT, E.STALE];
    refused(() => client.readdir(2, 0n, 1000), ...gone);
    refused(() => client.walk(1, 9, "private"), ...gone);
  });
});

Deno.test("'..' of a directory that was moved out is where it was, not where it is", () => {
  attack(({ client, inside, outside }) => {
    Deno.mkdirSync(`${inside}/d/e`, { recursive: true });
    client.walk(0, 1, "d", "e");
    Deno.renameSync(`${inside}/d/e`, `${outside}-e`);
    const [qid] = client.walk(1, 2, "..");
    assert.equal(qid.path, BigInt(Deno.statSync(`${inside}/d`).ino!));
    Deno.removeSync(`${outside}-e`);
  });
});

Deno.test("set-user-ID and set-group-ID bits never reach the host, and device nodes neither", () => {
  attack(({ client, inside }) => {
    const modeOf = (name: string) => Deno.lstatSync(`${inside}/${name}`).mode! & 0o7777;
    client.walk(0, 1);
    client.create(1, "f", { mode: 0o6755 });
    assert.equal(modeOf("f"), 0o755);
    client.setattr(1, 1, { mode: 0o6755 });
    assert.equal(modeOf("f"), 0o755);
    client.walk(0, 2, "f");
    client.setattr(2, 1, { mode: 0o4711 });
    assert.equal(modeOf("f"), 0o711);
    client.mknod(0, "n", 0o106755);
    assert.equal(modeOf("n"), 0o755);
    client.mkdir(0, "d", 0o7755);
    assert.equal(modeOf("d"), 0o1755);
    refused(() => client.mknod(0, "null", 0o020666), E.PERM);
    refused(() => client.mknod(0, "disk", 0o060666), E.PERM);
    // Owners stay, and nobody complains: tar and cp go on.
    const { uid } = Deno.lstatSync(`${inside}/f`);
    client.setattr(2, 2 | 4, { uid: 12345 });
    assert.equal(Deno.lstatSync(`${inside}/f`).uid, uid);
  });
});

Deno.test("a set-user-ID program of the host loses the bit when the guest opens it for writing", () => {
  attack(({ client, inside }) => {
    const path = `${inside}/program`;
    Deno.writeTextFileSync(path, "program");
    Deno.chmodSync(path, 0o4755);
    client.walk(0, 1, "program");
    client.open(1);
    assert.equal(Deno.statSync(path).mode! & 0o7777, 0o4755);
    client.walk(0, 2, "program");
    client.open(2, RDWR);
    assert.equal(Deno.statSync(path).mode! & 0o7777, 0o755);
    // What the host has set of a directory decides whose its files are: it stays.
    Deno.mkdirSync(`${inside}/group`);
    Deno.chmodSync(`${inside}/group`, 0o2775);
    client.walk(0, 3, "group");
    client.setattr(3, 1, { mode: 0o700 });
    assert.equal(Deno.statSync(`${inside}/group`).mode! & 0o7777, 0o2700);
  });
});

Deno.test("a FIFO, a socket or a device in the share is not opened: nothing waits or is touched", () => {
  attack(({ client }) => {
    client.mknod(0, "fifo", 0o010600);
    client.mknod(0, "socket", 0o140600);
    for (const name of ["fifo", "socket"]) {
      client.walk(0, 1, name);
      refused(() => client.open(1), E.NXIO);
      refused(() => client.open(1, RDWR), E.NXIO);
      client.clunk(1);
      client.walk(0, 1);
      refused(() => client.create(1, name), E.NXIO);
      client.clunk(1);
    }
  });
});

Deno.test("huge counts and offsets give what there is, or an error", () => {
  attack(({ client, inside }) => {
    Deno.writeTextFileSync(`${inside}/f`, "text");
    client.walk(0, 1, "f");
    client.open(1, RDWR);
    assert.equal(client.read(1, 0, 0xffff_ffff).length, 4);
    assert.equal(client.read(1, 1n << 62n, 0xffff_ffff).length, 0);
    refused(() => client.read(1, (1n << 63n) - 1n, 0xffff_ffff), E.INVAL);
    refused(() => client.read(1, (1n << 64n) - 1n, 1), E.INVAL);
    refused(() => client.write(1, (1n << 63n) - 1n, "x"), 27, E.INVAL);
    client.walk(0, 2);
    client.open(2);
    assert.ok(client.readdir(2, 0n, 0xffff_ffff).length >= 3);
    // Where a file system takes any number as a place in a directory, there is nothing there.
    try {
      client.readdir(2, (1n << 63n) - 1n, 1000);
    } catch (error) {
      assert.ok(error instanceof NinePError);
    }
  });
});

Deno.test("a path deeper than the host can name is an error, not a crash", () => {
  attack(({ client }) => {
    const name = "n".repeat(250);
    let depth = 0;
    client.walk(0, 1);
    let error: unknown;
    for (; depth < 100 && error === undefined; depth++) {
      try {
        client.mkdir(1, name);
        client.walk(1, 1, name);
      } catch (thrown) {
        error = thrown;
      }
    }
    assert.ok(error instanceof NinePError && error.errno === 36, String(error));
    assert.ok(depth >= 15, `depth ${depth}`);
    client.walk(1, 2, "..");
  });
});

Deno.test("while another process swaps a directory with a link out of the share, nothing gets out", async () => {
  const base = Deno.makeTempDirSync({ prefix: "hv-share-race-" });
  const [inside, outside] = [`${base}/inside`, `${base}/outside`];
  for (const path of [`${inside}/real`, outside]) Deno.mkdirSync(path, { recursive: true });
  Deno.writeTextFileSync(`${inside}/real/secret`, "harmless");
  Deno.writeTextFileSync(`${outside}/secret`, "secret");
  Deno.symlinkSync(outside, `${inside}/link`);
  // "d" is the directory, then the link, and so on.
  const swaps = `cd "$1" && echo ready && while [ ! -e ../stop ]; do
    mv real d; mv d real; mv -T link d; mv -T d link; done`;
  const command = new Deno.Command("sh", {
    args: ["-c", swaps, "sh", inside],
    stdout: "piped",
  });
  await using attacker = command.spawn();
  const { HostTree } = await import("../../../devices/share/host_tree.ts");
  const { closeShare, openShare } = await import("../../../devices/share/open_share.ts");
  const handle = openShare({ path: inside });
  try {
    const output = attacker.stdout.getReader();
    await output.read();
    using tree = new HostTree(handle);
    const client = new Client(tree);
    client.version();
    client.attach(0);
    const attempt = (body: () => void) => {
      try {
        body();
      } catch (error) {
        if (!(error instanceof NinePError)) throw error;
      }
    };
    for (let round = 0; round < 1500; round++) {
      attempt(() => {
        client.walk(0, 1, "d");
        attempt(() => client.walk(1, 2, "secret"));
        attempt(() => client.open(2, RDWR));
        attempt(() => {
          const reply = client.ask(116, u32(2), u64(0), u32(100));
          assert.equal(new TextDecoder().decode(reply.bytes(reply.u32())), "harmless");
        });
        attempt(() => client.setattr(2, 1, { mode: 0o644 }));
        attempt(() => client.mkdir(1, "made"));
        attempt(() => client.unlinkat(1, "made", 0x200));
        attempt(() => client.symlink(1, "made", "x"));
        attempt(() => client.unlinkat(1, "made"));
        attempt(() => client.create(1, "made"));
        attempt(() => client.unlinkat(1, "made"));
      });
      attempt(() => client.clunk(2));
      attempt(() => client.clunk(1));
    }
    Deno.writeTextFileSync(`${base}/stop`, "");
    await output.cancel();
    await attacker.status;
    assert.deepEqual([...Deno.readDirSync(outside)].map(({ name }) => name), ["secret"]);
    assert.equal(Deno.readTextFileSync(`${outside}/secret`), "secret");
    client.server.reset();
  } finally {
    Deno.writeTextFileSync(`${base}/stop`, "");
    closeShare(handle);
    await attacker.status;
    Deno.removeSync(base, { recursive: true });
  }
});
