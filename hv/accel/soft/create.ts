/** Makes a virtual machine on the software CPU. */

import { featuresOf } from "./model/cpuid.ts";
import { buildFloat80 } from "./float/module.ts";
import { buildInterpreter } from "./interpreter.ts";
import { PhysicalMap } from "./memory/physical_map.ts";
import { PRIVATE_BYTES } from "./state/state.ts";
import type { TimeSource } from "./model/time_stamp.ts";
import { TRANSLATION, type TranslationPolicy } from "./translator/translator.ts";
import { type SoftDetail, SoftVm } from "./vm.ts";
import { worldBuffer } from "./world.ts";

const WASM_PAGE = 65536;
const FOUR_GIB = 0x1_0000_0000;

/** What a machine on the software CPU is made of. */
export interface SoftOptions {
  /** The guest's memory, shared and of fixed size; with 64-bit addresses if beyond 4 GiB. */
  readonly memory: WebAssembly.Memory;
  /** Number of virtual processors. */
  readonly cpus: number;
  /** Features, e.g. `host,-sse4-2` (see cpu_expression.ts); `host` when left out. */
  readonly cpu?: string;
  /** The machine's time; default: the host's. */
  readonly time?: TimeSource;
  /** When code is translated; default: `TRANSLATION`. */
  readonly translation?: TranslationPolicy;
}

/**
 * Makes a machine with its processors after RESET and no memory mapped.
 *
 * @throws RangeError, CpuError
 */
export function createSoftVm(options: SoftOptions): SoftVm {
  const { memory, cpus, cpu = "host", time, translation = TRANSLATION } = options;
  const features = featuresOf(cpu);
  const bytes = memory.buffer.byteLength;
  const wide = bytes > FOUR_GIB;
  const pages = PRIVATE_BYTES / WASM_PAGE;
  const detail: SoftDetail = {
    map: PhysicalMap.buffers(bytes),
    states: Array.from(
      { length: cpus },
      () => new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }),
    ),
    world: worldBuffer(cpus),
    features,
    translation,
    clockAheadNs: new SharedArrayBuffer(8),
    float80: new WebAssembly.Module(buildFloat80()),
    interpreter: new WebAssembly.Module(buildInterpreter(bytes / WASM_PAGE, wide)),
  };
  const vm = new SoftVm({ accelerator: "soft", cpus, memory, detail }, time);
  for (let index = 0; index < cpus; index++) vm.openVcpu(index).reset();
  return vm;
}
