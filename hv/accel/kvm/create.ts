/** Makes a virtual machine on KVM. */

import { bytesOf } from "../../core/state/record.ts";
import { addressOf } from "../../sys/address.ts";
import { closeDescriptor } from "../../sys/descriptor.ts";
import { Errno, SysError } from "../../sys/errors.ts";
import { ignoreKicks } from "../../sys/thread.ts";
import { Chips } from "./state/chips.ts";
import { buildCpuid } from "./cpuid.ts";
import { supportedCpuid, writeCpuid } from "./cpuid_table.ts";
import { PhysicalMap } from "../soft/memory/physical_map.ts";
import { worldBuffer } from "../soft/world.ts";
import { kickTable, type KvmDetail } from "./detail.ts";
import { FilledTable } from "./gaps/filled.ts";
import { checkCapability, emulatesRealMode, openKvm } from "./host.ts";
import * as k from "./api/ioctl.ts";
import { call, callValue, Cap } from "./api/ioctl.ts";
import { routeInterrupts } from "./routing.ts";
import * as s from "./api/structs.ts";
import { KvmVm } from "./vm.ts";

/**
 * Three pages for KVM's own use on Intel processors, and one for its identity map, below the
 * firmware's top 256 KiB and above the local APICs.
 */
const TSS_ADDRESS = 0xfffb_d000;
const IDENTITY_MAP_ADDRESS = 0xfffb_c000;

/** What a machine on KVM is made of. */
export interface KvmOptions {
  readonly memory: WebAssembly.Memory;
  /** Number of virtual processors. */
  readonly cpus: number;
  /** Features, e.g. `host,-xsave` (see cpuid.ts). */
  readonly cpu: string;
  /** KVM's device, for tests. */
  readonly path?: string;
}

/**
 * Makes a machine with `cpus` processors and no memory mapped. Its owner disposes of it last.
 *
 * @throws SysError, Error
 */
export function createKvmVm(options: KvmOptions): KvmVm {
  const fds: number[] = [];
  try {
    return build(options, fds);
  } catch (error) {
    for (const fd of fds.reverse()) closeDescriptor(fd);
    throw error;
  }
}

function build({ memory, cpus, cpu, path }: KvmOptions, fds: number[]): KvmVm {
  const systemFd = openKvm(path);
  fds.push(systemFd);
  const most = checkCapability(systemFd, "KVM_CAP_MAX_VCPUS") || 4;
  if (!Number.isInteger(cpus) || cpus < 1 || cpus > most) {
    throw new RangeError(`Cannot make ${cpus} processors: this host's KVM allows 1 to ${most}`);
  }
  const supported = supportedCpuid(systemFd);
  const deadline = checkCapability(systemFd, "KVM_CAP_TSC_DEADLINE_TIMER") > 0;
  // Before anything is made, so that a mistake in the expression costs nothing.
  const cpuid = Array.from(
    { length: cpus },
    (_, index) => buildCpuid(supported, { cpu, cpus, index, deadline }),
  );

  ignoreKicks();
  const vmFd = createMachine(systemFd);
  fds.push(vmFd);
  callValue(vmFd, k.KVM_SET_TSS_ADDR, TSS_ADDRESS);
  call(vmFd, k.KVM_SET_IDENTITY_MAP_ADDR, new BigUint64Array([BigInt(IDENTITY_MAP_ADDRESS)]));
  call(vmFd, k.KVM_CREATE_IRQCHIP, null);
  const pit = new s.kvm_pit_config(new ArrayBuffer(s.kvm_pit_config.byteLength));
  pit.flags = s.KVM_PIT_SPEAKER_DUMMY;
  call(vmFd, k.KVM_CREATE_PIT2, bytesOf(pit));
  const emulated = emulatesRealMode();
  if (emulated) dropMissedTicks(vmFd);
  routeInterrupts(vmFd);
  const resetChips = new Chips(vmFd).saveForReset();

  if (checkCapability(systemFd, "KVM_CAP_EXIT_ON_EMULATION_FAILURE") > 0) exitOnFailure(vmFd);

  const vcpuFds = cpuid.map((leaves, index) => {
    const fd = callValue(vmFd, k.KVM_CREATE_VCPU, index, "fewer processors may be possible");
    fds.push(fd);
    writeCpuid(fd, leaves);
    // Nothing is blocked inside KVM_RUN: any signal ends it, the kick among them.
    const mask = new Uint32Array([8, 0, 0]);
    call(fd, k.KVM_SET_SIGNAL_MASK, mask);
    return fd;
  });

  const detail: KvmDetail = {
    systemFd,
    vmFd,
    vcpuFds,
    runBytes: callValue(systemFd, k.KVM_GET_VCPU_MMAP_SIZE, 0),
    syncRegisters: checkCapability(systemFd, "KVM_CAP_SYNC_REGS"),
    emulates: emulated,
    memoryAddress: addressOf(new Uint8Array(memory.buffer)),
    map: PhysicalMap.buffers(memory.buffer.byteLength),
    world: worldBuffer(cpus),
    filled: vcpuFds.map(() => new SharedArrayBuffer(FilledTable.byteLength)),
    kicks: new SharedArrayBuffer(kickTable(cpus).byteLength),
    resetChips,
  };
  const vm = new KvmVm({ accelerator: "kvm", cpus, memory, detail }, true);
  try {
    for (let index = 0; index < cpus; index++) {
      using vcpu = vm.openVcpu(index);
      vcpu.reset();
    }
  } catch (error) {
    // Its descriptors are in `fds`, which the caller closes.
    throw new Error(`Cannot reset the machine's processors: ${(error as Error).message}`, {
      cause: error,
    });
  }
  return vm;
}

/**
 * KVM makes up for timer ticks that the guest had no time for: each is raised anew as soon as the one
 * before has been acknowledged. A slow processor never catches up, and interrupts of lower priority
 * wait until drivers give up (SeaBIOS's for the floppy does). Here a missed tick stays missed, as with
 * a real 8254; at full speed, guests' clocks are better off with every tick.
 */
function dropMissedTicks(vmFd: number): void {
  const control = new s.kvm_reinject_control(new ArrayBuffer(s.kvm_reinject_control.byteLength));
  control.pit_reinject = 0;
  call(vmFd, k.KVM_REINJECT_CONTROL, bytesOf(control));
}

/**
 * Unprivileged code's instructions too end the run when KVM cannot emulate them, instead of giving the
 * guest an undefined-opcode exception.
 */
function exitOnFailure(vmFd: number): void {
  const enable = new s.kvm_enable_cap(new ArrayBuffer(s.kvm_enable_cap.byteLength));
  enable.cap = Cap.KVM_CAP_EXIT_ON_EMULATION_FAILURE;
  enable.args[0] = 1n;
  call(vmFd, k.KVM_ENABLE_CAP, bytesOf(enable));
}

function createMachine(systemFd: number): number {
  for (let attempt = 0;; attempt++) {
    try {
      return callValue(
        systemFd,
        k.KVM_CREATE_VM,
        0,
        "the host may be out of memory or descriptors",
      );
    } catch (error) {
      // A signal to the process interrupts it; it is not our kick, as nothing runs yet.
      const interrupted = error instanceof SysError && error.errno === Errno.EINTR;
      if (!interrupted || attempt === 10) throw error;
    }
  }
}
