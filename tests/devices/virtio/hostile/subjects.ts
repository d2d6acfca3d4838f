/** Every virtio device, for the hostile driver: a new one is a line here and a file beside it. */

import { blk } from "./blk.ts";
import { p9 } from "./p9.ts";
import { rng } from "./rng.ts";
import type { MakeSubject } from "./subject.ts";

/** By name. */
export const SUBJECTS: Readonly<Record<string, MakeSubject>> = { blk, rng, p9 };
