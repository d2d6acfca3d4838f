/** The instructions that call a service (service_names.ts), with the forms in which they exist. */

import type { Size } from "../codegen/handler.ts";
import { ALL_SIZES, type Definition, WORD_SIZES } from "./definition.ts";
import { MOSTLY_GENERATED } from "./mostly_generated.ts";
import { SERVICE_NAMES, serviceCall, type ServiceName } from "./service_names.ts";

const FORMS: { readonly [K in ServiceName]?: readonly string[] } = {
  bound: ["rm"],
  aam: ["i"],
  aad: ["i"],
  int: ["i"],
  enter: ["i"],
  callFar: ["i"],
  jmpFar: ["i"],
  callFarMemory: ["m"],
  jmpFarMemory: ["m"],
  retFarImmediate: ["i"],
  movToSegment: ["r", "m"],
  loadFarPointer: ["rm"],
  lar: ["rr", "rm"],
  lsl: ["rr", "rm"],
  verr: ["r", "m"],
  verw: ["r", "m"],
  arpl: ["rr", "mr"],
  sldt: ["r", "m"],
  str: ["r", "m"],
  lldt: ["r", "m"],
  ltr: ["r", "m"],
  sgdt: ["m"],
  sidt: ["m"],
  lgdt: ["m"],
  lidt: ["m"],
  smsw: ["r", "m"],
  lmsw: ["r", "m"],
  invlpg: ["m"],
  invpcid: ["rm"],
  movFromControl: ["ri"],
  movToControl: ["ri"],
  movFromDebug: ["ri"],
  movToDebug: ["ri"],
  in: ["r"],
  out: ["r"],
  inImmediate: ["ri"],
  outImmediate: ["ri"],
  ins: ["m"],
  outs: ["m"],
  cmpxchg8b: ["m"],
  cmpxchg16b: ["m"],
  lock_cmpxchg8b: ["m"],
  lock_cmpxchg16b: ["m"],
  rdrand: ["r"],
  rdseed: ["r"],
  rdfsbase: ["r"],
  rdgsbase: ["r"],
  wrfsbase: ["r"],
  wrgsbase: ["r"],
  rdpid: ["r"],
  clflush: ["m"],
  ldmxcsr: ["m"],
  stmxcsr: ["m"],
  fxsave: ["m"],
  fxrstor: ["m"],
  xsave: ["m"],
  xsaveopt: ["m"],
  xsavec: ["m"],
  xrstor: ["m"],
  x87: ["m", "i"],
};

/** Those that exist for bytes as well. */
const BYTE_SIZES = new Set<ServiceName>([
  "clflush",
  "in",
  "out",
  "inImmediate",
  "outImmediate",
  "ins",
  "outs",
]);

/** See above. */
export const SERVICES: readonly Definition[] = SERVICE_NAMES.map((name) => {
  const sizes: readonly Size[] = BYTE_SIZES.has(name) ? ALL_SIZES : WORD_SIZES;
  return {
    name,
    sizes,
    forms: FORMS[name] ?? [""],
    body: (h) => {
      const service = () => h.service(serviceCall(name, h.size, h.form.includes("m")));
      const generated = MOSTLY_GENERATED[name];
      if (generated === undefined) service();
      else generated(h, service);
    },
  };
});
