/**
 * Virtio console device, in either of two forms: a console with a size (features SIZE and EMERG_WRITE),
 * or a number of named ports (MULTIPORT), about which driver and device talk over a pair of control
 * queues.
 *
 * A console with ports in one device is left out: the size of such a console comes as a RESIZE message,
 * whose two numbers Linux up to 6.15 and the standard have in opposite order, while those of the
 * configuration space are the same everywhere. So are: ports that come and go while the driver runs.
 *
 * What the driver is yet to be told is a bit for each port and event, not a queue of messages: it does
 * not grow, whatever driver and host do.
 *
 * Threats: control messages of any length, event and port number.
 *
 * Reference: Virtual I/O Device (VIRTIO) 1.3, 5.3 "Console Device".
 */

import { bytes, record, u8 } from "../../../hv/core/state/record.ts";
import type { ConsolePort } from "./port.ts";
import { type VirtioDevice, type VirtioDeviceCore, VirtioDeviceId } from "../virtio_device.ts";
import type { Virtqueue } from "../queue/virtqueue.ts";

/** Feature bits (5.3.3). */
export const ConsoleFeature = { SIZE: 0, MULTIPORT: 1, EMERG_WRITE: 2 } as const;

/** Control events (5.3.6.2). */
export const ConsoleEvent = {
  DEVICE_READY: 0,
  DEVICE_ADD: 1,
  DEVICE_REMOVE: 2,
  PORT_READY: 3,
  CONSOLE_PORT: 4,
  RESIZE: 5,
  PORT_OPEN: 6,
  PORT_NAME: 7,
} as const;

/** Offsets in the configuration space (5.3.4). */
const Config = { cols: 0, rows: 2, max_nr_ports: 4, emerg_wr: 8, bytes: 12 } as const;
/** Of a terminal of which nobody knows. */
const DEFAULT_SIZE = { columns: 80, rows: 25 };

const QUEUE_SIZE = 64;
/** Queues of the first port are 0 and 1 (5.3.2). */
const CONTROL_RECEIVE = 2;
const CONTROL_TRANSMIT = 3;
const PORT_1_RECEIVE = 4;

/** struct virtio_console_control: id (4), event (2), value (2). */
const MESSAGE_BYTES = 8;
/** In the order in which they are sent: the name is known when the port is opened. */
const TOLD_EVENTS = [ConsoleEvent.DEVICE_ADD, ConsoleEvent.PORT_NAME, ConsoleEvent.PORT_OPEN];

/** See above. */
export const VirtioConsoleState = record("virtio console", 1, {
  config: bytes(Config.bytes),
  /** Queues by whose use the driver has been told of the size since it is ready, as bits. */
  sizeTold: u8,
});
/** A view of `VirtioConsoleState`. */
export type VirtioConsoleState = InstanceType<typeof VirtioConsoleState>;

/** Either a console or named ports. */
export type ConsoleForm =
  | { readonly console: ConsolePort }
  | { readonly ports: readonly ConsolePort[] };

/** See above. */
export class VirtioConsole implements VirtioDevice {
  readonly id = VirtioDeviceId.console;
  readonly features: readonly number[];
  readonly queueSizes: readonly number[];
  readonly config: Uint8Array;
  readonly #ports: readonly ConsolePort[];
  readonly #isMultiport: boolean;
  readonly #state: VirtioConsoleState;
  readonly #message = new Uint8Array(MESSAGE_BYTES);
  #core!: VirtioDeviceCore;

  constructor(state: VirtioConsoleState, form: ConsoleForm) {
    this.#state = state;
    this.config = state.config;
    this.#isMultiport = "ports" in form;
    this.#ports = "ports" in form ? form.ports : [form.console];
    this.features = this.#isMultiport
      ? [ConsoleFeature.MULTIPORT]
      : [ConsoleFeature.SIZE, ConsoleFeature.EMERG_WRITE];
    const queues = this.#isMultiport ? PORT_1_RECEIVE + 2 * (this.#ports.length - 1) : 2;
    this.queueSizes = new Array(queues).fill(QUEUE_SIZE);
  }

  connect(core: VirtioDeviceCore): void {
    this.#core = core;
    for (const [id, port] of this.#ports.entries()) {
      const receive = id === 0 ? 0 : PORT_1_RECEIVE + 2 * (id - 1);
      const told = () => this.#tell(port, ConsoleEvent.PORT_OPEN);
      port.connect(core, receive, this.#isMultiport ? told : undefined);
    }
  }

  reset(): void {
    for (const port of this.#ports) port.reset();
    this.#state.sizeTold = 0;
    if (this.#isMultiport) this.#view.setUint32(Config.max_nr_ports, this.#ports.length, true);
    else if (this.#view.getUint16(Config.cols) === 0) this.#setSize(DEFAULT_SIZE);
  }

  resetQueue(index: number): void {
    if (index & 1) this.#portOf(index).state.sent = 0;
  }

  /** The terminal has another size; on any thread. */
  resize(size: { readonly columns: number; readonly rows: number }): void {
    this.#core.lock.with(() => {
      this.#setSize(size);
      this.#core.configChanged();
    });
  }

  writeConfig(offset: number, _size: number, value: number): void {
    if (this.#isMultiport || offset !== Config.emerg_wr) return;
    this.#ports[0].emergencyWrite(value & 0xff);
  }

  serve(queue: Virtqueue): void {
    const { index } = queue;
    if (this.#isMultiport && index === CONTROL_RECEIVE) return this.#serveControl(queue);
    if (this.#isMultiport && index === CONTROL_TRANSMIT) return this.#heed(queue);
    const port = this.#portOf(index);
    if (!this.#isMultiport) this.#tellSize(queue);
    if (index & 1) port.serveTransmit(queue);
    else if (!this.#needsOpening || port.isGuestOpen) port.serveReceive(queue);
  }

  /** Drivers that know ports drop what comes for one that no program has open. */
  get #needsOpening(): boolean {
    return this.#isMultiport && this.#core.accepted(ConsoleFeature.MULTIPORT);
  }

  #portOf(queue: number): ConsolePort {
    return this.#ports[queue < PORT_1_RECEIVE ? 0 : (queue >> 1) - 1];
  }

  get #view(): DataView {
    const { buffer, byteOffset, length } = this.config;
    return new DataView(buffer, byteOffset, length);
  }

  /**
   * Linux looks at the size only when it is told of a change, and only once it has its console: with the
   * first output it has, or is just about to; with the first input somebody sits there.
   */
  #tellSize(queue: Virtqueue): void {
    const occasion = 1 << queue.index;
    if ((this.#state.sizeTold & occasion) !== 0 || !queue.hasAvailable) return;
    if (queue.index === 0 && !this.#ports[0].hasInput) return;
    this.#core.lock.with(() => {
      this.#state.sizeTold |= occasion;
      this.#core.configChanged();
    });
  }

  #setSize({ columns, rows }: { readonly columns: number; readonly rows: number }): void {
    this.#view.setUint16(Config.cols, columns, true);
    this.#view.setUint16(Config.rows, rows, true);
  }

  // --- control queues --------------------------------------------------------------------------

  /** The driver is to be told of a port, if it has it. */
  #tell(port: ConsolePort, event: number): void {
    this.#core.lock.with(() => {
      if (port.state.isReady) port.state.pending |= 1 << event;
    });
    this.#core.revisit(CONTROL_RECEIVE);
  }

  /** Takes the driver's messages. */
  #heed(queue: Virtqueue): void {
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
      // What is too short says nothing.
      const isWhole = chain.read(0, this.#message) === MESSAGE_BYTES;
      queue.push(chain, 0);
      if (!isWhole) continue;
      const message = new DataView(this.#message.buffer);
      const [id, event, value] = [
        message.getUint32(0, true),
        message.getUint16(4, true),
        message.getUint16(6, true),
      ];
      this.#core.lock.with(() => this.#heard(this.#ports[id], event, value === 1));
    }
    this.#core.revisit(CONTROL_RECEIVE);
  }

  #heard(port: ConsolePort | undefined, event: number, yes: boolean): void {
    if (event === ConsoleEvent.DEVICE_READY && yes) {
      for (const { state } of this.#ports) state.pending |= 1 << ConsoleEvent.DEVICE_ADD;
    } else if (event === ConsoleEvent.PORT_READY && port !== undefined) {
      port.state.isReady = yes;
      if (!yes) return;
      port.state.pending |= 1 << ConsoleEvent.PORT_NAME;
      if (port.isHostOpen) port.state.pending |= 1 << ConsoleEvent.PORT_OPEN;
    } else if (event === ConsoleEvent.PORT_OPEN) {
      port?.guestOpened(yes);
    }
  }

  /** Tells the driver what there is to tell, as far as it has buffers. */
  #serveControl(queue: Virtqueue): void {
    while (this.#ports.some(({ state }) => state.pending !== 0)) {
      const chain = queue.pop();
      if (chain === undefined) return;
      const message = this.#core.lock.with(() => this.#nextMessage());
      if (message === undefined) return queue.putBack(chain);
      queue.push(chain, chain.write(0, message));
    }
  }

  #nextMessage(): Uint8Array | undefined {
    for (const [id, port] of this.#ports.entries()) {
      const event = TOLD_EVENTS.find((event) => (port.state.pending & (1 << event)) !== 0);
      if (event === undefined) continue;
      port.state.pending &= ~(1 << event);
      const name = event === ConsoleEvent.PORT_NAME ? new TextEncoder().encode(port.name) : [];
      const message = new Uint8Array(MESSAGE_BYTES + name.length);
      const view = new DataView(message.buffer);
      view.setUint32(0, id, true);
      view.setUint16(4, event, true);
      view.setUint16(6, event === ConsoleEvent.PORT_OPEN && !port.isHostOpen ? 0 : 1, true);
      message.set(name, MESSAGE_BYTES);
      return message;
    }
    return undefined;
  }
}
