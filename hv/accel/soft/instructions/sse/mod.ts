/** SSE, SSE2 and what came after. */

import type { Definition } from "../definition.ts";
import { AES } from "./aes.ts";
import { SSE_APPROXIMATIONS } from "./approximations.ts";
import { SSE_ARITHMETIC } from "./arithmetic.ts";
import { CARRYLESS } from "./carryless.ts";
import { SSE_COMPARISONS } from "./comparisons.ts";
import { SSE_CONVERSIONS } from "./conversions.ts";
import { SSE_INTEGERS } from "./integers.ts";
import { SSE_MOVES } from "./moves.ts";
import { SSE3 } from "./sse3.ts";
import { SSE4_1 } from "./sse4_1.ts";
import { SSE4_1_FLOATS } from "./sse4_1_floats.ts";
import { SSE4_2 } from "./sse4_2.ts";
import { SSSE3 } from "./ssse3.ts";

/** See above. */
export const SSE: readonly Definition[] = [
  ...SSE_MOVES,
  ...SSE_INTEGERS,
  ...SSE_APPROXIMATIONS,
  ...SSE_ARITHMETIC,
  ...SSE_COMPARISONS,
  ...SSE_CONVERSIONS,
  ...SSE3,
  ...SSSE3,
  ...SSE4_1,
  ...SSE4_1_FLOATS,
  ...SSE4_2,
  ...AES,
  ...CARRYLESS,
];
