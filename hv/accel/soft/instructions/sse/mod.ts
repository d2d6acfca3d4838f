/** SSE and SSE2. */

import type { Definition } from "../definition.ts";
import { SSE_FLOATS } from "./floats.ts";
import { SSE_INTEGERS } from "./integers.ts";
import { SSE_MOVES } from "./moves.ts";

/** See above. */
export const SSE: readonly Definition[] = [...SSE_MOVES, ...SSE_INTEGERS, ...SSE_FLOATS];
