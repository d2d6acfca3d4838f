/**
 * Speed of the interpreter on loops of a few kinds, in instructions a second:
 *
 *     deno run -A tests/accel/soft/interpreter_bench.ts
 *
 * 32-bit protected mode without paging; the goal of this tier is more than 100 million a second for
 * simple instructions. QEMU's TCG did 374 to 3031 on loops like these.
 */

import { CpuState, Exit } from "../../../hv/accel/mod.ts";
import { softVm } from "./support/soft_vm.ts";

const START = 0x1000;
const COUNT = 10_000_000;

interface Loop {
  readonly name: string;
  /** Instructions in one round; ECX counts the rounds. */
  readonly instructions: number;
  readonly code: readonly number[];
}

const back = (bytes: number): number[] => [0x49, 0x75, -(bytes + 3) & 0xff];

const LOOPS: readonly Loop[] = [
  // add eax, ecx; xor ebx, eax; rol ebx, 5
  { name: "ALU", instructions: 5, code: [0x01, 0xc8, 0x31, 0xc3, 0xc1, 0xc3, 5, ...back(7)] },
  // mov eax, [esi]; add eax, ecx; mov [edi], eax
  { name: "memory", instructions: 5, code: [0x8b, 0x06, 0x01, 0xc8, 0x89, 0x07, ...back(6)] },
  // call next; next: ... ret
  {
    name: "call and return",
    instructions: 4,
    code: [0xe8, 5, 0, 0, 0, ...back(5), 0xe6, 0xe9, 0xc3],
  },
  // push eax; pop ebx
  { name: "stack", instructions: 4, code: [0x50, 0x5b, ...back(2)] },
  // imul eax, ebx; cmp eax, edx; cmovb eax, edx
  {
    name: "multiply, compare, move",
    instructions: 5,
    code: [0x0f, 0xaf, 0xc3, 0x39, 0xd0, 0x0f, 0x42, 0xc2, ...back(8)],
  },
  // addsd xmm0, xmm1
  { name: "SSE2", instructions: 3, code: [0xf2, 0x0f, 0x58, 0xc1, ...back(4)] },
];

for (const { name, instructions, code } of LOOPS) {
  const memory = new WebAssembly.Memory({ initial: 16, maximum: 16, shared: true });
  new Uint8Array(memory.buffer).set(
    [...code, ...(name.startsWith("call") ? [] : [0xe6, 0xe9])],
    START,
  );
  const vm = softVm({ memory, cpus: 1 });
  vm.mapMemory({ slot: 0, guestAddress: 0, length: 1 << 20, memoryOffset: 0 });
  const vcpu = vm.openVcpu(0);
  const state = new CpuState(new ArrayBuffer(CpuState.byteLength));
  vcpu.save(state);
  for (const segment of ["cs", "ds", "es", "ss", "fs", "gs"] as const) {
    state[segment].base = 0n;
    state[segment].limit = 0xffff_ffff;
    state[segment].access = segment === "cs" ? 0xc09b : 0xc093;
  }
  state.cr0 = 0x11n;
  state.cr4 = 0x600n;
  vcpu.restore(state);
  let best = 0;
  for (let round = 0; round < 4; round++) {
    const { registers } = vcpu;
    registers.ecx = COUNT;
    registers.esp = 0x8000;
    registers.esi = 0x9000;
    registers.edi = 0x9100;
    registers.ip = START;
    const start = performance.now();
    const exit = vcpu.run();
    const seconds = (performance.now() - start) / 1000;
    if (exit !== Exit.port) throw new Error(`${name}: exit ${exit}: ${vcpu.failure()}`);
    best = Math.max(best, COUNT * instructions / seconds);
  }
  console.log(`${name.padEnd(26)}${(best / 1e6).toFixed(0).padStart(5)} million a second`);
}
