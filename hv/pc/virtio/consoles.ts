/**
 * The board's virtio consoles: one in place of a serial port, and named ports; two devices, for the
 * console's driver need not know of ports.
 */

import { ConsolePort, ConsolePortState } from "../../../devices/virtio/console/port.ts";
import {
  type ConsoleForm,
  VirtioConsole,
  VirtioConsoleState,
} from "../../../devices/virtio/console/virtio_console.ts";
import type { VirtioCore } from "../../../devices/virtio/virtio_core.ts";
import type { VirtioDevice } from "../../../devices/virtio/virtio_device.ts";
import { Event } from "../../core/control.ts";
import { ByteStream, StreamState } from "../../core/state/stream.ts";
import { VIRTIO_CONSOLE } from "../board_config.ts";
import type { PcBuilder } from "../builder.ts";
import { CharacterPort } from "../character_port.ts";

/** A port for its host end, on main. */
export interface PcConsolePort {
  readonly character: CharacterPort;
  readonly port: ConsolePort;
  /** Tells the guest the terminal's size; for a console. */
  readonly resize?: (size: { readonly columns: number; readonly rows: number }) => void;
}

/** Adds them with `add`; their ports, the console's first. */
export function addConsoles(
  b: PcBuilder,
  add: (name: string, device: VirtioDevice) => VirtioCore,
): PcConsolePort[] {
  const made: PcConsolePort[] = [];
  if (b.config.virtioConsole) {
    const port = consolePort(b, VIRTIO_CONSOLE, "");
    const device = addDevice(b, add, "virtio console", { console: port });
    made.push({
      ...forHost(VIRTIO_CONSOLE, port),
      resize: (size) => device.resize(size),
    });
  }
  const names = b.config.ports ?? [];
  if (names.length > 0) {
    const ports = names.map((name) => consolePort(b, `port ${name}`, name));
    addDevice(b, add, "virtio ports", { ports });
    made.push(...ports.map((port) => forHost(port.name, port)));
  }
  return made;
}

const forHost = (name: string, port: ConsolePort): PcConsolePort => ({
  port,
  character: new CharacterPort(name, port.output, port.lock, port),
});

function addDevice(
  b: PcBuilder,
  add: (name: string, device: VirtioDevice) => VirtioCore,
  name: string,
  form: ConsoleForm,
): VirtioConsole {
  const device = new VirtioConsole(b.state(VirtioConsoleState, `${name} configuration`), form);
  add(name, device);
  return device;
}

function consolePort(b: PcBuilder, at: string, name: string): ConsolePort {
  const wakeMain = () => b.control.notify(Event.stream);
  const port: ConsolePort = new ConsolePort({
    name,
    state: b.state(ConsolePortState, at),
    output: new ByteStream(b.state(StreamState, `${at}.output`), wakeMain),
    input: new ByteStream(b.state(StreamState, `${at}.input`), () => port.hostSent()),
    onChange: wakeMain,
  });
  return port;
}
