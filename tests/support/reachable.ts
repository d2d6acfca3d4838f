/**
 * Deno and hv where every user of the host can reach them: for tests that run something as another user, or
 * as a root that obeys permissions.
 *
 * Where root's home directory, the checkout, or what lies above them is closed (modes 700, a umask of 077,
 * another owner), another user can run neither npm's copy of Deno nor the program. So both are copied,
 * Deno linked where it can be, with a module cache that anybody may write to.
 */

import { Scratch } from "./hv_process.ts";

/** Linux's `nobody`: no other process's user here. */
export const NOBODY = 65534;

const ROOT = new URL("../../", import.meta.url).pathname;
/** What of the checkout a running hv reads. */
const PROGRAM = ["main.ts", "deno.json", "hv", "devices", "bios"];
const ANYBODY_MAY_WRITE = 0o1777;

/** Where such a copy may lie, the first that everybody reaches: TMPDIR is often a user's own. */
const PLACES: readonly string[] = [
  Deno.env.get("TMPDIR") || "/tmp",
  "/tmp",
  "/var/tmp",
  "/dev/shm",
];

/** Why this process cannot run another as `NOBODY`, or "". */
export function otherUserProblem(): string {
  if (Deno.uid() !== 0) return "only root can become another user";
  try {
    // Not here: that user may not be let into the checkout.
    new Deno.Command("true", { cwd: "/", uid: NOBODY, gid: NOBODY }).outputSync();
    return "";
  } catch (error) {
    return `no other user can be become here: ${(error as Error).message}`;
  }
}

/** A directory that every user can reach, with Deno and hv in it; it goes with this object. */
export class Reachable implements Disposable {
  /** For files of the test: anybody may make some in it. */
  readonly path: string;
  /** Deno's program. */
  readonly deno: string;
  /** A copy of what of the checkout hv consists of. */
  readonly root: string;
  /** For a process that runs them: its caches are here, too. */
  readonly env: Readonly<Record<string, string>>;
  readonly #scratch: Scratch;

  /**
   * @param places Where it may lie; the first in which every user can run a program is taken.
   * @param from The checkout.
   * @throws {Error} When there is no such place.
   */
  constructor(places: readonly string[] = PLACES, from: string = ROOT) {
    const place = places.find((place) => isOpen(place) && runsPrograms(place));
    if (place === undefined) {
      throw new Error(`no other user can run a program in any of ${places.join(", ")}`);
    }
    this.#scratch = new Scratch(place);
    const { path } = this.#scratch;
    Deno.chmodSync(path, 0o755);
    this.deno = `${path}/deno`;
    linkOrCopy(Deno.execPath(), this.deno);
    this.root = `${path}/checkout`;
    Deno.mkdirSync(this.root);
    for (const name of PROGRAM) copy(`${from}/${name}`, `${this.root}/${name}`);
    this.path = `${path}/files`;
    const cache = `${path}/cache`;
    for (const folder of [this.path, cache]) {
      Deno.mkdirSync(folder);
      Deno.chmodSync(folder, ANYBODY_MAY_WRITE);
    }
    Deno.chmodSync(this.root, 0o755);
    this.env = { DENO_DIR: cache, HOME: cache, XDG_CACHE_HOME: cache, TMPDIR: this.path };
  }

  [Symbol.dispose](): void {
    this.#scratch[Symbol.dispose]();
  }
}

/** May everybody go through `path` and all that lies above it, and make files in it? */
function isOpen(path: string): boolean {
  try {
    const real = Deno.realPathSync(path);
    if ((Deno.statSync(real).mode! & 0o002) === 0) return false;
    for (let at = real; at !== ""; at = at.slice(0, at.lastIndexOf("/"))) {
      if ((Deno.statSync(at).mode! & 0o001) === 0) return false;
    }
    return true;
  } catch {
    return false;
  }
}

/** Can programs be run there? Some file systems are mounted such that none can (noexec). */
function runsPrograms(place: string): boolean {
  using scratch = new Scratch(place);
  const program = `${scratch.path}/program`;
  Deno.writeTextFileSync(program, "#!/bin/sh\n", { mode: 0o755 });
  try {
    return new Deno.Command(program).outputSync().success;
  } catch {
    return false;
  }
}

/** Deno has a hundred MiB: it is linked where that gives a file that everybody can run. */
function linkOrCopy(from: string, to: string): void {
  if ((Deno.statSync(from).mode! & 0o005) === 0o005) {
    try {
      return Deno.linkSync(from, to);
    } catch {
      // On another file system, or not to be linked by this user.
    }
  }
  copy(from, to, 0o755);
}

/** Copies a file or a folder such that everybody can read it. */
function copy(from: string, to: string, mode = 0o644): void {
  if (Deno.statSync(from).isDirectory) {
    Deno.mkdirSync(to);
    Deno.chmodSync(to, 0o755);
    for (const { name } of Deno.readDirSync(from)) copy(`${from}/${name}`, `${to}/${name}`);
    return;
  }
  Deno.copyFileSync(from, to);
  Deno.chmodSync(to, mode);
}
