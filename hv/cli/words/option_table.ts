/** The options of each command, declared once: for parsing, for help and for the README. */

/** An option of the command line. */
export interface OptionSpec {
  /** Without the dashes. */
  readonly name: string;
  /** What the value is called in the help; undefined: a switch without value. */
  readonly value?: string;
  /** May it be given more than once? */
  readonly multiple?: boolean;
  /** May the value be empty, as a script's variable is? Elsewhere that is a mistake. */
  readonly mayBeEmpty?: boolean;
  readonly short?: string;
  readonly help: string;
}

/** A command of `hv`. */
export interface CommandSpec {
  readonly name: string;
  readonly summary: string;
  /** Positional arguments as the usage line shows them, with spaces between; as many are taken. */
  readonly positional?: string;
  readonly options: readonly OptionSpec[];
  readonly examples: readonly string[];
}

const HELP: OptionSpec = { name: "help", short: "h", help: "show this help" };

/** What any drive may have that the guest can write to. */
const DRIVE_SETTINGS = "[,readonly][,overlay[=FILE]][,format=F][,backing=DIR][,iops=N][,bps=N]";

/** `hv run`. */
export const RUN: CommandSpec = {
  name: "run",
  summary: "start a machine",
  positional: "[IMAGE]",
  options: [
    { name: "memory", short: "m", value: "SIZE", help: "RAM, e.g. 256M or 2G (default 256M)" },
    { name: "cpus", value: "N", help: "virtual processors, 1 to 64 (default 1)" },
    {
      name: "accel",
      value: "auto|kvm|soft",
      help: "what runs guest code (default auto: KVM at hardware speed, else the software CPU)",
    },
    {
      name: "cpu",
      value: "MODEL",
      help: "processor and features, e.g. host,-xsave,+x2apic (default host)",
    },
    { name: "kernel", value: "FILE", help: "start a Linux, PVH or multiboot kernel directly" },
    { name: "initrd", value: "FILE", help: "initial RAM disk for --kernel" },
    { name: "append", value: "TEXT", mayBeEmpty: true, help: "command line for --kernel" },
    { name: "kernel-entry", value: "auto|real16|long64", help: "how to enter a Linux kernel" },
    {
      name: "floppy",
      value: `FILE${DRIVE_SETTINGS}`,
      multiple: true,
      help: "floppy image, at most two",
    },
    {
      name: "disk",
      value: `FILE${DRIVE_SETTINGS}[,if=ide|virtio][,aio=io_uring|threads][,serial=S]`,
      multiple: true,
      help:
        "disk image or block device (raw, qcow2, vhd, vhdx, vmdk); overlay: writes go elsewhere",
    },
    {
      name: "cdrom",
      value: "FILE[,format=F][,backing=DIR][,iops=N][,bps=N]",
      multiple: true,
      help: "CD-ROM image",
    },
    {
      name: "share",
      value: "DIR:TAG[,readonly]",
      multiple: true,
      help: "directory that the guest can mount: mount -t 9p -o trans=virtio TAG /mnt",
    },
    {
      name: "vsock",
      value: "PATH[,cid=N]",
      help: "socket for CONNECT port to the guest; its connections go to PATH_port",
    },
    {
      name: "net",
      value: "user[,forward=tcp:2222:22][,restrict][,via=passt]|tap=NAME|socket=PATH[,listen]",
      multiple: true,
      help:
        "a network card and its other end, also ,model=e1000|ne2k_isa|ne2k_pci|virtio,mac=ADDRESS," +
        "bps=N,pcap=FILE, and of ne2k_isa iobase=0x300,irq=5; " +
        "none: none (default; hv boot without an image: user)",
    },
    { name: "boot", value: "ORDER", help: "e.g. cdrom,disk (default kernel,floppy,disk,cdrom)" },
    { name: "bios", value: "builtin|FILE", help: "firmware (default builtin), e.g. SeaBIOS" },
    {
      name: "serial",
      value: "stdio|null|file:F|unix:F",
      multiple: true,
      help: "where COM1 goes, then COM2… (default stdio without a display, else null)",
    },
    {
      name: "console",
      value: "serial|virtio[=stdio|null|file:F|unix:F]",
      help: "virtio: the console is hvc0 and not COM1; where it goes as for --serial",
    },
    {
      name: "port",
      value: "NAME=stdio|null|file:F|unix:F",
      multiple: true,
      help: "a virtio port, /dev/virtio-ports/NAME in the guest; where it goes as for --serial",
    },
    {
      name: "debugcon",
      value: "stdio|null|file:F|unix:F",
      help: "where the debug console (port E9h) goes (default null)",
    },
    {
      name: "display",
      value: "none|text",
      help: "show the guest's text screen in this terminal (default text; none with --kernel, " +
        "with a console on stdio, and where the output is no terminal)",
    },
    { name: "screenshot", value: "FILE", help: "save the screen as PNG when the machine ends" },
    { name: "timeout", value: "SECONDS", help: "end the machine after this time, exit code 124" },
    { name: "no-reboot", help: "end the machine when the guest asks for a reset" },
    {
      name: "virtio",
      value: "pci|mmio",
      help:
        "how virtio devices are reached (default pci); mmio: windows of memory, told of by ACPI",
    },
    { name: "virtio-packed", help: "offer packed rings to drivers of virtio devices" },
    { name: "balloon", help: "a virtio balloon: the guest's free memory goes back to the host" },
    {
      name: "balloon-target",
      value: "SIZE",
      help: "the same, and the guest is to get by with so much memory, e.g. 128M",
    },
    { name: "rng", help: "a virtio entropy device, filled by the host" },
    { name: "test-devices", help: "QEMU's pc-testdev, for kvm-unit-tests" },
    HELP,
  ],
  examples: [
    "hv run freedos.img",
    "hv run --disk system.img,overlay --cdrom install.iso --boot cdrom",
    "hv run --kernel vmlinuz --initrd initrd.gz --append console=ttyS0",
  ],
};

/** `hv boot`: `hv run` for whoever has nothing to run yet. */
export const BOOT: CommandSpec = {
  ...RUN,
  name: "boot",
  summary: "start a machine; without an image, a Linux to try",
  examples: ["hv boot", "hv boot --memory 1G --cpus 2", "hv boot freedos.img"],
};

/** `hv info`. */
export const INFO: CommandSpec = {
  name: "info",
  summary: "what this host offers, and what is missing",
  options: [HELP],
  examples: ["hv info"],
};

/** `hv disk`, whose own commands are in disk/options.ts. */
const DISK: CommandSpec = {
  name: "disk",
  summary: "make, look at, copy, check and resize images of disks",
  options: [HELP],
  examples: [],
};

/** Every command. */
export const COMMANDS: readonly CommandSpec[] = [RUN, BOOT, DISK, INFO];

/** Exit codes; what isa-debug-exit gives is always odd, so ours are even. `EXIT_CODES` explains them. */
export const ExitCode = {
  ok: 0,
  usage: 2,
  hostError: 4,
  guestFailed: 6,
  tripleFault: 8,
  imageErrors: 10,
  imageLeaks: 12,
  timeout: 124,
  interrupted: 130,
} as const;

/** What each exit code says, for help and README. */
export const EXIT_CODES: readonly (readonly [code: number | "odd", meaning: string])[] = [
  [ExitCode.ok, "the guest powered off (with --no-reboot: or reset), or Ctrl-A X ended it"],
  ["odd", "the guest's isa-debug-exit"],
  [ExitCode.usage, "wrong usage"],
  [ExitCode.hostError, "the host lacks something, or hv has a fault"],
  [
    ExitCode.guestFailed,
    "the guest cannot go on, or nothing can be booted and nobody is there to type",
  ],
  [ExitCode.tripleFault, "triple fault"],
  [ExitCode.imageErrors, "hv disk check found errors"],
  [ExitCode.imageLeaks, "it found lost room and nothing else"],
  [ExitCode.timeout, "time is up"],
  [ExitCode.interrupted, "interrupted"],
];

/** The help of one command. */
export function commandHelp({ name, summary, positional, options, examples }: CommandSpec): string {
  const rows = options.map((option) => {
    const dashes = option.short === undefined ? "    " : `-${option.short}, `;
    return [`${dashes}--${option.name}${option.value ? ` ${option.value}` : ""}`, option.help];
  });
  return [
    `hv ${name}: ${summary}`,
    "",
    `Usage: hv ${name}${positional ? ` ${positional}` : ""} [OPTIONS]`,
    "",
    ...rows.flatMap(([left, right]) =>
      left.length > 30
        ? [`  ${left}`, `${" ".repeat(34)}${right}`]
        : [`  ${left.padEnd(32)}${right}`]
    ),
    "",
    "Examples:",
    ...examples.map((example) => `  ${example}`),
  ].join("\n");
}

/** The help of the whole program. */
export function programHelp(version: string): string {
  return [
    `hv ${version}: runs operating systems in virtual PCs`,
    "",
    "Usage: hv COMMAND [OPTIONS]",
    "",
    ...COMMANDS.map(({ name, summary }) => `  ${name.padEnd(8)}${summary}`),
    "",
    "  hv COMMAND --help   the options of a command",
    "  hv --version        the version",
    "",
    "On a terminal: Ctrl-A X ends the machine, Ctrl-A H lists the other keys.",
    "",
    "Exit codes:",
    ...EXIT_CODES.map(([code, meaning]) => `  ${String(code).padStart(3)}  ${meaning}`),
  ].join("\n");
}
