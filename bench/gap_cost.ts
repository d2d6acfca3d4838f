/**
 * What an instruction costs that KVM cannot emulate and the software CPU executes in its place, beside
 * one that KVM emulates and beside a port write: `deno run -A bench/gap_cost.ts`. Only where KVM runs
 * kernel-mode code in its emulator.
 */

import { Exit } from "../hv/accel/mod.ts";
import { emulatesRealMode } from "../hv/accel/kvm/host.ts";
import { loadGapFiller } from "../hv/accel/kvm/gaps/mod.ts";
import { dword, inProtectedMode } from "../tests/accel/kvm/gap_machine.ts";

const TIMES = 20_000;

/** µs an instruction in a loop, the loop's own two instructions taken off. */
function measure(code: readonly number[], exits = false): number {
  // code; dec ecx; jnz code; mov al, 1; out 0E0h, al
  const length = code.length + 2;
  const loop = [...code, 0xff, 0xc9, 0x0f, 0x85, ...dword(-(length + 6))];
  const start = [0xdb, 0xe3, 0xb9, ...dword(TIMES)]; // fninit; mov ecx, TIMES
  using machine = inProtectedMode([...start, ...loop, 0xb0, 1, 0xe6, 0xe0], 64);
  const { vcpu } = machine;
  const begun = performance.now();
  for (;;) {
    const exit = vcpu.run();
    if (exit === Exit.failed || exit === Exit.shutdown) throw new Error(vcpu.failure());
    if (exit === Exit.port && (!exits || vcpu.access.address === 0xe0)) break;
  }
  const { count, spentNs } = machine.vm.filledInstructions();
  if (Deno.env.has("V")) console.log(count, spentNs / count);
  return (performance.now() - begun) * 1000 / TIMES;
}

if (!emulatesRealMode()) {
  console.log("KVM runs guests at hardware speed here: there are no gaps to measure");
} else {
  await loadGapFiller();
  const cases: readonly (readonly [string, readonly number[], boolean?])[] = [
    ["nop (KVM's emulator)", [0x90]],
    ["out (an exit)", [0xe6, 0xe1], true],
    ["popcnt", [0xf3, 0x0f, 0xb8, 0xc3]],
    ["lock cmpxchg16b", [0xf0, 0x48, 0x0f, 0xc7, 0x0c, 0x25, ...dword(0x3000)]],
    ["stac", [0x0f, 0x01, 0xcb]],
    ["stac; clac", [0x0f, 0x01, 0xcb, 0x0f, 0x01, 0xca]],
    ["paddd", [0x66, 0x0f, 0xfe, 0xc1]],
    ["paddd ten times", Array.from({ length: 10 }, () => [0x66, 0x0f, 0xfe, 0xc1]).flat()],
    ["fld1; fstp st0", [0xd9, 0xe8, 0xdd, 0xd8]],
  ];
  measure([0xf3, 0x0f, 0xb8, 0xc3]);
  const base = measure([]);
  for (const [name, code, exits] of cases) {
    console.log(`${name.padEnd(24)} ${(measure(code, exits) - base).toFixed(1).padStart(7)} µs`);
  }
}
