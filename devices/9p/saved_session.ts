/** A session as plain data, for another thread of the process that goes on with it. */

import type { FileIdentity, FileTree, OpenFileHandle } from "../../hv/core/media/file_tree.ts";
import type { AttributeFid, FidLimits } from "./fid.ts";
import { Place } from "./place.ts";
import { Session } from "./session.ts";

/** See above. */
export interface SavedSession {
  /** The largest message agreed on, bytes. */
  readonly msize: number;
  /** Each behind the one above it; the root is not among them. */
  readonly places: readonly SavedPlace[];
  readonly fids: readonly SavedFid[];
}

interface SavedPlace {
  /** Index of the place above; -1: the root; undefined: it is gone. */
  readonly above: number | undefined;
  readonly name: string;
  readonly identity: FileIdentity;
}

interface SavedFid {
  readonly number: number;
  /** Index; -1: the root. */
  readonly place: number;
  readonly file: OpenFileHandle | undefined;
  readonly writable: boolean;
  readonly attribute: AttributeFid | undefined;
}

const ROOT = -1;

/** The session's files are whoever's restores it. */
export function saveSession({ fids, root }: Session, msize: number): SavedSession {
  const places: SavedPlace[] = [];
  const indices = new Map([[root, ROOT]]);
  const indexOf = (place: Place): number => {
    const known = indices.get(place);
    if (known !== undefined) return known;
    const { name, identity: { device, inode }, above } = place;
    const saved = {
      above: above && indexOf(above),
      name,
      identity: { device, inode },
    };
    indices.set(place, places.length);
    return places.push(saved) - 1;
  };
  const saved = [...fids].map(({ number, place, file, writable, attribute }) => ({
    number,
    place: indexOf(place),
    file: file?.release(),
    writable,
    attribute,
  }));
  return { msize, places, fids: saved };
}

/** The session that `saved` tells of, over the same tree. */
export function restoreSession(saved: SavedSession, tree: FileTree, limits: FidLimits): Session {
  const session = new Session(tree, limits);
  const places: Place[] = [];
  const at = (index: number) => index === ROOT ? session.root : places[index];
  for (const { above, name, identity } of saved.places) {
    places.push(above === undefined ? Place.gone(identity) : at(above).child(name, identity));
  }
  for (const { number, place, file, writable, attribute } of saved.fids) {
    session.fids.add(number, at(place));
    if (attribute !== undefined) session.fids.openAttribute(session.fids.get(number), attribute);
    if (file === undefined) continue;
    session.fids.open(session.fids.get(number), writable, () => tree.adopt(file));
  }
  return session;
}
