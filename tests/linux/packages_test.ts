/** Fetching Debian's packages: what a user is told where they cannot be had, and that nothing half is left. */

import assert from "node:assert/strict";
import {
  fetchPackage,
  type Package,
  packageCache,
  packageFolder,
} from "../../hv/linux/packages.ts";
import { PackageError } from "../../hv/linux/package_error.ts";

const ANY: Package = { folder: "some-package", name: "some-package" };

/** Runs `body` with a cache of its own and programs in the place of apt's and dpkg's. */
async function withPrograms(
  programs: Record<string, string>,
  body: (cache: string) => Promise<void>,
): Promise<void> {
  const directory = Deno.makeTempDirSync({ prefix: "hv-test-" });
  const { PATH: path = "", XDG_CACHE_HOME: cache } = Deno.env.toObject();
  try {
    for (const [name, script] of Object.entries(programs)) {
      Deno.writeTextFileSync(`${directory}/${name}`, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    }
    Deno.env.set("PATH", "apt-get" in programs ? `${directory}:${path}` : directory);
    Deno.env.set("XDG_CACHE_HOME", `${directory}/cache`);
    await body(`${directory}/cache/hv/packages`);
  } finally {
    Deno.env.set("PATH", path);
    if (cache === undefined) Deno.env.delete("XDG_CACHE_HOME");
    else Deno.env.set("XDG_CACHE_HOME", cache);
    Deno.removeSync(directory, { recursive: true });
  }
}

/** What apt-cache says of a package of 5 bytes, and of no other. */
const KNOWN = 'case "$*" in *some-package) echo "Size: 5";; ' +
  '*) echo "E: No packages found" >&2; exit 100;; esac';
const namesIn = (folder: string) => [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
const UNPACK = { "dpkg-deb": 'mkdir -p "$3/bin" && cp "$2" "$3/bin/program"' };
const DOWNLOAD = "printf 12345 > p.deb";

Deno.test("a package is downloaded, unpacked, and there as a whole; the next time at once", async () => {
  const programs = { ...UNPACK, "apt-cache": KNOWN, "apt-get": DOWNLOAD };
  await withPrograms(programs, async (cache) => {
    const seen: string[] = [];
    const folder = await fetchPackage(ANY, {
      progress: (what, done) => seen.push(done ? `${what} ${done.bytes}/${done.total}` : what),
    });
    assert.equal(folder, packageFolder(ANY));
    assert.equal(Deno.readTextFileSync(`${folder}/bin/program`), "12345");
    assert.deepEqual([seen[0], seen[1], ...seen.slice(-2)], [
      "looking for Debian's package some-package",
      "fetching Debian's package some-package 0/5",
      "fetching Debian's package some-package 5/5",
      "unpacking Debian's package some-package",
    ]);
    assert.deepEqual(namesIn(cache), ["some-package"]);
    await fetchPackage(ANY, { progress: () => assert.fail("fetched again") });
  });
});

Deno.test("of a package that names the newest, the one that it names is taken", async () => {
  const programs = {
    ...UNPACK,
    "apt-cache": 'case "$*" in *newest) echo "Depends: other | b, some-package-7 (= 7)"; ' +
      'echo "Size: 1";; *-7) echo "Size: 5";; esac',
    "apt-get": `for last; do :; done; [ "$last" = some-package-7 ] && ${DOWNLOAD}`,
  };
  const newest = { folder: "some-package", name: "newest", dependency: "some-package-" };
  await withPrograms(programs, async (cache) => {
    await fetchPackage(newest);
    assert.deepEqual(namesIn(cache), ["some-package"]);
    await assert.rejects(
      fetchPackage({ ...newest, folder: "x", dependency: "nothing-" }),
      /cannot fetch Debian's package newest: it depends on no nothing-\*/,
    );
  });
});

Deno.test("where there is no apt, that is what is said", async () => {
  await withPrograms({}, async (cache) => {
    await assert.rejects(fetchPackage(ANY), (error: Error) => {
      assert.ok(error instanceof PackageError);
      assert.match(error.message, /some-package: apt-cache is not here: this is no Debian-family/);
      return true;
    });
    assert.deepEqual(namesIn(cache), []);
  });
});

Deno.test("a download that fails leaves nothing and tells apt's reason", async () => {
  const programs = {
    "apt-cache": KNOWN,
    "apt-get":
      'printf 12 > half.deb; (echo "W: nothing"; echo "E: Failed to fetch it"; echo x) >&2; exit 100',
  };
  await withPrograms(programs, async (cache) => {
    await assert.rejects(fetchPackage(ANY), /some-package: apt-get: Failed to fetch it$/);
    assert.deepEqual(namesIn(cache), []);
  });
});

Deno.test("a full disk while unpacking leaves nothing, and is told with what to do", async () => {
  const programs = {
    "apt-cache": KNOWN,
    "apt-get": DOWNLOAD,
    // What dpkg-deb 1.21 prints then.
    "dpkg-deb": '(echo "tar: ./boot/x: Cannot write: No space left on device"; ' +
      'echo "dpkg-deb: error: tar subprocess returned error exit status 2") >&2; exit 2',
  };
  await withPrograms(programs, async (cache) => {
    await assert.rejects(
      fetchPackage(ANY),
      /dpkg-deb: tar: .* No space left on device; make room in .* or set XDG_CACHE_HOME/,
    );
    assert.deepEqual(namesIn(cache), []);
  });
});

Deno.test("a host without lists of packages gets lists of hv's own, once", async () => {
  const programs = {
    ...UNPACK,
    // Known only with the lists that `update` has made.
    "apt-cache": 'for o; do case $o in Dir::State::lists=*) [ -e "${o#*=}/made" ] && ' +
      'echo "Size: 5" && exit;; esac; done; echo "E: No packages found" >&2; exit 100',
    "apt-get": 'case "$*" in *update*) for o; do case $o in Dir::State::lists=*) ' +
      `touch "\${o#*=}/made";; esac; done;; *) ${DOWNLOAD};; esac`,
  };
  await withPrograms(programs, async (cache) => {
    const updates = async (folder: string) => {
      const seen: string[] = [];
      await fetchPackage({ ...ANY, folder }, { progress: (what) => seen.push(what) });
      return seen.filter((what) => what === "fetching Debian's lists of packages").length;
    };
    assert.equal(await updates("first"), 1);
    assert.equal(await updates("second"), 0);
    assert.deepEqual(namesIn(cache), ["apt", "first", "second"]);
  });
});

Deno.test("a package that the host's sources do not have is told", async () => {
  await withPrograms({ "apt-cache": KNOWN, "apt-get": "true" }, async () => {
    await assert.rejects(
      fetchPackage({ folder: "x", name: "no-such" }),
      /package no-such: this host's package sources do not have it/,
    );
  });
});

Deno.test("what a killed run has left a day ago is removed, what is newer is not", async () => {
  const programs = { ...UNPACK, "apt-cache": KNOWN, "apt-get": DOWNLOAD };
  await withPrograms(programs, async (cache) => {
    const old = new Date(Date.now() - 25 * 3600_000);
    Deno.mkdirSync(`${cache}/old.x.part/tree`, { recursive: true });
    Deno.utimeSync(`${cache}/old.x.part`, old, old);
    Deno.mkdirSync(`${cache}/new.x.part`);
    await fetchPackage(ANY);
    assert.deepEqual(namesIn(cache), ["new.x.part", "some-package"]);
  });
});

Deno.test("of two runs at once both have the package in the end, and nothing else is left", async () => {
  const programs = { ...UNPACK, "apt-cache": KNOWN, "apt-get": `sleep 0.2; ${DOWNLOAD}` };
  await withPrograms(programs, async (cache) => {
    const folders = await Promise.all([fetchPackage(ANY), fetchPackage(ANY)]);
    assert.deepEqual(folders, [packageFolder(ANY), packageFolder(ANY)]);
    assert.equal(Deno.readTextFileSync(`${folders[0]}/bin/program`), "12345");
    assert.deepEqual(namesIn(cache), ["some-package"]);
  });
});

Deno.test("a fetch that is ended ends apt, too, and leaves nothing", async () => {
  const programs = {
    "apt-cache": KNOWN,
    "apt-get": "echo $$ > pid.deb; exec sleep 60",
  };
  await withPrograms(programs, async (cache) => {
    const stop = new AbortController();
    let pid = 0;
    const fetching = fetchPackage(ANY, {
      signal: stop.signal,
      progress: (_, done) => {
        if (done?.bytes === undefined || done.bytes === 0) return;
        const work = namesIn(cache).find((name) => name.endsWith(".part"));
        pid = Number(Deno.readTextFileSync(`${cache}/${work}/pid.deb`));
        stop.abort(new Error("enough"));
      },
    });
    await assert.rejects(fetching, /^Error: enough$/);
    assert.ok(pid > 0);
    assert.throws(() => Deno.statSync(`/proc/${pid}`), Deno.errors.NotFound);
    assert.deepEqual(namesIn(cache), []);
  });
});

Deno.test("a cache folder that is not absolute is ignored, and without any there is a reason", () => {
  const { HOME: home = "", XDG_CACHE_HOME: cache } = Deno.env.toObject();
  try {
    Deno.env.set("XDG_CACHE_HOME", "relative");
    Deno.env.set("HOME", "/home/somebody");
    assert.equal(packageCache(), "/home/somebody/.cache/hv/packages");
    Deno.env.delete("HOME");
    assert.throws(packageCache, /neither XDG_CACHE_HOME nor HOME/);
  } finally {
    Deno.env.set("HOME", home);
    if (cache === undefined) Deno.env.delete("XDG_CACHE_HOME");
    else Deno.env.set("XDG_CACHE_HOME", cache);
  }
});
