/** The host's KVM: opening it, with clear errors, and what it offers. */

import { O_RDWR, openDescriptor } from "../../sys/descriptor.ts";
import { Errno } from "../../sys/errors.ts";
import { FileHandle } from "../../sys/file/file.ts";
import { libc } from "../../sys/libc.ts";
import {
  callValue,
  Cap,
  type CapName,
  KVM_CHECK_EXTENSION,
  KVM_GET_API_VERSION,
} from "./api/ioctl.ts";

/** The device. */
export const KVM_PATH = "/dev/kvm";

const API_VERSION = 12;

/** What hv cannot do without. */
const REQUIRED: readonly CapName[] = [
  "KVM_CAP_IRQCHIP",
  "KVM_CAP_USER_MEMORY",
  "KVM_CAP_SET_TSS_ADDR",
  "KVM_CAP_EXT_CPUID",
  "KVM_CAP_MP_STATE",
  "KVM_CAP_IRQ_ROUTING",
  "KVM_CAP_IRQFD",
  "KVM_CAP_PIT2",
  "KVM_CAP_PIT_STATE2",
  "KVM_CAP_IOEVENTFD",
  "KVM_CAP_SET_IDENTITY_MAP_ADDR",
  "KVM_CAP_ADJUST_CLOCK",
  "KVM_CAP_VCPU_EVENTS",
  "KVM_CAP_DEBUGREGS",
  "KVM_CAP_XSAVE",
  "KVM_CAP_XCRS",
  "KVM_CAP_SIGNAL_MSI",
  "KVM_CAP_READONLY_MEM",
  "KVM_CAP_IMMEDIATE_EXIT",
];

function openHint(errno: number): string {
  switch (errno) {
    case Errno.ENOENT:
      return "load the module kvm_intel or kvm_amd, enable virtualization in the firmware setup " +
        "(or nested virtualization, in a virtual machine)";
    case Errno.EACCES:
    case Errno.EPERM:
      return "add your user to the kvm group";
    case Errno.ENODEV:
    case Errno.ENXIO:
      return "this host's processor has no virtualization for KVM";
    case Errno.EMFILE:
    case Errno.ENFILE:
      return "raise the limit of open files (ulimit -n)";
    case Errno.EBUSY:
      return "another hypervisor has the processor's virtualization";
    default:
      return "";
  }
}

/**
 * Opens the host's KVM and checks that it has what hv needs; the caller closes the descriptor.
 *
 * @throws SysError, Error
 */
export function openKvm(path: string = KVM_PATH): number {
  const fd = openDescriptor(path, O_RDWR, { hint: openHint });
  try {
    const version = callValue(fd, KVM_GET_API_VERSION, 0, `${path} is not KVM`);
    if (version !== API_VERSION) {
      throw new Error(`Cannot use ${path}: its API version is ${version}, 12 is required`);
    }
    const missing = REQUIRED.filter((name) => checkCapability(fd, name) === 0);
    if (missing.length > 0) {
      throw new Error(`Cannot use ${path}: it lacks ${missing.join(", ")}; use a newer kernel`);
    }
    return fd;
  } catch (error) {
    libc.close(fd);
    throw error;
  }
}

/** What the host's KVM answers for a capability: 0 when it has it not. */
export function checkCapability(systemFd: number, name: CapName): number {
  return callValue(systemFd, KVM_CHECK_EXTENSION, Cap[name]);
}

let emulates: boolean | undefined;

/**
 * Does KVM run real-mode code in its instruction emulator here? It does where the processor announces
 * neither VT-x nor AMD-V, as in a virtual machine whose kernel offers KVM all the same.
 */
export function emulatesRealMode(): boolean {
  return emulates ??= !/^flags\s*:.*\b(vmx|svm)\b/m.test(readProcessorInfo());
}

/**
 * The first processor's lines of /proc/cpuinfo, which is long where there are many. Deno's own functions
 * read /proc only with all permissions.
 */
function readProcessorInfo(): string {
  const buffer = new Uint8Array(8192);
  try {
    using file = FileHandle.open("/proc/cpuinfo");
    return new TextDecoder().decode(buffer.subarray(0, file.read(buffer, 0)));
  } catch {
    return ""; // nothing is known: KVM is measured
  }
}
