/** Fetching Debian's packages: what a user is told where they cannot be had, and that nothing half is left. */

import assert from "node:assert/strict";
import {
  fetchPackage,
  type Package,
  PackageError,
  packageFolder,
} from "../../hv/linux/packages.ts";

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

const KNOWN = 'case "$*" in *policy*) echo "  Candidate: 1.0";; *show*) echo "Size: 5";; esac';
const namesIn = (folder: string) => [...Deno.readDirSync(folder)].map(({ name }) => name).sort();

Deno.test("a package is downloaded, unpacked, and there as a whole; the next time at once", async () => {
  const programs = {
    "apt-cache": KNOWN,
    "apt-get": 'for last; do :; done; printf 12345 > "$last.deb"',
    "dpkg-deb": 'mkdir -p "$3/bin" && cp "$2" "$3/bin/program"',
  };
  await withPrograms(programs, async (cache) => {
    const seen: [number, number][] = [];
    const folder = await fetchPackage(ANY, (_name, bytes, total) => seen.push([bytes, total]));
    assert.equal(folder, packageFolder(ANY));
    assert.equal(Deno.readTextFileSync(`${folder}/bin/program`), "12345");
    assert.deepEqual([seen[0], seen.at(-1)], [[0, 5], [5, 5]]);
    assert.deepEqual(namesIn(cache), ["some-package"]);
    await fetchPackage(ANY, () => assert.fail("fetched again"));
  });
});

Deno.test("where there is no apt, that is what is said", async () => {
  await withPrograms({}, async (cache) => {
    await assert.rejects(fetchPackage(ANY), (error: Error) => {
      assert.ok(error instanceof PackageError);
      assert.equal(error.message, "apt-cache is not here: this is no Debian-family host");
      return true;
    });
    assert.deepEqual(namesIn(cache), []);
  });
});

Deno.test("a download that fails leaves nothing and tells apt's reason", async () => {
  const programs = {
    "apt-cache": KNOWN,
    "apt-get":
      'printf 12 > half.deb; echo "W: nothing"; echo "E: Failed to fetch it" >&2; exit 100',
  };
  await withPrograms(programs, async (cache) => {
    await assert.rejects(fetchPackage(ANY), /apt-get download: E: Failed to fetch it/);
    assert.deepEqual(namesIn(cache), []);
  });
});

Deno.test("a full disk while unpacking leaves nothing and is told", async () => {
  const programs = {
    "apt-cache": KNOWN,
    "apt-get": "printf 12345 > p.deb",
    "dpkg-deb": 'echo "dpkg-deb: error: failed to write (No space left on device)" >&2; exit 2',
  };
  await withPrograms(programs, async (cache) => {
    await assert.rejects(fetchPackage(ANY), /No space left on device/);
    assert.deepEqual(namesIn(cache), []);
  });
});

Deno.test("a host without lists of packages gets lists of hv's own, once", async () => {
  const programs = {
    // Known only with the lists that `update` has made.
    "apt-cache": 'case "$*" in *policy*) for o; do case $o in Dir::State::lists=*) ' +
      '[ -e "${o#*=}/made" ] && echo "Candidate: 1";; esac; done;; *show*) echo "Size: 5";; esac',
    "apt-get": 'case "$*" in *update*) for o; do case $o in Dir::State::lists=*) ' +
      'touch "${o#*=}/made";; esac; done;; *) printf 12345 > p.deb;; esac',
    "dpkg-deb": 'mkdir "$3"',
  };
  await withPrograms(programs, async (cache) => {
    await fetchPackage(ANY);
    assert.deepEqual(namesIn(cache), ["apt", "some-package"]);
  });
});

Deno.test("what a killed run has left is removed, what a live one works on is not", async () => {
  const programs = {
    "apt-cache": KNOWN,
    "apt-get": "printf 12345 > p.deb",
    "dpkg-deb": 'mkdir "$3"',
  };
  await withPrograms(programs, async (cache) => {
    Deno.mkdirSync(`${cache}/other.999999999.part`, { recursive: true });
    Deno.mkdirSync(`${cache}/other.1.part`);
    await fetchPackage(ANY);
    assert.deepEqual(namesIn(cache), ["other.1.part", "some-package"]);
  });
});
