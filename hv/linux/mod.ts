/**
 * A Linux to try: Debian's kernel for virtual machines with busybox, as far as this host can fetch
 * their packages.
 *
 * @module
 */

import { fileProblem } from "../core/file_problem.ts";
import type { Progress } from "./apt.ts";
import { initramfs } from "./initramfs.ts";
import { selectModules } from "./kernel_modules.ts";
import { PackageError } from "./package_error.ts";
import {
  BUSYBOX,
  type FetchOptions,
  fetchPackage,
  GENERAL_KERNEL,
  KERNEL,
  packageCache,
  PART,
} from "./packages.ts";

export { PackageError, type Progress };

/** What `Machine.start` takes, and what the shell says when it can be typed to. */
export interface LinuxToTry {
  readonly prompt: string;
  readonly kernel: string;
  readonly initrd: string;
  readonly append: string;
}

/** How many characters the terminal shows, for programs on the serial console. */
export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

/** Drivers of what hv's machines have, and file systems of disks that they may hold. */
const MODULES = [
  ...["virtio_pci", "virtio_mmio", "virtio_blk", "virtio_net", "virtio_console", "virtio_rng"],
  ...["virtio_balloon", "virtio_scsi", "virtio_input", "vmw_vsock_virtio_transport", "9p"],
  ...[
    "9pnet_virtio",
    "ata_piix",
    "ata_generic",
    "sd_mod",
    "sr_mod",
    "e1000",
    "ne2k_pci",
    "i2c_piix4",
  ],
  ...["ext4", "vfat", "nls_cp437", "nls_ascii", "isofs", "loop", "squashfs", "overlay"],
];

/** How to make it. */
export interface LinuxOptions extends FetchOptions {
  /** Where its shell is: first serial port, virtio console, screen and keyboard. Default: ttyS0. */
  readonly console?: "ttyS0" | "hvc0" | "tty0";
  /** Mount the machine's shared directories, each at /mnt and its tag. */
  readonly hasShares?: boolean;
  /** A script is piped in: the shell comes when drivers and networks are there. */
  readonly isScripted?: boolean;
  /** Of the terminal that the serial port is on, where it is on one. */
  readonly size?: TerminalSize;
}

/**
 * No mitigations and no self-tests: the guest is to be tried, and quickly. The kernel gives what it does
 * not know, in capitals, to its first program.
 */
const COMMAND_LINE = "mitigations=off cryptomgr.notests no_timer_check " +
  "rcupdate.rcu_expedited=1 random.trust_cpu=on panic=-1";

/**
 * The driver of a virtio console is a module, without which there is no `/dev/console` either. The other
 * drivers are loaded while the shell waits for its user, who else would wait for them: an IDE channel
 * without drives takes a second. A script would find nothing there yet, so its shell comes afterwards.
 * What they say goes to the kernel's log only (`dmesg`).
 */
const INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/root ENV=/etc/profile TERM="\${TERM:-vt102}"
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts && mount -t devpts pts /dev/pts
hostname hv
dmesg -n 4
if [ "$HVC" ]; then
  modprobe -a virtio_pci virtio_console
  exec < /dev/hvc0 > /dev/hvc0 2>&1
fi
if [ "$SHARES" ]; then
  modprobe -a virtio_pci 9pnet_virtio 9p
  for file in /sys/bus/virtio/drivers/9pnet_virtio/virtio*/mount_tag; do
    tag="$(cat "$file")"
    mkdir -p "/mnt/$tag"
    mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 "$tag" "/mnt/$tag"
  done
fi
sh -c 'renice -n 19 -p $$
for bus in pci virtio; do
  grep -sh . /sys/bus/$bus/devices/*/modalias | xargs -r modprobe -qab
done
ip link set lo up
for card in /sys/class/net/*/device; do
  name=\${card%/device}
  name=\${name##*/}
  ip link set $name up
  udhcpc -qbS -i $name
done' &
[ "$SCRIPTED" ] && wait
[ -n "$ROWS" ] && stty rows "$ROWS" cols "$COLS" < /dev/console
memory=$(($(sed -n 's/^MemTotal: *\\([0-9]*\\).*/\\1/p' /proc/meminfo) / 1024))
processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
cat <<END

$(uname -sr) with busybox, in memory: nothing is kept.
$(nproc) x $processor, $memory MiB free for use.
"poweroff" ends it; on a terminal, so does Ctrl-A X.

END
cd
setsid cttyhack sh
poweroff -f
`;

/** The prompt below, in the folder that the shell starts in. */
const PROMPT = "hv:~# ";
const PROFILE = `export PS1='hv:\\w# '
alias poweroff='poweroff -f' reboot='reboot -f' halt='poweroff -f' ll='ls -l'
`;

/**
 * Fetches what is missing and builds the root file system.
 *
 * @throws {PackageError} Where this host cannot fetch them.
 */
export async function linuxToTry(
  { console = "ttyS0", size, hasShares = false, isScripted = false, ...options }: LinuxOptions = {},
): Promise<LinuxToTry> {
  const kernelFolder = await fetchPackage(hasShares ? GENERAL_KERNEL : KERNEL, options);
  const busybox = await fetchPackage(BUSYBOX, options);
  const release = onlyName(`${kernelFolder}/lib/modules`);
  const archive = initramfs({
    busybox: Deno.readFileSync(`${busybox}/bin/busybox`),
    release,
    modules: selectModules(`${kernelFolder}/lib/modules/${release}`, MODULES),
    init: INIT,
    profile: PROFILE,
  });
  const hvc = console === "hvc0" ? " HVC=1" : "";
  const shares = hasShares ? " SHARES=1" : "";
  const scripted = isScripted ? " SCRIPTED=1" : "";
  const terminal = size === undefined ? "" : ` ROWS=${size.rows} COLS=${size.columns}`;
  return {
    prompt: PROMPT,
    kernel: `${kernelFolder}/boot/vmlinuz-${release}`,
    initrd: await keep(archive, `${packageCache()}/initramfs-${release}`),
    append: `console=${console} ${COMMAND_LINE}${hvc}${shares}${scripted}${terminal}`,
  };
}

/** @throws {PackageError} When there is nothing in the folder. */
function onlyName(folder: string): string {
  const [first] = Deno.readDirSync(folder);
  if (first === undefined) throw new PackageError(`there is nothing in ${folder}: remove it`);
  return first.name;
}

/** Writes a file whole or not at all: two that start at once do not see half of it. */
async function keep(data: Uint8Array, path: string): Promise<string> {
  const part = `${path}.${crypto.randomUUID()}${PART}`;
  try {
    await Deno.writeFile(part, data);
    await Deno.rename(part, path);
  } catch (error) {
    await Deno.remove(part).catch(() => {});
    throw new PackageError(`cannot write ${path}: ${fileProblem(error)}`, { cause: error });
  }
  return path;
}
