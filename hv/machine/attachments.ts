/**
 * Devices that come and go while the machine runs, as main leads them: images opened and claimed, put
 * into a slot while all threads rest, announced to the guest; asked back from the guest, or pulled, and
 * closed.
 */

import type { AttachOptions, HostEnd } from "./attached_end.ts";
import { HostError, UsageError } from "../errors.ts";
import type { PortForward } from "../options/network_options.ts";
import { NetworkCable } from "../handles/network_cable.ts";
import type { HotDevice, PcHotplug } from "../pc/hotplug.ts";

/** How to take a device out of a running machine. */
export interface DetachOptions {
  /**
   * Take it out at once, as one pulls a card, whatever the guest is doing with it: what it has not
   * written yet is lost, and a system that is not made for that (Linux is not, for PCI) goes on
   * believing in it. Default: false.
   */
  readonly force?: boolean;
  /** How long the guest may take to let it go, ms. Default: 30 000. */
  readonly timeoutMs?: number;
}

/** A device that was put into a running machine. */
export interface Attachment {
  /** What it is and where, e.g. `"disk in slot 24"`. */
  readonly name: string;
  /** Its PCI slot. */
  readonly slot: number;
  /** Ports of the host that lead to the guest through it. */
  readonly forwards: readonly PortForward[];
  /** Of a network card: its cable. */
  readonly cable: NetworkCable | undefined;
  /**
   * Resolves when it has left and its image is closed: by `detach`, because the guest let it go by
   * itself, or with the machine.
   */
  readonly left: Promise<void>;
}

/** What the attachments need of their machine. */
export interface AttachmentsParts {
  readonly hotplug: PcHotplug;
  /** What the board has of which there is one. */
  readonly board: { readonly tags: readonly string[]; readonly hasVsock: boolean };
  /** Runs `change` in its turn, while all threads rest; never when the machine is disposed of. */
  whileParked(change: () => Promise<void> | void): Promise<void>;
  /** Has the I/O worker there, while the guest goes on. */
  ioUp(): Promise<void>;
  /** Has the I/O worker do its part, while all else rests. */
  ioFollows(): Promise<void>;
  /** Is the guest over? Then nobody is asked. */
  guestIsOver(): boolean;
  /** Resolves when it is. */
  readonly guestEnds: Promise<unknown>;
}

interface Entry {
  readonly attachment: Attachment;
  readonly end: HostEnd;
  readonly setLeft: () => void;
}

/** Longest that a guest may take to let a device go, ms, if nothing else was said. */
const DETACH_TIMEOUT_MS = 30_000;

/** See above. */
export class Attachments implements Disposable {
  readonly #parts: AttachmentsParts;
  readonly #entries = new Map<Attachment, Entry>();

  constructor(parts: AttachmentsParts) {
    this.#parts = parts;
  }

  /**
   * Puts a device in and tells the guest.
   *
   * @throws {UsageError} When the guest is over or all slots are taken.
   * @throws {DiskError} When its image cannot be used.
   * @throws {HostError} When a thread fails to follow.
   */
  async attach(options: AttachOptions): Promise<Attachment> {
    const { guestIsOver, whileParked, ioUp } = this.#parts;
    if (guestIsOver()) throw ended();
    const { openEnd } = await import("./attached_end.ts");
    const end = openEnd(options);
    let entry: Entry | undefined;
    try {
      // What takes long is done before the guest stands still.
      await ioUp();
      await whileParked(async () => {
        entry = this.#enter(end);
        await this.#insert(entry);
      });
    } finally {
      // From then on a thread may use it.
      if (entry === undefined) end[Symbol.dispose]();
    }
    if (entry === undefined) throw ended();
    return entry.attachment;
  }

  /**
   * Takes a device out: asks the guest to let it go and waits for that, or pulls it. One that has left
   * already is no error.
   *
   * @throws {HostError} When the guest has not let it go in time; then it stays.
   */
  async detach(
    attachment: Attachment,
    { force = false, timeoutMs = DETACH_TIMEOUT_MS }: DetachOptions = {},
  ): Promise<void> {
    if (!this.#entries.has(attachment)) return;
    if (!force) await this.#askFor(attachment, timeoutMs);
    await this.#parts.whileParked(() => this.#remove(attachment));
  }

  /** Takes out what the guest has let go. */
  async takeEjected(): Promise<void> {
    await this.#parts.whileParked(async () => {
      const ejected = this.#parts.hotplug.takeEjected();
      const leaving = [...this.#entries.keys()].filter(({ slot }) => ejected.includes(slot));
      for (const attachment of leaving) await this.#remove(attachment);
    });
  }

  /** Closes all images; the threads have ended. */
  [Symbol.dispose](): void {
    for (const entry of this.#entries.values()) close(entry);
    this.#entries.clear();
  }

  /** Returns when the guest has let the device go, or there is no guest to ask. */
  async #askFor({ slot, name, left }: Attachment, timeoutMs: number): Promise<void> {
    const { hotplug, guestEnds, guestIsOver, whileParked } = this.#parts;
    if (guestIsOver()) return;
    await whileParked(() => hotplug.requestEject(slot));
    if (await settled(Promise.race([left, guestEnds]), timeoutMs)) return;
    await whileParked(() => hotplug.withdrawEject(slot));
    const why = hotplug.guestListens ? "" : ", and does not use ACPI, by which it is asked";
    throw new HostError(
      `Cannot detach the ${name}: the guest has not let it go in ${timeoutMs} ms${why}; ` +
        "detach it by force, or try again",
    );
  }

  #enter(end: HostEnd): Entry {
    const { hotplug } = this.#parts;
    const slot = hotplug.freeSlot;
    if (slot === undefined) {
      throw new UsageError(
        `Cannot attach ${end.name}: every slot for devices that come and go is taken; ` +
          "detach one first",
      );
    }
    const left = Promise.withResolvers<void>();
    const device = end.device(slot);
    this.#refuseSecond(device);
    const { kind } = device;
    const name = `${kind} in slot ${slot}`;
    const cable = kind === "network"
      ? new NetworkCable(() => this.#entries.has(attachment) ? hotplug.cardIn(slot) : undefined)
      : undefined;
    const attachment: Attachment = {
      ...{ name, slot, forwards: end.forwards, cable, left: left.promise },
    };
    const entry = { attachment, end, setLeft: left.resolve };
    this.#entries.set(attachment, entry);
    return entry;
  }

  /** @throws {UsageError} When the guest could not tell the device from another one. */
  #refuseSecond(device: HotDevice): void {
    const { tags, hasVsock } = this.#parts.board;
    const attached = [...this.#entries.values()]
      .map(({ end, attachment }) => end.device(attachment.slot));
    if (device.kind === "vsock" && (hasVsock || attached.some(({ kind }) => kind === "vsock"))) {
      throw new UsageError("Cannot attach a vsock: the machine has one, and a guest uses one");
    }
    if (device.kind !== "share") return;
    const { tag } = device;
    const isTaken = tags.includes(tag) ||
      attached.some((other) => other.kind === "share" && other.tag === tag);
    if (isTaken) {
      throw new UsageError(`Cannot share a directory as "${tag}": another directory has that tag`);
    }
  }

  async #insert({ attachment, end }: Entry): Promise<void> {
    const { hotplug, ioFollows } = this.#parts;
    const { slot } = attachment;
    try {
      await hotplug.insert(slot, end.device(slot), end.backEnd);
      await ioFollows();
      if (hotplug.failure !== "") throw new Error(hotplug.failure);
      hotplug.announce(slot);
    } catch (error) {
      await this.#remove(attachment);
      throw new HostError(`Cannot attach ${end.name}: ${(error as Error).message}`);
    }
  }

  async #remove(attachment: Attachment): Promise<void> {
    const entry = this.#entries.get(attachment);
    if (entry === undefined) return;
    await this.#parts.hotplug.remove(attachment.slot);
    // What was written is brought onto the medium there, and before the image is closed.
    await this.#parts.ioFollows();
    this.#entries.delete(attachment);
    close(entry);
  }
}

function close({ end, setLeft }: Entry): void {
  end[Symbol.dispose]();
  setLeft();
}

const ended = () => new UsageError("Cannot attach a device: the guest has ended");

/** Has `promise` resolved before `timeoutMs` are over? */
async function settled(promise: Promise<unknown>, timeoutMs: number): Promise<boolean> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), timeoutMs);
  });
  try {
    return await Promise.race([promise.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}
