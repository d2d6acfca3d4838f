/** Bits of CR4 and the CPUID features that they come with (Intel SDM volume 3, 2.5). */

const FEATURES: readonly (readonly [feature: string, ...bits: number[]])[] = [
  ["vme", 0, 1],
  ["tsc", 2],
  ["de", 3],
  ["pse", 4],
  ["pae", 5],
  ["mce", 6],
  ["pge", 7],
  ["msr", 8], // RDPMC, which is older than its own leaf
  ["fxsr", 9],
  ["sse", 10],
  ["umip", 11],
  ["la57", 12],
  ["vmx", 13],
  ["smx", 14],
  ["fsgsbase", 16],
  ["pcid", 17],
  ["xsave", 18],
  ["smep", 20],
  ["smap", 21],
  ["pku", 22],
];

const maskOf = (bits: readonly number[]): number => bits.reduce((all, bit) => all | 1 << bit, 0);

/** What CR4 may have of a processor with `features`. */
export const cr4Bits = (features: ReadonlySet<string>): number =>
  FEATURES.reduce((all, [name, ...bits]) => features.has(name) ? all | maskOf(bits) : all, 0);

/** The features that `cr4` uses and a processor does not have; `cr4` bits without a name are left out. */
export const missingFeatures = (cr4: bigint, has: (feature: string) => boolean): string[] =>
  FEATURES.filter(([name, ...bits]) => (Number(cr4) & maskOf(bits)) !== 0 && !has(name))
    .map(([name]) => name);
