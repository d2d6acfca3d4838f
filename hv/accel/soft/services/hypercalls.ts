/**
 * VMCALL and VMMCALL as KVM answers them (the kernel's Documentation/virt/kvm/x86/hypercalls.rst): there
 * are no hypercalls, since none of the features that use them is announced, but drivers ask all the same.
 */

import { Status } from "../codegen/operation.ts";
import type { Cpu, Service } from "../cpu.ts";

const RAX = 0;
const KVM_ENOSYS = 1000n;
const KVM_EPERM = 1n;

const refuse: Service = (cpu: Cpu) => {
  const result = cpu.state.cpl === 0 ? -KVM_ENOSYS : -KVM_EPERM;
  const size = cpu.isLong64 ? 64 : 32;
  cpu.setGeneral(RAX, size, BigInt.asUintN(size, result));
  return Status.next;
};

/** See above. */
export const HYPERCALL_SERVICES = { vmcall: refuse } satisfies Readonly<Record<string, Service>>;
