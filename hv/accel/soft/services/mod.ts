/** The instructions that run outside of generated code, by their numbers. */

import { Status } from "../codegen/operation.ts";
import type { Service } from "../cpu.ts";
import { SERVICE_NAMES, type ServiceName } from "../instructions/service_names.ts";
import { ARITHMETIC_SERVICES } from "./arithmetic.ts";
import { DEBUG_SERVICES } from "./debug_registers.ts";
import { HYPERCALL_SERVICES } from "./hypercalls.ts";
import { INPUT_OUTPUT_SERVICES } from "./input_output.ts";
import { CONTROL_SERVICES } from "./control_registers.ts";
import { MASKED_STORE_SERVICES } from "./masked_stores.ts";
import { SYSTEM_SERVICES } from "./system.ts";
import { STACK_SERVICES } from "./stack.ts";
import { SEGMENT_SERVICES } from "./segments.ts";
import { FAR_SERVICES } from "./far_transfers.ts";
import { FAST_CALL_SERVICES } from "./fast_calls.ts";
import { SAVED_STATE_SERVICES } from "./saved_state.ts";
import { VECTOR_SERVICES } from "./vector.ts";
import { X87_SERVICES } from "./x87.ts";

const ALL: Readonly<Partial<Record<ServiceName, Service>>> = {
  ...ARITHMETIC_SERVICES,
  ...HYPERCALL_SERVICES,
  ...INPUT_OUTPUT_SERVICES,
  ...CONTROL_SERVICES,
  ...MASKED_STORE_SERVICES,
  ...DEBUG_SERVICES,
  ...SYSTEM_SERVICES,
  ...STACK_SERVICES,
  ...SEGMENT_SERVICES,
  ...FAR_SERVICES,
  ...FAST_CALL_SERVICES,
  ...SAVED_STATE_SERVICES,
  ...VECTOR_SERVICES,
  ...X87_SERVICES,
};

/** Names of services that are not there: their instructions end the machine with a message. */
export const MISSING_SERVICES: readonly ServiceName[] = SERVICE_NAMES.filter((name) =>
  ALL[name] === undefined
);

const missing: Service = () => Status.failed;

/** See above. */
export const SERVICES: readonly Service[] = SERVICE_NAMES.map((name) => ALL[name] ?? missing);
