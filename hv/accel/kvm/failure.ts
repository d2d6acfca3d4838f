/** Why KVM cannot go on, in words that a user can act on. */

import * as run from "./api/run_page.ts";
import { RUN } from "./api/run_page.ts";

const hex = (value: number | bigint) => `0x${value.toString(16)}`;
const hexBytes = (bytes: Uint8Array) =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");

const INTERNAL: Record<number, string> = {
  [run.KVM_INTERNAL_ERROR_EMULATION]: "KVM cannot emulate an instruction",
  [run.KVM_INTERNAL_ERROR_SIMUL_EX]: "two exceptions at once that KVM cannot combine",
  [run.KVM_INTERNAL_ERROR_DELIVERY_EV]: "KVM met an exit while it delivered an event",
  [run.KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON]: "the processor left the guest unexpectedly",
};

/** What is known about the instruction that a processor stopped at. */
export interface Position {
  /** Linear address of the instruction. */
  readonly linear: number;
  /** CS and RIP, as `cs:ip` hexadecimal. */
  readonly address: string;
  /** Up to 15 bytes from that address in guest memory; empty when it cannot be read. */
  readonly bytes: Uint8Array;
}

/** @param gap Why the software CPU could not execute the instruction in KVM's place. */
const emulationAdvice = (gap: string) =>
  "the host runs kernel-mode code through KVM's emulator, which lacks this instruction" +
  (gap === "" ? "" : `, and ${gap}`) + ": run it on a host with VT-x or AMD-V";

/**
 * Describes the exit in `page` (kvm_run) of a processor that stopped at `at`.
 *
 * @param gap Why the software CPU could not do what KVM could not.
 */
export function describeExit(page: DataView, at: Position, gap = ""): string {
  const reason = page.getUint32(RUN.exit_reason, true);
  const where = `at ${at.address} (linear ${hex(at.linear)})`;
  const memory = at.bytes.length > 0 ? `, bytes ${hexBytes(at.bytes)}` : "";
  switch (reason) {
    case run.KVM_EXIT_INTERNAL_ERROR: {
      const suberror = page.getUint32(RUN.internal_suberror, true);
      const text = INTERNAL[suberror] ?? "KVM met an internal error";
      const bytes = instructionBytes(page, suberror) ?? at.bytes;
      const shown = bytes.length > 0 ? `, bytes ${hexBytes(bytes)}` : "";
      const advice = suberror !== run.KVM_INTERNAL_ERROR_EMULATION
        ? `data ${internalData(page)}`
        : bytes.length > 0
        ? emulationAdvice(gap)
        : "the guest runs where there is no memory";
      return `${text} ${where}${shown} (KVM_EXIT_INTERNAL_ERROR, suberror ${suberror}); ${advice}`;
    }
    case run.KVM_EXIT_FAIL_ENTRY: {
      const code = hex(page.getBigUint64(RUN.hardware_entry_failure_reason, true));
      return `the processor refused to enter the guest ${where}: reason ${code} ` +
        `(KVM_EXIT_FAIL_ENTRY); the guest's state is invalid, or the host's KVM is at fault`;
    }
    case run.KVM_EXIT_UNKNOWN: {
      const code = hex(page.getBigUint64(RUN.hardware_exit_reason, true));
      return `the processor left the guest ${where} for a reason unknown to KVM: ${code} ` +
        `(KVM_EXIT_UNKNOWN)`;
    }
    case run.KVM_EXIT_SYSTEM_EVENT:
      return `the guest reported system event ${page.getUint32(RUN.system_event_type, true)} ` +
        `${where} (KVM_EXIT_SYSTEM_EVENT)`;
    default:
      return `KVM stopped for reason ${reason}, which hv does not handle, ${where}${memory}`;
  }
}

/** Describes an error number that KVM_RUN itself returned. */
export function describeRunError(code: string, at: Position): string {
  const advice = code === "EFAULT"
    ? "the guest used memory that the host cannot provide"
    : "the host's KVM refused to run the processor";
  return `KVM_RUN failed with ${code} at ${at.address} (linear ${hex(at.linear)}); ${advice}`;
}

function instructionBytes(page: DataView, suberror: number): Uint8Array | undefined {
  if (suberror !== run.KVM_INTERNAL_ERROR_EMULATION) return undefined;
  if (page.getUint32(RUN.internal_ndata, true) < 3) return undefined;
  const flags = page.getUint32(RUN.emulation_flags, true);
  if ((flags & run.KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) === 0) return undefined;
  const size = Math.min(15, page.getUint8(RUN.emulation_insn_size));
  if (size === 0) return undefined;
  return new Uint8Array(page.buffer, page.byteOffset + RUN.emulation_insn_bytes, size).slice();
}

function internalData(page: DataView): string {
  const count = Math.min(16, page.getUint32(RUN.internal_ndata, true));
  const words = Array.from(
    { length: count },
    (_, i) => hex(page.getBigUint64(RUN.internal_data + i * 8, true)),
  );
  return words.length > 0 ? words.join(" ") : "none";
}
