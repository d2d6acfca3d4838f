/** Debian's kernel with its own 9P client on shared directories. */

import assert from "node:assert/strict";
import { GENERAL_KERNEL } from "../../hv/linux/packages.ts";
import { guestTest, inTurn, PATIENCE_MS } from "../support/guest/guests.ts";
import { LinuxGuest, linuxGuest } from "../support/guest/linux_guest.ts";
import { linuxToTry } from "../../hv/linux/mod.ts";
import { Machine } from "../../hv/mod.ts";

/** Runs `body` with a directory that is gone afterwards. */
async function inDirectory(
  body: (directory: string) => Promise<void>,
): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "hv-test-share-" });
  try {
    await body(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

const XATTR_PROGRAM = new URL("./xattr_program.c", import.meta.url).pathname;

/** A command that mounts a share. */
const mount = (tag: string, at: string, options = "version=9p2000.L") =>
  `mount -t 9p -o trans=virtio,${options} ${tag} ${at}`;

const md5 = async (path: string) => {
  const { stdout } = await new Deno.Command("md5sum", { args: [path] })
    .output();
  return new TextDecoder().decode(stdout).slice(0, 32);
};

/** All that is done to files, from either side. */
async function bothWays(guest: LinuxGuest, directory: string): Promise<void> {
  await Deno.writeTextFile(`${directory}/host.txt`, "from the host\n");
  await Deno.mkdir(`${directory}/many`);
  for (let i = 0; i < 300; i++) {
    await Deno.writeTextFile(`${directory}/many/${i}`, `${i}\n`);
  }
  await guest.run(mount("src", "/mnt"));

  assert.equal(await guest.run("cat /mnt/host.txt"), "from the host");
  assert.equal(await guest.run("ls /mnt/many | wc -l"), "300");
  assert.equal(
    await guest.run("cat /mnt/many/* | awk '{s+=$1} END {print s}'"),
    "44850",
  );

  await guest.run(
    "echo from the guest > /mnt/guest.txt && chmod 600 /mnt/guest.txt",
  );
  assert.equal(
    await Deno.readTextFile(`${directory}/guest.txt`),
    "from the guest\n",
  );
  assert.equal(
    (await Deno.stat(`${directory}/guest.txt`)).mode! & 0o7777,
    0o600,
  );
  await guest.run("echo more >> /mnt/guest.txt");
  assert.equal(
    await Deno.readTextFile(`${directory}/guest.txt`),
    "from the guest\nmore\n",
  );

  await guest.run("mkdir -p /mnt/a/b/c && mv /mnt/guest.txt /mnt/a/b/c/moved");
  await guest.run("cd /mnt/a/b && mv c ../c && cat ../c/moved && cd");
  await guest.run(
    "ln -s ../c/moved /mnt/a/b/link && ln /mnt/a/c/moved /mnt/hard",
  );
  assert.equal(await guest.run("cat /mnt/a/b/link"), "from the guest\nmore");
  assert.equal(await Deno.readLink(`${directory}/a/b/link`), "../c/moved");
  assert.equal((await Deno.stat(`${directory}/hard`)).nlink, 2);
  await guest.run("rm -r /mnt/a /mnt/hard");

  // While the guest has it mounted.
  await Deno.writeTextFile(`${directory}/host.txt`, "changed\n");
  await Deno.writeTextFile(`${directory}/new.txt`, "new\n");
  await Deno.remove(`${directory}/many`, { recursive: true });
  assert.equal(
    await guest.run("cat /mnt/host.txt /mnt/new.txt"),
    "changed\nnew",
  );
  assert.equal(await guest.run("ls -1 /mnt"), "host.txt\nnew.txt");
  await Deno.rename(`${directory}/new.txt`, `${directory}/host.txt`);
  assert.equal(await guest.run("cat /mnt/host.txt"), "new");

  await guest.run("touch -d '2001-02-03 04:05:06' /mnt/host.txt");
  const { mtime } = await Deno.stat(`${directory}/host.txt`);
  assert.equal(mtime!.toISOString(), "2001-02-03T04:05:06.000Z");
  // An open file goes on without a name.
  await guest.run(
    "exec 5<>/mnt/host.txt && rm /mnt/host.txt && cat <&5 && exec 5>&-",
  );
  assert.match(await guest.run("df -T /mnt | tail -n 1"), /^src +9p/);
  await guest.run("umount /mnt");
  assert.deepEqual([...Deno.readDirSync(directory)], []);
}

/** 8 MiB there and back, uncached, with large messages, and cached. */
async function largeFiles(guest: LinuxGuest, directory: string): Promise<void> {
  const data = new Uint8Array(8 << 20);
  for (let i = 0; i < data.length; i += 65536) {
    crypto.getRandomValues(data.subarray(i, i + 65536));
  }
  await Deno.writeFile(`${directory}/large`, data);
  const sum = await md5(`${directory}/large`);
  await guest.run(mount("src", "/mnt", "version=9p2000.L,msize=262144"));
  assert.equal((await guest.run("md5sum /mnt/large")).slice(0, 32), sum);
  await guest.run("cp /mnt/large /mnt/copy && sync");
  assert.equal(await md5(`${directory}/copy`), sum);
  await guest.run(`umount /mnt && ${mount("src", "/mnt", "cache=loose")}`);
  assert.equal((await guest.run("md5sum /mnt/copy")).slice(0, 32), sum);
  await guest.run(
    "cp /mnt/copy /mnt/cached && dd if=/dev/zero of=/mnt/cached bs=4k count=3 conv=notrunc seek=100 2>/dev/null; umount /mnt",
  );
  const cached = await Deno.readFile(`${directory}/cached`);
  data.fill(0, 409600, 421888);
  assert.equal(cached.length, data.length);
  assert.ok(cached.every((byte, i) => byte === data[i]));
}

/** Told apart by their tags; links and writes go nowhere else. */
async function severalShares(
  guest: LinuxGuest,
  directory: string,
  other: string,
): Promise<void> {
  await Deno.writeTextFile(`${directory}/name`, "one\n");
  await Deno.writeTextFile(`${other}/name`, "two\n");
  await Deno.symlink("../two/name", `${directory}/escape`);
  await guest.run(mount("src", "/mnt"));
  assert.equal(await guest.run("cat /mnt/name"), "one");
  // A symbolic link means the guest's own files.
  assert.match(await guest.run("cat /mnt/escape 2>&1 || true"), /No such file/);
  await guest.run(`mkdir /two && ${mount("other", "/two")}`);
  assert.equal(await guest.run("cat /two/name"), "two");
  for (
    const change of [
      "touch /two/x",
      "rm /two/name",
      "mkdir /two/d",
      "echo > /two/name",
    ]
  ) {
    assert.match(
      await guest.run(`${change} 2>&1 || true`),
      /Read-only file system/,
      change,
    );
  }
  assert.match(
    await guest.run(`${mount("nothing", "/root")} 2>&1 || true`),
    /No such file/,
  );
  assert.equal(await Deno.readTextFile(`${other}/name`), "two\n");
}

/** On the share that is mounted; a program for it is compiled into it, where the host has a compiler and such attributes. */
async function attributes(guest: LinuxGuest, directory: string): Promise<void> {
  const path = `${directory}/has-attributes`;
  await Deno.writeTextFile(path, "");
  const args = ["-static", "-o", `${directory}/xattr`, XATTR_PROGRAM];
  const gcc = await new Deno.Command("gcc", { args }).output().catch(() => undefined);
  if (gcc?.success !== true) return console.log("skipped: gcc does not run");
  const onHost = (...args: string[]) =>
    new Deno.Command(`${directory}/xattr`, { args }).outputSync();
  if (!onHost("set", path, "user.host", "from the host").success) {
    return console.log(`skipped: the file system of ${directory} has no extended attributes`);
  }
  const file = "/mnt/has-attributes";
  assert.equal(await guest.run(`/mnt/xattr get ${file} user.host`), "from the host");
  await guest.run(`/mnt/xattr set ${file} user.guest 'from the guest'`);
  const { stdout } = onHost("get", path, "user.guest");
  assert.equal(new TextDecoder().decode(stdout), "from the guest");
  const names = (await guest.run(`/mnt/xattr list ${file}`)).trim().split(" ").sort();
  assert.deepEqual(names, ["user.guest", "user.host"]);
  await guest.run(`/mnt/xattr remove ${file} user.host`);
  assert.ok(!onHost("get", path, "user.host").success);
  assert.match(
    await guest.run(`/mnt/xattr set ${file} trusted.x y 2>&1 || true`),
    /Operation not supported/,
  );
}

guestTest("a stock Linux kernel on shared directories", [
  {
    name: "reads and writes them with its own client",
    needs: linuxGuest(GENERAL_KERNEL),
    accelerator: "soft",
    body: (t) =>
      inDirectory(async (directory) => {
        const [one, two] = [`${directory}/one`, `${directory}/two`];
        await Deno.mkdir(one);
        await Deno.mkdir(two);
        await using guest = await LinuxGuest.start({
          kernelPackage: GENERAL_KERNEL,
          modules: ["virtio_pci", "9pnet_virtio", "9p"],
          share: [{ path: two, tag: "other", readOnly: true }, {
            path: one,
            tag: "src",
          }],
        });
        await inTurn(t, {
          "files, links, permissions and renames go both ways, and the guest sees the host's changes":
            () => bothWays(guest, one),
          "large files have the same checksum on both sides, in cached and uncached mounts": () =>
            largeFiles(guest, one),
          "several shares are told apart by their tags, and a read-only one refuses all changes":
            () => severalShares(guest, one, two),
          "extended attributes of users go both ways": () => attributes(guest, one),
          "a directory that is attached is mounted, used and let go": async () => {
            const machine = guest.machine;
            const share = { path: two, tag: "hot" };
            const attachment = await machine.attach({ share });
            await guest.run(
              `mkdir /hot; until ${mount("hot", "/hot")} 2>/dev/null; do sleep 0.1; done`,
            );
            await guest.run("echo hot > /hot/written && umount /hot");
            assert.equal(await Deno.readTextFile(`${two}/written`), "hot\n");
            await machine.detach(attachment, { timeoutMs: PATIENCE_MS });
          },
          "it powers off": () => guest.powerOff(),
        });
      }),
  },
  {
    name: "hv boot's Linux mounts shared directories below /mnt, by their tags",
    needs: linuxGuest(GENERAL_KERNEL),
    accelerator: "soft",
    body: () =>
      inDirectory(async (directory) => {
        await Deno.writeTextFile(`${directory}/text`, "from the host\n");
        const { prompt, ...linux } = await linuxToTry({ hasShares: true });
        const share = { path: directory, tag: "my-files" };
        await using machine = await Machine.start({
          ...linux,
          share,
          accelerator: "soft",
        });
        const expect = (pattern: string | RegExp) =>
          machine.console.expect(pattern, { timeoutMs: 5 * PATIENCE_MS });
        await expect(prompt);
        machine.console.send(
          "cat /mnt/my-files/text; echo answer > /mnt/my-files/answer\n",
        );
        await expect(/\nfrom the host\r?\n/);
        await expect(prompt);
        assert.equal(
          await Deno.readTextFile(`${directory}/answer`),
          "answer\n",
        );
      }),
  },
]);
