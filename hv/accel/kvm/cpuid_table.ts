/** Tables of CPUID leaves in KVM's form. */

import { SysError } from "../../sys/errors.ts";
import { errno, libc } from "../../sys/libc.ts";
import {
  call,
  type Ioctl,
  KVM_GET_CPUID2,
  KVM_GET_SUPPORTED_CPUID,
  KVM_SET_CPUID2,
} from "./api/ioctl.ts";
import { kvm_cpuid2, kvm_cpuid_entry2 } from "./api/structs.ts";

/** What CPUID answers for one value of EAX (`function`) and, where `flags` say so, ECX (`index`). */
export interface CpuidLeaf {
  readonly function: number;
  readonly index: number;
  /** Bit 0: `index` counts. */
  readonly flags: number;
  eax: number;
  ebx: number;
  ecx: number;
  edx: number;
}

/** More leaves than any host lists. */
const MAX_LEAVES = 256;
const HEAD_WORDS = kvm_cpuid2.byteLength / 4;
const LEAF_WORDS = kvm_cpuid_entry2.byteLength / 4;

/** What the host's processor and KVM offer to guests. */
export function supportedCpuid(systemFd: number): CpuidLeaf[] {
  return fetch(systemFd, KVM_GET_SUPPORTED_CPUID);
}

/** What virtual processor `fd` answers. */
export function readCpuid(fd: number): CpuidLeaf[] {
  return fetch(fd, KVM_GET_CPUID2);
}

/** Makes virtual processor `fd` answer `leaves`; before it runs for the first time. */
export function writeCpuid(fd: number, leaves: readonly CpuidLeaf[]): void {
  const words = new Uint32Array(HEAD_WORDS + leaves.length * LEAF_WORDS);
  words[0] = leaves.length;
  leaves.forEach((leaf, i) => {
    const { flags, eax, ebx, ecx, edx } = leaf;
    words.set([leaf.function, leaf.index, flags, eax, ebx, ecx, edx], HEAD_WORDS + i * LEAF_WORDS);
  });
  call(fd, KVM_SET_CPUID2, words);
}

function fetch(fd: number, request: Ioctl): CpuidLeaf[] {
  const words = new Uint32Array(HEAD_WORDS + MAX_LEAVES * LEAF_WORDS);
  words[0] = MAX_LEAVES;
  const { ioctl } = libc;
  if (ioctl(fd, request.request, words) < 0) {
    throw new SysError("ask KVM for the processor's features", errno());
  }
  return Array.from({ length: words[0] }, (_, i) => {
    const at = HEAD_WORDS + i * LEAF_WORDS;
    return {
      function: words[at],
      index: words[at + 1],
      flags: words[at + 2],
      eax: words[at + 3],
      ebx: words[at + 4],
      ecx: words[at + 5],
      edx: words[at + 6],
    };
  });
}
