/**
 * Kernel loaders: from a kernel's bytes to the bytes that go into guest memory and the state of
 * the processor. Pure functions; a machine carries the plan out.
 */

export { BootError } from "./boot_error.ts";
export { describeFile, detectKernel, type KernelKind } from "./detect.ts";
export type {
  BootEntry,
  BootPlan,
  BootRequest,
  BootSegment,
  EntryRegisters,
  EntryState,
  SegmentState,
  TableState,
} from "./plan.ts";
export { planBoot } from "./plan_boot.ts";
