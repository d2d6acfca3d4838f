/** What all SSE instructions have in common. */

import type { Handler } from "../../codegen/handler.ts";
import { AT } from "../../state/state.ts";
import { I32, type Value } from "../../wasm/value.ts";
import type { Definition } from "../definition.ts";
import { serviceCall } from "../service_names.ts";

/** Register and memory as the second operand. */
export const LOAD: readonly string[] = ["rr", "rm"];

/** An SSE instruction: #UD or #NM comes first, before its operands are looked at. */
export function sse(
  name: string,
  forms: readonly string[],
  body: (h: Handler) => void,
): Definition {
  return {
    name,
    forms,
    sizes: [32],
    body: (h) => {
      h.code.if(h.field(I32, 32, AT.vectorGate), () => {
        h.refuse(serviceCall("vectorUnavailable", 32, false));
      });
      body(h);
    },
  };
}

/** dst = operate(dst, src), 16 bytes; a source in memory must be aligned. */
export const packed = (
  name: string,
  operate: (a: Value, b: Value, h: Handler) => Value,
): Definition =>
  sse(name, LOAD, (h) => {
    const b = h.readVector(1, true);
    const a = h.readVector(0, true);
    h.writeVector(0, operate(a, b, h), true);
  });
