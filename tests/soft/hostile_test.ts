/** Guests that mean no good: whatever they do, the host neither throws nor hangs. */

import assert from "node:assert/strict";
import { Exit } from "../../hv/accel/accelerator.ts";
import { CpuState } from "../../hv/accel/cpu_state.ts";
import { createSoftVm } from "../../hv/accel/soft/create.ts";
import type { SoftVcpu } from "../../hv/accel/soft/vcpu.ts";
import type { SoftVm } from "../../hv/accel/soft/vm.ts";
import { Random, seeded } from "../support/random.ts";

const MEMORY_BYTES = 1 << 20;
const STREAMS = 60;
const EXITS = 30;

/** Kicks processor 0 again and again from another thread, as a machine that wants to stop does. */
async function startKicking(vm: SoftVm): Promise<Worker> {
  const words = (vm.handle.detail as { states: WebAssembly.Memory[] }).states[0];
  const source = `
    import { AT, Pending } from "${new URL("../../hv/accel/soft/state.ts", import.meta.url)}";
    self.onmessage = ({ data }) => {
      const words = new Int32Array(data.buffer);
      self.postMessage("ready");
      setInterval(() => Atomics.or(words, AT.pending >> 2, Pending.kick), 2);
    };`;
  const url = URL.createObjectURL(new Blob([source], { type: "application/typescript" }));
  const worker = new Worker(url, { type: "module" });
  const ready = new Promise((resolve) => worker.onmessage = resolve);
  worker.postMessage(words);
  await ready;
  return worker;
}

/** Flat 32- or 64-bit kernel mode, or real mode, with tables of rubbish. */
function setMode(random: Random, vcpu: SoftVcpu, mode: number): void {
  vcpu.reset();
  const state = new CpuState(new ArrayBuffer(CpuState.byteLength));
  vcpu.save(state);
  state.rip = BigInt(random.below(0x8000));
  for (let n = 0; n < 16; n++) state.general[n] = BigInt(random.u32()) & 0xf_ffffn;
  state.cs.base = 0n;
  state.cs.selector = 0;
  if (mode > 0) {
    for (const name of ["cs", "ds", "es", "ss", "fs", "gs"] as const) {
      state[name].limit = 0xffff_ffff;
      state[name].selector = 8;
      state[name].access = name === "cs" ? 0xc09b : 0xc093;
    }
    state.cr0 = random.chance(50) ? 0x11n : 0x8001_0011n;
    state.cr3 = BigInt(random.below(0x10) << 12);
    state.gdtr.base = BigInt(random.below(0x1_0000));
    state.idtr.base = BigInt(random.below(0x1_0000));
    state.tr.base = BigInt(random.below(0x1_0000));
  }
  if (mode === 2) {
    state.cs.access = 0xa09b;
    state.cr0 = 0x8001_0011n;
    state.cr4 = 0x30_00a0n;
    state.efer = 0xd00n;
  }
  vcpu.restore(state);
}

Deno.test("random code, tables and page tables in every mode end in exits, never in exceptions", async () => {
  const pages = MEMORY_BYTES / 65536;
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const bytes = new Uint8Array(memory.buffer);
  const vm = createSoftVm({ memory, cpus: 1 });
  vm.mapMemory({ slot: 0, guestAddress: 0, length: MEMORY_BYTES, memoryOffset: 0 });
  const vcpu = vm.openVcpu(0);
  const worker = await startKicking(vm);
  const seen = new Set<number>();
  try {
    seeded((random) => {
      for (let stream = 0; stream < STREAMS; stream++) {
        for (let at = 0; at < 0x1_8000; at++) bytes[at] = random.u32();
        if (stream % 3 === 2) {
          // Page tables that map something: present, writable, user, at low addresses.
          for (let at = 0; at < 0x1_0000; at += 8) {
            if (random.chance(70)) bytes.set([0x27, random.below(16) << 4, 0, 0, 0, 0, 0, 0], at);
          }
        }
        vm.hostWrote(0, MEMORY_BYTES);
        setMode(random, vcpu, stream % 3);
        for (let i = 0; i < EXITS; i++) {
          const exit = vcpu.run();
          seen.add(exit);
          if (exit === Exit.failed) {
            assert.match(vcpu.failure(), /cannot execute the instruction at/);
          }
          if (exit === Exit.failed || exit === Exit.shutdown || exit === Exit.halt) break;
        }
      }
    });
  } finally {
    worker.terminate();
  }
  assert.ok(seen.has(Exit.shutdown) && seen.has(Exit.interrupted));
});

Deno.test("a loop without end is left when the processor is kicked", async () => {
  const memory = new WebAssembly.Memory({ initial: 16, maximum: 16, shared: true });
  new Uint8Array(memory.buffer).set([0xeb, 0xfe], 0x7c00);
  const vm = createSoftVm({ memory, cpus: 1 });
  vm.mapMemory({ slot: 0, guestAddress: 0, length: 1 << 20, memoryOffset: 0 });
  const vcpu = vm.openVcpu(0);
  vcpu.registers.cs.selector = 0;
  vcpu.registers.ip = 0x7c00;
  const worker = await startKicking(vm);
  assert.equal(vcpu.run(), Exit.interrupted);
  assert.equal(vcpu.registers.ip, 0x7c00);
  worker.terminate();
});
