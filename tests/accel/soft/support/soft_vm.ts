/**
 * Machines on the software CPU for its tests: the interpreter, or, with `HV_TIER=translator`, code that is
 * translated before it is executed for the first time (translated_test.ts).
 */

import { createSoftVm, type SoftOptions } from "../../../../hv/accel/soft/create.ts";
import {
  NO_TRANSLATION,
  type TranslationPolicy,
} from "../../../../hv/accel/soft/translator/translator.ts";
import type { SoftVm } from "../../../../hv/accel/soft/vm.ts";

const AT_ONCE: TranslationPolicy = { hotAfter: 1, together: 1, patience: 1 };

/** See `createSoftVm`. */
export function softVm(options: SoftOptions): SoftVm {
  const translation = Deno.env.get("HV_TIER") === "translator" ? AT_ONCE : NO_TRANSLATION;
  return createSoftVm({ translation, ...options });
}
