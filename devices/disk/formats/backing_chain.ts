/**
 * Which files an image may have behind it. The names are in the image, and who wrote that is not known:
 * one that names /etc/shadow would show it to the guest. So backing files have to be in the folder of
 * the image that the user has named, or below it, or in one that the user names for it; no file is
 * twice in a chain.
 */

import { fileProblem } from "../../../hv/core/file_problem.ts";
import { DiskError } from "../disk_image.ts";

/** Images behind each other. */
const MAX_DEPTH = 64;

/** See above. */
export class BackingChain {
  readonly #folders: string[];
  readonly #seen = new Set<string>();

  /**
   * @param top The image that the user has named.
   * @param folder Another folder for backing files.
   * @throws DiskError when there is no such folder
   */
  constructor(top: string, folder?: string) {
    if (folder !== undefined && !isFolder(folder)) {
      const problem = `the folder for its backing files, ${folder}, is not there`;
      throw new DiskError(top, "backing", problem);
    }
    const folders = [folderOf(top), ...(folder === undefined ? [] : [folder])];
    const real = realPath(top);
    this.#folders = folders.map(realPath).filter((path) => path !== undefined);
    // An image that is reached by a link may have its backing file beside itself.
    if (real !== undefined) this.#folders.push(folderOf(real));
  }

  /** @throws DiskError when `path` is in the chain already, or the chain is too long */
  enter(path: string): void {
    const { dev, ino } = Deno.statSync(path);
    const id = `${dev}:${ino}`;
    if (this.#seen.has(id)) {
      throw new DiskError(path, "backing", "it is behind itself: its backing files go in a circle");
    }
    if (this.#seen.size >= MAX_DEPTH) {
      throw new DiskError(path, "backing", `more than ${MAX_DEPTH} images are behind each other`);
    }
    this.#seen.add(id);
  }

  /** Whether the backing file that the image at `path` calls `name` is the file `other`. */
  isBehind(path: string, name: string, other: string): boolean {
    const target = realPath(pathOf(path, name));
    return target !== undefined && target === realPath(other);
  }

  /**
   * The path of the backing file that the image at `path` calls `name`.
   *
   * @throws DiskError when it may not be used
   */
  resolve(path: string, name: string): string {
    const refuse = (why: string, cause?: unknown) =>
      new DiskError(path, "backing", `its backing file ${name} ${why}`, { cause });
    if (/^(?!file:)[^/]*:/.test(name)) throw refuse("is no file, and nothing else is supported");
    const target = pathOf(path, name);
    let real: string;
    try {
      real = Deno.realPathSync(target);
    } catch (cause) {
      if (cause instanceof Deno.errors.NotFound) throw refuse("is not there", cause);
      throw refuse(`cannot be used: ${fileProblem(cause)}`, cause);
    }
    const allowed = this.#folders.some((folder) =>
      real.startsWith(folder.endsWith("/") ? folder : `${folder}/`)
    );
    if (allowed) return target;
    throw refuse(
      `is outside of the image's folder; if you trust the image, allow it with ` +
        `backing=${folderOf(real)}`,
    );
  }
}

function pathOf(path: string, name: string): string {
  const plain = name.startsWith("file:") ? name.slice(5) : name;
  return plain.startsWith("/") ? plain : `${folderOf(path)}/${plain}`;
}

function folderOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? "." : slash === 0 ? "/" : path.slice(0, slash);
}

function isFolder(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}

function realPath(path: string): string | undefined {
  try {
    return Deno.realPathSync(path);
  } catch {
    return undefined;
  }
}
