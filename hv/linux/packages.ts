/**
 * Debian packages, fetched with the host's `apt-get` without root or installing anything, and unpacked
 * into a cache: `${XDG_CACHE_HOME:-~/.cache}/hv/packages/<folder>`.
 *
 * A folder in the cache is always whole: a package is fetched and unpacked beside it and renamed. What
 * an interrupted run has left is removed by the next one.
 */

/** A package and its folder in the cache. */
export interface Package {
  readonly folder: string;
  readonly name: string;
  /** Take its first dependency that begins so in its place, as for a package that names the newest. */
  readonly dependency?: string;
}

/** Debian's current kernel for virtual machines, with its modules. */
export const KERNEL: Package = {
  folder: "linux-cloud-amd64",
  name: "linux-image-cloud-amd64",
  dependency: "linux-image-",
};
/** All of busybox in one program without libraries. */
export const BUSYBOX: Package = { folder: "busybox-static", name: "busybox-static" };

/** What cannot be had, in one line: no apt-get, no such package, no network, no room. */
export class PackageError extends Error {
  override readonly name = "PackageError";
}

/** Told how a package comes along: bytes so far, and in all (0 where that is not known). */
export type Progress = (name: string, bytes: number, total: number) => void;

const PART = ".part";
const PROGRESS_MS = 100;

/** The cache's folder. */
export function packageCache(): string {
  const base = Deno.env.get("XDG_CACHE_HOME") || `${Deno.env.get("HOME") || "/tmp"}/.cache`;
  return `${base}/hv/packages`;
}

/** Where a package is unpacked, whether it is there or not. */
export const packageFolder = ({ folder }: Package): string => `${packageCache()}/${folder}`;

/**
 * Sees to it that a package is in the cache; its folder.
 *
 * @throws {PackageError}
 */
export async function fetchPackage(one: Package, progress: Progress = () => {}): Promise<string> {
  const target = packageFolder(one);
  if (await isThere(target)) return target;
  const work = `${target}.${Deno.pid}${PART}`;
  try {
    await Deno.mkdir(packageCache(), { recursive: true });
    await removeLeftovers(packageCache());
    await Deno.mkdir(work);
    const apt = await Apt.open(`${packageCache()}/apt`, one.name);
    const name = one.dependency === undefined
      ? one.name
      : await apt.dependency(one.name, one.dependency);
    const archive = await apt.download(name, work, progress);
    await run("dpkg-deb", ["-x", archive, `${work}/tree`]);
    await Deno.rename(`${work}/tree`, target);
    return target;
  } catch (error) {
    if (error instanceof PackageError) throw error;
    throw new PackageError(`Cannot fetch ${one.name}: ${(error as Error).message}`, {
      cause: error,
    });
  } finally {
    await Deno.remove(work, { recursive: true }).catch(() => {});
  }
}

/** The host's apt, with its lists of packages or, where it has none, with lists of our own. */
class Apt {
  readonly #options: readonly string[];

  private constructor(options: readonly string[]) {
    this.#options = options;
  }

  static async open(state: string, name: string): Promise<Apt> {
    const hosts = new Apt([]);
    if (await hosts.#knows(name)) return hosts;
    // A new container has no lists, and only root may fetch the host's.
    await Deno.mkdir(`${state}/lists/partial`, { recursive: true });
    await Deno.mkdir(`${state}/cache/archives/partial`, { recursive: true });
    const own = new Apt([
      "-o",
      `Dir::State::lists=${state}/lists`,
      "-o",
      `Dir::Cache=${state}/cache`,
    ]);
    await run("apt-get", [...own.#options, "update", "-qq"]);
    if (await own.#knows(name)) return own;
    throw new PackageError(`Cannot fetch ${name}: this host's package sources do not have it`);
  }

  async #knows(name: string): Promise<boolean> {
    const policy = await run("apt-cache", [...this.#options, "policy", name]);
    return /Candidate: (?!\(none\))/.test(policy);
  }

  /** The first dependency of a package that begins with `prefix`. */
  async dependency(name: string, prefix: string): Promise<string> {
    const depends = await run("apt-cache", [
      ...this.#options,
      ...["depends", "--no-recommends", name],
    ]);
    const found = [...depends.matchAll(/Depends: (\S+)/g)].map(([, package_]) => package_)
      .find((package_) => package_.startsWith(prefix));
    if (found === undefined) throw new PackageError(`${name} depends on no ${prefix}*`);
    return found;
  }

  /** Downloads into `folder`, which is empty; the archive's path. */
  async download(name: string, folder: string, progress: Progress): Promise<string> {
    const shown = await run("apt-cache", [...this.#options, "show", "--no-all-versions", name]);
    const total = Number(/^Size: (\d+)$/m.exec(shown)?.[1] ?? 0);
    progress(name, 0, total);
    const timer = setInterval(() => progress(name, sizeOf(folder), total), PROGRESS_MS);
    try {
      await run("apt-get", [...this.#options, "download", "-qq", name], folder);
    } finally {
      clearInterval(timer);
    }
    const archive = [...Deno.readDirSync(folder)].find((entry) => entry.name.endsWith(".deb"));
    if (archive === undefined) throw new PackageError(`apt-get has downloaded no ${name}`);
    progress(name, total, total);
    return `${folder}/${archive.name}`;
  }
}

/** Runs a program to its end; what it printed. */
async function run(program: string, args: readonly string[], cwd?: string): Promise<string> {
  const { success, stdout, stderr } = await output(program, args, cwd);
  if (success) return new TextDecoder().decode(stdout);
  const lines = new TextDecoder().decode(stderr).trim().split("\n");
  const why = lines.find((line) => /^(E:|dpkg)/.test(line)) ?? lines.at(-1) ?? "";
  throw new PackageError(`${program} ${args.find((arg) => /^[a-z]/.test(arg)) ?? ""}: ${why}`);
}

async function output(
  program: string,
  args: readonly string[],
  cwd: string | undefined,
): Promise<Deno.CommandOutput> {
  try {
    const env = { LC_ALL: "C" };
    return await new Deno.Command(program, { args: [...args], cwd, stdin: "null", env }).output();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new PackageError(`${program} is not here: this is no Debian-family host`);
  }
}

/** Removes what runs that were killed have left; what a live process works on stays. */
async function removeLeftovers(cache: string): Promise<void> {
  for await (const { name } of Deno.readDir(cache)) {
    const pid = /\.(\d+)\.part$/.exec(name)?.[1];
    if (pid === undefined || Number(pid) === Deno.pid || await isThere(`/proc/${pid}`)) continue;
    await Deno.remove(`${cache}/${name}`, { recursive: true }).catch(() => {});
  }
}

function sizeOf(folder: string): number {
  let bytes = 0;
  try {
    for (const entry of Deno.readDirSync(folder)) {
      if (entry.isFile) bytes += Deno.statSync(`${folder}/${entry.name}`).size;
    }
  } catch {
    // A file was renamed meanwhile.
  }
  return bytes;
}

async function isThere(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
