import type { CpuidLeaf } from "./cpuid_table.ts";
export function buildCpuid(
  supported: readonly CpuidLeaf[],
  _options: { cpu: string; cpus: number; index: number; deadline: boolean },
): CpuidLeaf[] {
  return supported.map((leaf) => ({ ...leaf }));
}
