/** What drives there are, and what a machine can be started from. */

/** A drive by its medium. */
export type DriveKind = "floppy" | "disk" | "cdrom";

/** What a hard disk is behind. */
export type DiskInterface = "ide" | "virtio";

/** Where the firmware may look for something to start: a drive, or the kernel that the user gave. */
export type BootDevice = DriveKind | "kernel";
