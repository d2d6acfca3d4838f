/**
 * The host's apt, as a user without rights uses it: what it knows about a package, and its archive.
 * Archives are checked by apt itself, against lists that Debian has signed.
 */

import { PackageError } from "./package_error.ts";
import { type ProgramOptions, runProgram } from "./program.ts";

/** What is being done, and how far it is where that is known, in bytes. */
export type Progress = (what: string, done?: { bytes: number; total: number }) => void;

/** A package as apt knows it. */
export interface PackageRecord {
  readonly name: string;
  /** Length of its archive, in bytes. */
  readonly archiveBytes: number;
  /** Names of packages that it needs. */
  readonly depends: readonly string[];
}

/** Who waits for a first look at Linux does not wait for apt's usual three retries of 30 s. */
const PATIENCE = ["-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=15"];
const PROGRESS_MS = 100;

/** See above. */
export class Apt {
  readonly #state: string;
  readonly #progress: Progress;
  readonly #signal: AbortSignal | undefined;
  #options: readonly string[] = PATIENCE;

  /** @param state A folder for lists of packages, for a host that has none. */
  constructor(state: string, progress: Progress, signal?: AbortSignal) {
    this.#state = state;
    this.#progress = progress;
    this.#signal = signal;
  }

  /**
   * What is known about a package.
   *
   * @throws {PackageError} When the host's package sources do not have it, or cannot be asked.
   */
  async find(name: string): Promise<PackageRecord> {
    this.#progress(`looking for Debian's package ${name}`);
    const known = await this.#show(name) ?? await this.#showFromOwnLists(name);
    if (known === undefined) throw new PackageError("this host's package sources do not have it");
    return known;
  }

  /** Downloads into `folder`, which is empty; the archive's path. */
  async download({ name, archiveBytes: total }: PackageRecord, folder: string): Promise<string> {
    const show = (bytes: number) =>
      this.#progress(`fetching Debian's package ${name}`, { bytes, total });
    show(0);
    const timer = setInterval(() => show(sizeOf(folder)), PROGRESS_MS);
    try {
      await this.#run("apt-get", ["download", "-qq", name], { cwd: folder });
    } finally {
      clearInterval(timer);
    }
    const archive = [...Deno.readDirSync(folder)].find((entry) => entry.name.endsWith(".deb"));
    if (archive === undefined) throw new PackageError("apt-get has downloaded nothing");
    show(total);
    return `${folder}/${archive.name}`;
  }

  /** A new container has no lists, and only root may fetch the host's. */
  async #showFromOwnLists(name: string): Promise<PackageRecord | undefined> {
    const lists = `${this.#state}/lists`;
    const cache = `${this.#state}/cache`;
    await Deno.mkdir(`${lists}/partial`, { recursive: true });
    await Deno.mkdir(`${cache}/archives/partial`, { recursive: true });
    const own = ["-o", `Dir::State::lists=${lists}`, "-o", `Dir::Cache=${cache}`];
    this.#options = [...PATIENCE, ...own];
    const known = await this.#show(name);
    if (known !== undefined) return known;
    this.#progress("fetching Debian's lists of packages");
    await this.#run("apt-get", ["update", "-qq"]);
    return await this.#show(name);
  }

  /** The newest version's record; undefined when the lists do not have it. */
  async #show(name: string): Promise<PackageRecord | undefined> {
    const query = ["--no-all-versions", "--quiet=0", "show", name];
    const text = await this.#run("apt-cache", query).catch((error) => {
      if (/No packages found/.test(error.message)) return "";
      throw error;
    });
    const field = (key: string) => new RegExp(`^${key}: (.*)$`, "m").exec(text)?.[1];
    const size = field("Size");
    if (size === undefined) return undefined;
    const depends = (field("Depends") ?? "").split(",").map((one) => one.trim().split(/[ :|(]/)[0]);
    return { name, archiveBytes: Number(size), depends };
  }

  #run(program: string, args: readonly string[], options: ProgramOptions = {}): Promise<string> {
    return runProgram(program, [...this.#options, ...args], { ...options, signal: this.#signal });
  }
}

/** Bytes of the files in a folder. */
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
