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
export { type KeyCode, type KeyCodes, KEYS } from "../devices/input/keymap.ts";
export type { BootDevice, DiskInterface, DriveKind } from "./core/media/drive_kind.ts";
export type { FilledInstructions } from "./accel/accelerator.ts";
export type { AcceleratorChoice } from "./accel/choose.ts";
export type { Attachment, DetachOptions } from "./machine/attachments.ts";
export type { AttachOptions } from "./machine/attached_end.ts";
export type { MachineOptions } from "./options/config.ts";
export type { DriveLists, DriveOptions } from "./options/drive_options.ts";
export type { AioKind } from "../devices/disk/engine/aio_kind.ts";
export type { ImageFormat } from "../devices/disk/formats/image_format.ts";
export { type ConsoleMatch, GuestConsole } from "./handles/console.ts";
export { HostError, UsageError, WaitError } from "./errors.ts";
export type { BalloonStatistics } from "../devices/virtio/balloon/statistics.ts";
export { Balloon } from "./handles/balloon.ts";
export { GuestPort, type TerminalSize } from "./handles/guest_port.ts";
export { Keyboard, type TypeOptions } from "./handles/keyboard.ts";
export type { ExitStatus } from "./machine/exit_status.ts";
export { Machine } from "./machine/machine.ts";
export { Screen } from "./handles/screen.ts";
export type { ShareOptions } from "./options/share_options.ts";
export type { VsockOptions } from "./options/vsock_options.ts";
export { VERSION } from "./version.ts";
export { NetworkCable } from "./handles/network_cable.ts";
export type { NetworkOptions, PortForward, UserNetworkOptions } from "./options/network_options.ts";
export type { NetworkModel } from "./pc/board_config.ts";
export type { WaitOptions } from "./handles/waiter.ts";
