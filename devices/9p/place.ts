/**
 * Places that fids stand for: a tree of names that follows what the guest renames. All fids of a
 * place share it, so that one renamed directory takes along whatever lies below.
 */

import {
  FileError,
  type FileIdentity,
  type FilePlace,
  sameFile,
} from "../../hv/core/media/file_tree.ts";
import { ESTALE } from "./errno.ts";

/** See above. Whoever walks through places holds them by `use` until the next is held. */
export class Place implements FilePlace {
  readonly identity: FileIdentity;
  #name: string;
  #parent: Place | undefined;
  readonly #isRoot: boolean;
  readonly #children = new Map<string, Place>();
  /** Fids that stand for it. */
  #users = 0;

  private constructor(identity: FileIdentity, name: string, parent?: Place) {
    this.identity = identity;
    this.#name = name;
    this.#parent = parent;
    this.#isRoot = parent === undefined;
  }

  /** The root of a tree. */
  static root(identity: FileIdentity): Place {
    return new Place(identity, "");
  }

  /** A place that is gone, as one whose name was removed is. */
  static gone(identity: FileIdentity): Place {
    return new Place(identity, "", Place.root(identity)).#away();
  }

  /** What it is called; "" for the root. */
  get name(): string {
    return this.#name;
  }

  /** Where it is; the root's is the root. @throws FileError ESTALE when it is gone */
  get parent(): Place {
    if (this.#isRoot) return this;
    if (this.#parent === undefined) throw new FileError(ESTALE);
    return this.#parent;
  }

  /** Where it is; undefined for the root, and for one that is gone. */
  get above(): Place | undefined {
    return this.#parent;
  }

  get path(): string {
    if (this.#isRoot) return ".";
    const names = [this.#name];
    for (let { parent } = this as Place; !parent.#isRoot; parent = parent.parent) {
      names.push(parent.#name);
    }
    return names.reverse().join("/");
  }

  /** Whether it is the root. */
  get isRoot(): boolean {
    return this.#isRoot;
  }

  /** What is called `name` in it and is the file `identity`: whatever else was there is gone. */
  child(name: string, identity: FileIdentity): Place {
    const known = this.#children.get(name);
    if (known !== undefined) {
      if (sameFile(known.identity, identity)) return known;
      known.#leave();
    }
    const place = new Place(identity, name, this);
    this.#children.set(name, place);
    return place;
  }

  /** `name` in it has been removed. */
  removed(name: string): void {
    const place = this.#children.get(name);
    if (place !== undefined) place.#leave();
  }

  /** `oldName` in it has been renamed to `newName` in `directory`. */
  renamed(oldName: string, directory: Place, newName: string): void {
    const moved = this.#children.get(oldName);
    const replaced = directory.#children.get(newName);
    // Of two names of one file neither goes when it is renamed to the other (rename(2)).
    if (
      moved !== undefined && replaced !== undefined && sameFile(moved.identity, replaced.identity)
    ) return;
    if (replaced !== undefined) replaced.#leave();
    if (moved === undefined) return;
    moved.#leave();
    // Only where the host has moved directories about: what would be its own ancestor is gone.
    if (directory.#isBelow(moved)) return;
    moved.#parent = directory;
    moved.#name = newName;
    directory.#children.set(newName, moved);
  }

  /** A fid stands for it. */
  use(): void {
    this.#users++;
  }

  /** A fid does not stand for it any more: forgotten when nothing needs it. */
  release(): void {
    this.#users--;
    this.#prune();
  }

  #isBelow(other: Place): boolean {
    if (this === other) return true;
    return this.#parent !== undefined && this.#parent.#isBelow(other);
  }

  /** Forgets a place that nothing needs. */
  #prune(): void {
    if (this.#users === 0 && this.#children.size === 0) this.#leave();
  }

  #away(): Place {
    this.#parent = undefined;
    return this;
  }

  #leave(): void {
    const parent = this.#parent;
    if (parent === undefined) return;
    parent.#children.delete(this.#name);
    this.#parent = undefined;
    parent.#prune();
  }
}
