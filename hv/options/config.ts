/** What a machine is to be, as a user says it, checked and filled in. */

import { balloonTarget } from "./balloon_options.ts";
import { MAX_CPUS } from "../core/control.ts";
import type { AcceleratorChoice } from "../accel/choose.ts";
import type { BootDevice } from "../core/media/drive_kind.ts";
import { UsageError } from "../errors.ts";
import { type DriveLists, type ResolvedDrive, resolveDrives } from "./drive_options.ts";
import { type NetworkOptions, type ResolvedNetwork, resolveNetworks } from "./network_options.ts";
import { type ResolvedShare, resolveShares, type ShareOptions } from "./share_options.ts";
import { MAX_PORTS, VIRTIO_CONSOLE, virtioCount } from "../pc/board_config.ts";
import { FREE_SLOTS, VIRTIO_MMIO } from "../pc/layout.ts";
import { checkNames, checkWord, type OptionNames } from "./option_names.ts";
import { parseMemory } from "./sizes.ts";
import { type ResolvedVsock, resolveVsock, type VsockOptions } from "./vsock_options.ts";

/** What a machine is to be. Everything has a default; an empty object boots to the ROM monitor. */
export interface MachineOptions extends DriveLists {
  /** RAM: `"256M"`, `"2G"`, or bytes as a number. Default 256M. */
  readonly memory?: string | number;
  /** Virtual processors, 1 to 64. Default 1. */
  readonly cpus?: number;
  /** Default `"auto"`. */
  readonly accelerator?: AcceleratorChoice;
  /** CPU model and features, e.g. `"host,-xsave,+x2apic"`. Default `"host"`. */
  readonly cpu?: string;
  /** Network cards, at most 8. Default: none. */
  readonly network?: NetworkOptions | readonly NetworkOptions[];
  /** Directories of the host that the guest can mount, at most 8. Default: none. */
  readonly share?: ShareOptions | readonly ShareOptions[];
  /** Connections with programs of the host by vsock; a string: the path of the socket. Default: none. */
  readonly vsock?: string | VsockOptions;
  /** Order in which the firmware tries to boot. Default: kernel, floppy, disk, cdrom. */
  readonly boot?: readonly BootDevice[];
  /** `"builtin"` or the file of a firmware image such as SeaBIOS. Default `"builtin"`. */
  readonly bios?: string;
  /** A Linux bzImage, ELF kernel (PVH) or multiboot kernel to start directly. */
  readonly kernel?: string;
  /** Initial RAM disk for `kernel`. */
  readonly initrd?: string;
  /** Command line for `kernel`. */
  readonly append?: string;
  /** How to enter a Linux kernel: through its 16-bit set-up code and the firmware, or directly. */
  readonly kernelEntry?: "auto" | "real16" | "long64";
  /** Serial ports, 0 to 4. Default 1; with a virtio console 0. */
  readonly serialPorts?: number;
  /**
   * Where the machine's console is: the first serial port, or a virtio console, `hvc0` in Linux. With the
   * latter there are no serial ports unless `serialPorts` says so. Default `"serial"`.
   */
  readonly console?: "serial" | "virtio";
  /** Names of virtio ports, at most 31: see `Machine.port`. */
  readonly ports?: readonly string[];
  /**
   * A virtio memory balloon: the guest's free memory goes back to the host, and it can be asked for more:
   * `Machine.balloon`. A size such as `"128M"`: what the guest is to get by with at first. Default false.
   */
  readonly balloon?: boolean | string | number;
  /**
   * A virtio entropy device, filled by the host. Default false, for direct kernels, too: both
   * accelerators have RDRAND, and the device costs a thread.
   */
  readonly rng?: boolean;
  /**
   * How virtio devices are reached: on the PCI bus, or each by a window of memory that ACPI announces.
   * Default `"pci"`.
   */
  readonly virtioTransport?: "pci" | "mmio";
  /** Offer packed rings to drivers of virtio devices, which take them then. Default false. */
  readonly virtioPacked?: boolean;
  /** QEMU's pc-testdev, for kvm-unit-tests. Default false. */
  readonly testDevices?: boolean;
  /**
   * Is somebody there who types, when the built-in firmware finds nothing to boot? False: the machine
   * ends, and with it every wait, by `failed` and what was tried and why it cannot be booted; else the
   * firmware's ROM monitor waits for commands. It can be said later, too: `Machine.attended`. Default true.
   */
  readonly attended?: boolean;
  /** End the machine when the guest asks for a reset. Default false. */
  readonly noReboot?: boolean;
  /**
   * Text on the console that means that the guest is dead and ends every wait. Default: a Linux
   * kernel's panic.
   */
  readonly panicPatterns?: readonly RegExp[];
  /**
   * Told, in one line, what fails on the host while the guest goes on, such as a disk that is full;
   * default: nobody.
   */
  readonly onWarning?: (line: string) => void;
  /**
   * Told again and again, while the machine is made, how many of its processors' threads are up: each
   * takes about a tenth of a second of a host's processor. Default: nobody.
   */
  readonly onStarting?: (up: number, of: number) => void;
}

/** `MachineOptions` with everything decided that does not need the host. */
export interface ResolvedConfig {
  readonly ramBytes: number;
  readonly cpus: number;
  readonly accelerator: AcceleratorChoice;
  readonly cpu: string;
  readonly drives: readonly ResolvedDrive[];
  readonly networks: readonly ResolvedNetwork[];
  readonly shares: readonly ResolvedShare[];
  readonly vsock: ResolvedVsock | undefined;
  readonly bootOrder: readonly BootDevice[];
  readonly bios: string;
  readonly kernel: string | undefined;
  readonly initrd: string | undefined;
  readonly append: string;
  readonly kernelEntry: "auto" | "real16" | "long64";
  readonly serialPorts: number;
  readonly virtioConsole: boolean;
  readonly ports: readonly string[];
  readonly balloon: boolean;
  /** Bytes that the guest is to get by with at first. */
  readonly balloonTarget: number;
  readonly rng: boolean;
  readonly virtioTransport: "pci" | "mmio";
  readonly virtioPacked: boolean;
  readonly testDevices: boolean;
  readonly attended: boolean;
  readonly noReboot: boolean;
  readonly panicPatterns: readonly RegExp[];
  readonly onWarning: (line: string) => void;
  readonly onStarting: (up: number, of: number) => void;
}

/** RAM of a machine whose user says nothing about it. */
export const DEFAULT_MEMORY = "256M";

const NAMES: OptionNames<Required<MachineOptions>> = {
  memory: true,
  cpus: true,
  accelerator: true,
  cpu: true,
  floppy: true,
  disk: true,
  cdrom: true,
  network: true,
  share: true,
  vsock: true,
  boot: true,
  bios: true,
  kernel: true,
  initrd: true,
  append: true,
  kernelEntry: true,
  serialPorts: true,
  console: true,
  ports: true,
  balloon: true,
  rng: true,
  virtioTransport: true,
  virtioPacked: true,
  testDevices: true,
  attended: true,
  noReboot: true,
  panicPatterns: true,
  onWarning: true,
  onStarting: true,
};

const BOOT_DEVICES: readonly BootDevice[] = ["kernel", "floppy", "disk", "cdrom"];

/**
 * Checks options and fills in the defaults.
 *
 * @throws {UsageError} When something cannot be; files are looked at later.
 */
export function resolveConfig(options: MachineOptions): ResolvedConfig {
  checkNames("A machine", options, NAMES);
  checkWord("accelerator", options.accelerator, ["auto", "kvm", "soft"]);
  checkWord("console", options.console, ["serial", "virtio"]);
  checkWord("kernelEntry", options.kernelEntry, ["auto", "real16", "long64"]);
  checkWord("virtioTransport", options.virtioTransport, ["pci", "mmio"]);
  if (options.kernel === undefined && options.initrd !== undefined) {
    throw new UsageError("Cannot use an initrd without a kernel: give one with --kernel");
  }
  if (options.kernel === undefined && options.append !== undefined) {
    throw new UsageError("Cannot use a command line without a kernel: give one with --kernel");
  }
  if (options.kernel === undefined && options.kernelEntry !== undefined) {
    throw new UsageError("Cannot enter a kernel without one: give it with --kernel");
  }
  const ramBytes = parseMemory(options.memory ?? DEFAULT_MEMORY);
  const { balloon } = options;
  const virtioConsole = options.console === "virtio";
  const devices = {
    drives: resolveDrives(options),
    networks: resolveNetworks(
      options.network,
      options.kernel === undefined ? "e1000" : "virtio",
    ),
    shares: resolveShares(options.share),
    vsock: resolveVsock(options.vsock),
    virtioConsole,
    ports: portNames(options.ports ?? []),
    balloon: balloon !== undefined && balloon !== false,
    rng: options.rng ?? false,
    virtioTransport: options.virtioTransport ?? "pci",
  };
  const onPci = devices.networks.filter((n) => n.model !== "virtio" && n.isa === undefined).length +
    (devices.virtioTransport === "pci" ? virtioCount(devices) : 0);
  if (onPci > FREE_SLOTS.count) {
    throw new UsageError(
      `Cannot put ${onPci} network cards and virtio devices on the PCI bus: ` +
        `the board has room for ${FREE_SLOTS.count}`,
    );
  }
  if (devices.virtioTransport === "mmio" && virtioCount(devices) > VIRTIO_MMIO.most) {
    throw new UsageError(
      `Cannot attach ${virtioCount(devices)} virtio devices by MMIO: ` +
        `the board has room for ${VIRTIO_MMIO.most}`,
    );
  }
  return {
    ...devices,
    ramBytes,
    cpus: wholeNumber("processors", options.cpus ?? 1, 1, MAX_CPUS),
    accelerator: options.accelerator ?? "auto",
    cpu: options.cpu ?? "host",
    bootOrder: bootOrder(options.boot),
    bios: options.bios ?? "builtin",
    kernel: options.kernel,
    initrd: options.initrd,
    append: options.append ?? "",
    kernelEntry: options.kernelEntry ?? "auto",
    serialPorts: wholeNumber("serial ports", options.serialPorts ?? (virtioConsole ? 0 : 1), 0, 4),
    balloonTarget: typeof balloon === "string" || typeof balloon === "number"
      ? balloonTarget(balloon, ramBytes)
      : ramBytes,
    virtioPacked: options.virtioPacked ?? false,
    testDevices: options.testDevices ?? false,
    attended: options.attended ?? true,
    noReboot: options.noReboot ?? false,
    onWarning: options.onWarning ?? (() => {}),
    onStarting: options.onStarting ?? (() => {}),
    panicPatterns: options.panicPatterns ?? [/Kernel panic - not syncing[^\n]*\n/],
  };
}

/** The guest has them as file names, and the standard as so many bytes as there is room for. */
function portNames(names: readonly string[]): readonly string[] {
  if (names.length > MAX_PORTS) {
    throw new UsageError(
      `Cannot have ${names.length} virtio ports: the device has room for ${MAX_PORTS}`,
    );
  }
  for (const [i, name] of names.entries()) {
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name) || name === VIRTIO_CONSOLE) {
      throw new UsageError(
        `Cannot name a virtio port "${name}": letters, digits, ".", "_" and "-" are possible, 64 ` +
          `at most, and not "${VIRTIO_CONSOLE}"`,
      );
    }
    if (names.indexOf(name) < i) throw new UsageError(`Cannot have two ports named "${name}"`);
  }
  return names;
}

function wholeNumber(what: string, value: number, low: number, high: number): number {
  if (!Number.isInteger(value) || value < low || value > high) {
    throw new UsageError(
      `Cannot have ${value} ${what}: a whole number from ${low} to ${high} is needed`,
    );
  }
  return value;
}

function bootOrder(order: readonly BootDevice[] | undefined): readonly BootDevice[] {
  for (const device of order ?? []) {
    if (!BOOT_DEVICES.includes(device)) {
      throw new UsageError(
        `Cannot boot from "${device}": ${BOOT_DEVICES.join(", ")} are possible`,
      );
    }
  }
  return order === undefined || order.length === 0 ? BOOT_DEVICES : [...new Set(order)];
}
