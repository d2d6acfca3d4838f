/** Puts 80-bit arithmetic into a module. */

import type { ModuleBuilder } from "../../wasm/module_builder.ts";
import { defineAddition } from "./add.ts";
import { defineArctangent } from "./transcendental/arctangent.ts";
import { defineBcd } from "./bcd.ts";
import { defineComparison } from "./compare.ts";
import { defineConstants } from "./constants.ts";
import { defineExponential } from "./transcendental/exponential.ts";
import { defineIntegers } from "./integers.ts";
import { type Float80Library, FunctionLibrary } from "./library.ts";
import { defineLogarithms } from "./transcendental/logarithm.ts";
import { defineMultiplication } from "./multiply.ts";
import { defineNans } from "./nan.ts";
import { defineNarrow } from "./narrow.ts";
import { defineRemainder } from "./remainder.ts";
import { defineRounding } from "./round.ts";
import { defineNarrowRounding } from "./round_narrow.ts";
import { defineScaling } from "./scale.ts";
import { SIGNATURES } from "./signatures.ts";
import { defineSquareRoot } from "./square_root.ts";
import { defineTrigonometry } from "./transcendental/trigonometric.ts";
import { defineWide } from "./transcendental/wide.ts";

/** Declares and writes every function of signatures.ts; after the module's imports. */
export function defineFloat80(module: ModuleBuilder): Float80Library {
  const lib: Float80Library = new FunctionLibrary(module, SIGNATURES);
  defineNarrowRounding(lib);
  defineRounding(lib);
  defineNans(lib);
  defineAddition(lib);
  defineMultiplication(lib);
  defineSquareRoot(lib);
  defineComparison(lib);
  defineRemainder(lib);
  defineIntegers(lib);
  defineNarrow(lib);
  defineBcd(lib);
  defineScaling(lib);
  defineConstants(lib);
  defineWide(lib);
  defineExponential(lib);
  defineLogarithms(lib);
  defineArctangent(lib);
  defineTrigonometry(lib);
  return lib;
}
