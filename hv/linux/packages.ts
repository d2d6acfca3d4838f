/**
 * Debian packages, fetched with the host's `apt-get` without root or installing anything, and unpacked
 * into a cache: `${XDG_CACHE_HOME:-~/.cache}/hv/packages/<folder>`.
 *
 * A folder in the cache is always whole: a package is fetched and unpacked beside it and renamed. What
 * a killed run has left is removed by the next one.
 */

import { fileProblem } from "../core/file_problem.ts";
import { Apt, type Progress } from "./apt.ts";
import { PackageError } from "./package_error.ts";
import { runProgram } from "./program.ts";

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
/** Debian's current kernel for any computer: the one for virtual machines has no 9P. */
export const GENERAL_KERNEL: Package = {
  folder: "linux-amd64",
  name: "linux-image-amd64",
  dependency: "linux-image-",
};
/** All of busybox in one program without libraries. */
export const BUSYBOX: Package = { folder: "busybox-static", name: "busybox-static" };

/** What is not whole yet has this at the end of its name. */
export const PART = ".part";
/** Nobody works so long on a package: a day. */
const LEFTOVER_MS = 86_400_000;

/** Who is told, and who may end it. */
export interface FetchOptions {
  readonly progress?: Progress;
  /** Ends the fetching: nothing half is left, and the promise rejects with its reason. */
  readonly signal?: AbortSignal;
}

/** The cache's folder. @throws {PackageError} Where the environment names no place. */
export function packageCache(): string {
  const { HOME: home, XDG_CACHE_HOME: cache } = {
    HOME: Deno.env.get("HOME"),
    XDG_CACHE_HOME: Deno.env.get("XDG_CACHE_HOME"),
  };
  // Relative paths are to be ignored (XDG Base Directory Specification).
  if (cache?.startsWith("/")) return `${cache}/hv/packages`;
  if (home?.startsWith("/")) return `${home}/.cache/hv/packages`;
  throw new PackageError("neither XDG_CACHE_HOME nor HOME says where to keep it");
}

/** Where a package is unpacked, whether it is there or not. */
export const packageFolder = ({ folder }: Package): string => `${packageCache()}/${folder}`;

/**
 * Sees to it that a package is in the cache; its folder.
 *
 * @throws {PackageError}
 */
export async function fetchPackage(one: Package, options: FetchOptions = {}): Promise<string> {
  const { progress = () => {}, signal } = options;
  const target = packageFolder(one);
  if (await isThere(target)) return target;
  const cache = packageCache();
  let work: string | undefined;
  try {
    await Deno.mkdir(cache, { recursive: true });
    await removeLeftovers(cache);
    work = await Deno.makeTempDir({ dir: cache, prefix: `${one.folder}.`, suffix: PART });
    const apt = new Apt(`${cache}/apt`, progress, signal);
    const archive = await apt.download(await newest(apt, one), work);
    progress(`unpacking Debian's package ${one.name}`);
    await runProgram("dpkg-deb", ["-x", archive, `${work}/tree`], { signal });
    await moveTo(`${work}/tree`, target);
    return target;
  } catch (error) {
    signal?.throwIfAborted();
    const why = error instanceof PackageError ? error.message : fileProblem(error);
    const hint = /No space left on device/.test(why)
      ? `; make room in ${cache}, or set XDG_CACHE_HOME to another folder`
      : "";
    throw new PackageError(`cannot fetch Debian's package ${one.name}: ${why}${hint}`, {
      cause: error,
    });
  } finally {
    if (work !== undefined) await Deno.remove(work, { recursive: true }).catch(() => {});
  }
}

/** The package itself or, of one that only names the newest, that one. */
async function newest(apt: Apt, { name, dependency }: Package) {
  const record = await apt.find(name);
  if (dependency === undefined) return record;
  const found = record.depends.find((other) => other.startsWith(dependency));
  if (found === undefined) throw new PackageError(`it depends on no ${dependency}*`);
  return await apt.find(found);
}

/** Another process may have been as quick: what it has put there is as good. */
async function moveTo(tree: string, target: string): Promise<void> {
  try {
    await Deno.rename(tree, target);
  } catch (error) {
    if (!await isThere(target)) throw error;
  }
}

/** Removes what runs that were killed have left; what somebody may work on yet stays. */
async function removeLeftovers(cache: string): Promise<void> {
  for await (const { name } of Deno.readDir(cache)) {
    const path = `${cache}/${name}`;
    if (!name.endsWith(PART)) continue;
    const { mtime } = await Deno.stat(path).catch(() => ({ mtime: null }));
    if (mtime === null || Date.now() - mtime.getTime() < LEFTOVER_MS) continue;
    await Deno.remove(path, { recursive: true }).catch(() => {});
  }
}

async function isThere(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
