/** Model-specific registers of a virtual processor on KVM. */

import { Errno, SysError } from "../../../sys/errors.ts";
import { errno, libc } from "../../../sys/libc.ts";
import { MAX_MSRS } from "../../cpu_state.ts";
import { KVM_GET_MSR_INDEX_LIST, KVM_GET_MSRS, KVM_SET_MSRS } from "../api/ioctl.ts";

/** IA32_TIME_STAMP_COUNTER. */
export const MSR_IA32_TSC = 0x10;

/** Bytes of struct kvm_msrs before its entries, and of an entry. */
const HEAD_BYTES = 8;
const ENTRY_BYTES = 16;

let known: readonly number[] | undefined;

/**
 * Indices of the MSRs that make up a processor's state on this host, without the time-stamp
 * counter, which `CpuState` has a field for; KVM may refuse to read some of them.
 *
 * @throws SysError
 */
export function savedMsrs(systemFd: number): readonly number[] {
  if (known !== undefined) return known;
  const buffer = new Uint32Array(1 + MAX_MSRS);
  buffer[0] = MAX_MSRS;
  const { ioctl } = libc;
  if (ioctl(systemFd, KVM_GET_MSR_INDEX_LIST.request, buffer) < 0) {
    const number = errno();
    const hint = number === Errno.E2BIG
      ? `it lists ${buffer[0]}, more than ${MAX_MSRS}`
      : undefined;
    throw new SysError("list the host's model-specific registers", number, hint);
  }
  known = [...buffer.subarray(1, 1 + buffer[0])].filter((index) => index !== MSR_IA32_TSC);
  return known;
}

/** The MSRs of one processor. */
export class MsrFile {
  readonly #fd: number;

  /** @param fd Descriptor of the vCPU. */
  constructor(fd: number) {
    this.#fd = fd;
  }

  /** Values of those of `indices` that KVM can read, in their order. */
  read(indices: readonly number[]): Map<number, bigint> {
    const values = new Map<number, bigint>();
    for (let start = 0; start < indices.length;) {
      const buffer = pack(indices.slice(start).map((index) => [index, 0n]));
      const done = this.#transfer(KVM_GET_MSRS.request, buffer, "read");
      for (let i = 0; i < done; i++) {
        values.set(
          indices[start + i],
          buffer.getBigUint64(HEAD_BYTES + i * ENTRY_BYTES + 8, true),
        );
      }
      start += done + 1;
    }
    return values;
  }

  /**
   * Sets MSRs. KVM stops at the first that it refuses; that is fine for one that has the value.
   *
   * @throws Error for one that has another value and cannot be set
   */
  write(values: ReadonlyMap<number, bigint>): void {
    const entries = [...values];
    for (let start = 0; start < entries.length;) {
      const done = this.#transfer(KVM_SET_MSRS.request, pack(entries.slice(start)), "set");
      start += done;
      if (start === entries.length) break;
      const [index, value] = entries[start++];
      const now = this.read([index]).get(index) ?? 0n;
      if (now !== value) {
        throw new Error(
          `Cannot set MSR 0x${index.toString(16)} to 0x${value.toString(16)}: ` +
            `this host's KVM keeps it at 0x${now.toString(16)}; ` +
            `the state comes from another kind of processor`,
        );
      }
    }
  }

  #transfer(request: number, buffer: DataView<ArrayBuffer>, verb: string): number {
    const { ioctl } = libc;
    const done = ioctl(this.#fd, request, buffer);
    if (done < 0) throw new SysError(`${verb} model-specific registers`, errno());
    return done;
  }
}

function pack(entries: readonly (readonly [number, bigint])[]): DataView<ArrayBuffer> {
  const buffer = new DataView(new ArrayBuffer(HEAD_BYTES + entries.length * ENTRY_BYTES));
  buffer.setUint32(0, entries.length, true);
  entries.forEach(([index, value], i) => {
    buffer.setUint32(HEAD_BYTES + i * ENTRY_BYTES, index, true);
    buffer.setBigUint64(HEAD_BYTES + i * ENTRY_BYTES + 8, value, true);
  });
  return buffer;
}
