/**
 * Opening, on another thread, a machine that main has made. Apart from hv/accel/mod.ts, so that these
 * threads do not load what only making one needs.
 */

import type { Clock } from "../core/time/clock.ts";
import type { AcceleratedVm, VmHandle } from "./accelerator.ts";
import { KvmVm } from "./kvm/vm.ts";
import { softCode } from "./load.ts";

/** Opens, on the calling thread, the machine that `handle` stands for; `clock` as for `createVm`. */
export function openVm(handle: VmHandle, clock?: Clock): AcceleratedVm {
  if (handle.accelerator === "kvm") return new KvmVm(handle, false);
  return new (softCode().SoftVm)(handle, clock);
}
