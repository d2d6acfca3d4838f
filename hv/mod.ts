/**
 * hv as a library: machines in scripts, for tests of operating systems, kernels, drivers, installers.
 *
 * ```ts ignore
 * import { Machine } from "./hv/mod.ts";
 *
 * await using m = await Machine.start({ memory: "64M", floppy: "freedos.img" });
 * await m.screen.waitFor(/A:\\>/, { timeoutMs: 60_000 });
 * await m.keyboard.type("ver\n");
 * ```
 *
 * @module
 */

export type { TextCursor, TextScreen } from "../devices/display/text_screen.ts";
export { type KeyCode, type KeyCodes, KEYS } from "../devices/keymap.ts";
export type { BootDevice, DiskInterface, DriveKind } from "./core/drive_kind.ts";
export type { FilledInstructions } from "./accel/accelerator.ts";
export type { AcceleratorChoice } from "./accel/choose.ts";
export type { Attachment, AttachOptions, DetachOptions } from "./attachments.ts";
export type { MachineOptions } from "./config.ts";
export type { DriveLists, DriveOptions } from "./drive_options.ts";
export type { AioKind } from "../devices/disk/aio_kind.ts";
export type { ImageFormat } from "../devices/disk/image_format.ts";
export { type ConsoleMatch, GuestConsole } from "./console.ts";
export { HostError, UsageError, WaitError } from "./errors.ts";
export type { BalloonStatistics } from "../devices/virtio/balloon_statistics.ts";
export { Balloon } from "./balloon.ts";
export { GuestPort, type TerminalSize } from "./guest_port.ts";
export { Keyboard, type TypeOptions } from "./keyboard.ts";
export type { ExitStatus } from "./exit_status.ts";
export { Machine } from "./machine.ts";
export { Screen } from "./screen.ts";
export type { ShareOptions } from "./share_options.ts";
export type { VsockOptions } from "./vsock_options.ts";
export { VERSION } from "./version.ts";
export { NetworkCable } from "./network_cable.ts";
export type { NetworkOptions, PortForward, UserNetworkOptions } from "./network_options.ts";
export type { NetworkModel } from "./pc/board_config.ts";
export type { WaitOptions } from "./waiter.ts";
