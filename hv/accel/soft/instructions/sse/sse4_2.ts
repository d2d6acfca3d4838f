/** SSE4.2's comparisons of strings, which are services (Intel SDM volume 2, 4.1). */

import type { Definition } from "../definition.ts";
import { serviceCall } from "../service_names.ts";
import { sse } from "./definition.ts";

/** The explicit ones have lengths of 32 or 64 bits, by REX.W. */
const VARIANTS = [
  ["pcmpestri32", "pcmpestri", 32],
  ["pcmpestri64", "pcmpestri", 64],
  ["pcmpestrm32", "pcmpestrm", 32],
  ["pcmpestrm64", "pcmpestrm", 64],
  ["pcmpistri", "pcmpistri", 32],
  ["pcmpistrm", "pcmpistrm", 32],
] as const;

/** See above. */
export const SSE4_2: readonly Definition[] = VARIANTS.map(([name, service, size]) =>
  sse(name, ["rri", "rmi"], (h) => h.service(serviceCall(service, size, h.inMemory(1))))
);
