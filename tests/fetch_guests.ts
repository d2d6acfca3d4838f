/**
 * Fetches the guests that tests boot but that this repository does not carry: Debian packages, by
 * name, unpacked without root into `${XDG_CACHE_HOME:-~/.cache}/hv-tests/<name>`. What is already
 * there stays. Tests that miss a guest are skipped and say so.
 *
 *     deno run -A tests/fetch_guests.ts
 */

import { guestCache } from "./support/guest_cache.ts";

/** Folder in the cache, and the package; with `dependency`, its first dependency that begins so. */
const PACKAGES = [
  { folder: "linux-cloud-amd64", name: "linux-image-cloud-amd64", dependency: "linux-image-" },
  { folder: "busybox-static", name: "busybox-static" },
  { folder: "isolinux", name: "isolinux" },
  { folder: "syslinux-common", name: "syslinux-common" },
] as const satisfies readonly { folder: string; name: string; dependency?: string }[];

async function run(program: string, args: string[], cwd?: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args, cwd }).output();
  if (success) return new TextDecoder().decode(stdout);
  throw new Error(`${program} ${args.join(" ")} failed: ${new TextDecoder().decode(stderr)}`);
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** The first dependency of a package that begins with `prefix`. */
async function dependencyOf(name: string, prefix: string): Promise<string> {
  const depends = await run("apt-cache", ["depends", "--no-recommends", name]);
  const found = depends.matchAll(/Depends: (\S+)/g).map(([, package_]) => package_)
    .find((package_) => package_.startsWith(prefix));
  if (found === undefined) throw new Error(`${name} depends on no ${prefix}*`);
  return found;
}

for (const { folder, name, ...rest } of PACKAGES) {
  const target = `${guestCache()}/${folder}`;
  if (await exists(target)) {
    console.log(`${target} is there`);
    continue;
  }
  const real = "dependency" in rest ? await dependencyOf(name, rest.dependency) : name;
  const work = await Deno.makeTempDir({ prefix: "hv-fetch-" });
  try {
    await run("apt-get", ["download", real], work);
    const [archive] = [...Deno.readDirSync(work)].filter((e) => e.name.endsWith(".deb"));
    await run("dpkg-deb", ["-x", `${work}/${archive.name}`, `${work}/tree`]);
    await Deno.mkdir(guestCache(), { recursive: true });
    // Copied aside and renamed, so that a folder in the cache is always whole.
    await run("cp", ["-r", `${work}/tree`, `${target}.part`]);
    await Deno.rename(`${target}.part`, target);
    console.log(`${target}: ${real}`);
  } finally {
    await Deno.remove(work, { recursive: true });
  }
}
