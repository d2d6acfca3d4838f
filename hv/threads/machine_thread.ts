/**
 * What every thread of a machine builds for itself over the same shared memory: the accelerator's
 * virtual machine, the clock, the control words and the board.
 */

import type { AcceleratedVm, VmHandle } from "../accel/accelerator.ts";
import { loadAccelerator } from "../accel/load.ts";
import { openVm } from "../accel/open.ts";
import { type BoardConfig, type NetworkCardConfig, virtioCount } from "../pc/board_config.ts";
import { Control } from "../core/control.ts";
import { Arena } from "../core/state/arena.ts";
import { ClockState, GuestClock } from "../core/time/clock.ts";
import { GuestMemory } from "../core/memory/guest_memory.ts";
import { Timers } from "../core/time/timer.ts";
import type { PcInterrupts } from "../../devices/interrupts/pc_interrupts.ts";
import type { FirmwareParts } from "../pc/firmware/firmware.ts";
import { Pc } from "../pc/pc.ts";
import { makeInterrupts } from "../pc/make_interrupts.ts";
import type { addNetworks } from "../pc/networks.ts";
import type { PcVirtio } from "../pc/virtio/virtio.ts";
import { monotonicNs } from "../sys/clock.ts";
import { EventFd } from "../sys/wait/event_fd.ts";

/** Room for all state records of a board, in bytes; untouched pages cost nothing. */
const ARENA_BYTES = 16 << 20;
/** The last part of it is for the interrupt controllers, which not every accelerator needs. */
const CHIP_ARENA_BYTES = 1 << 20;

/** What main posts to a worker: everything needed to attach to the machine. Cloneable. */
export interface MachineSeed {
  readonly config: BoardConfig;
  readonly arena: SharedArrayBuffer;
  readonly ramBytes: number;
  readonly vm: VmHandle;
  /** The eventfd that wakes the I/O worker. */
  readonly doorbell: number;
}

/** One thread's view of the machine. */
export interface MachineThread extends Disposable {
  readonly vm: AcceleratedVm;
  readonly memory: GuestMemory;
  readonly clock: GuestClock;
  readonly control: Control;
  readonly pc: Pc;
}

/** A new arena for a machine's state. */
export const newArena = (): SharedArrayBuffer => new SharedArrayBuffer(ARENA_BYTES);

/** The clock of a machine, which is the first thing in its arena. */
export const clockIn = (arena: Arena): GuestClock =>
  new GuestClock(arena.allocate(ClockState, "clock"), monotonicNs);

/** The arena of the interrupt controllers, for an accelerator that has none of its own. */
export const chipArenaOf = ({ arena }: MachineSeed): Arena =>
  new Arena(arena, ARENA_BYTES - CHIP_ARENA_BYTES);

/** The code of what a board has, beside what every board has: loaded before a thread attaches. */
export interface ThreadParts extends FirmwareParts {
  /** Interrupt controllers, for an accelerator that has none of its own. */
  readonly PcInterrupts?: typeof PcInterrupts;
  readonly PcVirtio?: typeof PcVirtio;
  readonly addNetworks?: typeof addNetworks;
}

/** What has to be known of a board to load its parts. */
export type PartsNeeded =
  & Pick<BoardConfig, "accelerator">
  & Parameters<typeof virtioCount>[0]
  & { readonly networks: readonly Pick<NetworkCardConfig, "model">[] };

/** Loads the parts of a board that every thread needs, and what its accelerator consists of. */
export async function loadParts(board: PartsNeeded): Promise<ThreadParts> {
  const parts = { PcInterrupts: await loadInterrupts(board.accelerator) };
  const { PcVirtio } = virtioCount(board) > 0
    ? await import("../pc/virtio/virtio.ts")
    : { PcVirtio: undefined };
  const { addNetworks } = board.networks.length > 0
    ? await import("../pc/networks.ts")
    : { addNetworks: undefined };
  return { ...parts, PcVirtio, addNetworks };
}

/** Loads the built-in firmware: a quarter of all modules, for main and the processors' threads alone. */
export async function loadBuiltinFirmware(): Promise<FirmwareParts> {
  return await import("../pc/firmware/builtin_firmware.ts");
}

/** Loads what a processor's thread serves a board's firmware with. */
export async function loadFirmware(firmware: BoardConfig["firmware"]): Promise<FirmwareParts> {
  if (firmware === "builtin") return await loadBuiltinFirmware();
  return await import("../pc/firmware/image_files.ts");
}

/** Loads what an accelerator consists of, and its interrupt controllers where the board has to have them. */
export async function loadInterrupts(
  accelerator: BoardConfig["accelerator"],
): Promise<typeof PcInterrupts | undefined> {
  if (accelerator === "kvm") return undefined;
  await loadAccelerator(accelerator);
  return (await import("../../devices/interrupts/pc_interrupts.ts")).PcInterrupts;
}

/** The interrupt controllers as main uses them: it gives them to the virtual machine of the moment. */
export function mainInterrupts(
  Interrupts: typeof PcInterrupts,
  seed: MachineSeed,
  { clock, control }: MachineThread,
  vm: AcceleratedVm,
): PcInterrupts {
  const chipArena = chipArenaOf(seed);
  const timers = new Timers(chipArena, clock, (deadlineNs) => control.wakeBy(deadlineNs));
  return makeInterrupts(Interrupts, { chipArena, timers, clock, cpus: seed.config.cpus, vm });
}

/**
 * Attaches the calling thread to a machine.
 *
 * @param vm The virtual machine's object of this thread; default: opened, and closed with the rest.
 */
export function attachMachine(
  seed: MachineSeed,
  parts: ThreadParts,
  vm?: AcceleratedVm,
): MachineThread {
  const arena = new Arena(seed.arena, 0, ARENA_BYTES - CHIP_ARENA_BYTES);
  const clock = clockIn(arena);
  const opened = vm ?? openVm(seed.vm, clock);
  const chipArena = chipArenaOf(seed);
  const memory = new GuestMemory({ memory: seed.vm.memory, ramBytes: seed.ramBytes });
  const doorbell = new EventFd(seed.doorbell);
  const control = new Control(arena, () => doorbell.signal());
  const pc = new Pc(seed.config, {
    arena,
    chipArena,
    memory,
    vm: opened,
    clock,
    control,
    doorbell: seed.doorbell,
    ...parts,
  });
  memory.onTouch = opened.hostWrote?.bind(opened);
  return {
    vm: opened,
    memory,
    clock,
    control,
    pc,
    [Symbol.dispose]() {
      if (vm === undefined) opened[Symbol.dispose]();
    },
  };
}
