/** A machine on KVM with 1 MiB of memory for short 16-bit programs, and what tests need of it. */

import assert from "node:assert/strict";
import { createKvmVm } from "../../../hv/accel/kvm/create.ts";
import type { KvmVcpu } from "../../../hv/accel/kvm/vcpu.ts";
import type { KvmVm } from "../../../hv/accel/kvm/vm.ts";
import { Exit } from "../../../hv/accel/mod.ts";

/** Why KVM cannot be used here, or "" when it can. */
export const noKvm: string = (() => {
  try {
    Deno.openSync("/dev/kvm", { read: true, write: true }).close();
    return "";
  } catch (error) {
    return `/dev/kvm cannot be opened (${(error as Error).message})`;
  }
})();

/** A test that needs /dev/kvm: skipped with a printed reason where there is none. */
export function kvmTest(name: string, body: () => void | Promise<void>): void {
  Deno.test(name, async () => {
    if (noKvm === "") await body();
    else console.log(`skipped: ${noKvm}`);
  });
}

/** Bytes of the test machine's memory. */
export const MEMORY_BYTES = 0x10_0000;
/** Where programs lie and start, at 0000:1000. */
export const START = 0x1000;

/**
 * Runs until there is an exit other than `interrupted`: where KVM emulates real mode, a timer of hv's
 * own interrupts a processor now and then.
 */
export function runToExit(vcpu: KvmVcpu): Exit {
  for (let i = 0; i < 10_000; i++) {
    const exit = vcpu.run();
    if (exit !== Exit.interrupted) return exit;
  }
  return Exit.interrupted;
}

/** The machine. */
export class TestMachine {
  readonly memory: WebAssembly.Memory;
  readonly bytes: Uint8Array;
  readonly vm: KvmVm;
  readonly vcpu: KvmVcpu;

  constructor(options: { cpus?: number; cpu?: string } = {}) {
    const { cpus = 1, cpu = "host" } = options;
    const pages = MEMORY_BYTES / 65536;
    this.memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    this.bytes = new Uint8Array(this.memory.buffer);
    this.vm = createKvmVm({ memory: this.memory, cpus, cpu });
    this.vm.mapMemory({ slot: 0, guestAddress: 0, length: MEMORY_BYTES, memoryOffset: 0 });
    this.vcpu = this.vm.openVcpu(0);
  }

  /** Puts `program` at 0000:1000, in real mode, with a stack below it, and the processor there. */
  start(program: readonly number[], vcpu: KvmVcpu = this.vcpu): void {
    this.bytes.set(program, START);
    const { registers } = vcpu;
    registers.load();
    registers.cs.selector = 0;
    registers.ip = START;
    registers.esp = START;
    registers.store();
  }

  /** Runs until an exit and asserts that it is a write of `value` to `port`. */
  expectOut(port: number, value: number, size = 1): void {
    const exit = runToExit(this.vcpu);
    assert.equal(exit, Exit.port, exit === Exit.failed ? this.vcpu.failure() : `exit ${exit}`);
    const { access } = this.vcpu;
    assert.deepEqual(
      { address: access.address, isWrite: access.isWrite, size: access.size },
      { address: port, isWrite: true, size },
    );
    assert.equal(accessValue(this.vcpu), value);
  }

  [Symbol.dispose](): void {
    this.vcpu[Symbol.dispose]();
    this.vm[Symbol.dispose]();
  }
}

/** The first item of the current access. */
export function accessValue({ access }: KvmVcpu, item = 0): number {
  const offset = access.dataOffset + item * access.size;
  if (access.size === 1) return access.data.getUint8(offset);
  if (access.size === 2) return access.data.getUint16(offset, true);
  return access.data.getUint32(offset, true);
}

/** Answers the current read with `value`. */
export function answer({ access }: KvmVcpu, value: number, item = 0): void {
  const offset = access.dataOffset + item * access.size;
  if (access.size === 1) access.data.setUint8(offset, value);
  else if (access.size === 2) access.data.setUint16(offset, value, true);
  else access.data.setUint32(offset, value, true);
}
