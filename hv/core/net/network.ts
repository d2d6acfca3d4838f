/**
 * Between a network card and its host end, both on the I/O worker: Ethernet frames without their check
 * sequence, and what is left to do of them.
 *
 * The card is asked for what the guest sends (`fetch`) and given what it receives (`receive`); the host
 * end likewise (`send`, `serve`). Whoever has no room says so and is asked again at the next turn of
 * the worker, which its own doorbell or descriptor brings about. A frame's bytes belong to the callee
 * only during the call.
 */

/** Longest frame: a TCP segment of 64 KiB with its headers. */
export const MAX_FRAME_BYTES = 65_536 + 14 + 4;
/** Shortest that means anything: an Ethernet header. */
export const MIN_FRAME_BYTES = 14;

/**
 * What of a frame is still to be done or need not be, as `struct virtio_net_hdr` says it (Virtio 1.3,
 * 5.1.6).
 */
export interface Offload {
  /** The checksum over all from `checksumStart` on is yet to be put at `checksumOffset` from there. */
  readonly needsChecksum: boolean;
  readonly checksumStart: number;
  readonly checksumOffset: number;
  /** The checksums are known to be right. */
  readonly isValid: boolean;
  /** The frame is to be cut into segments of this many payload bytes; 0: it is not. */
  readonly segmentBytes: number;
  /** Bytes of all headers, which each segment has; only when it is to be cut. */
  readonly headerBytes: number;
}

/** A whole frame without a word about it. */
export const PLAIN: Offload = {
  needsChecksum: false,
  checksumStart: 0,
  checksumOffset: 0,
  isValid: false,
  segmentBytes: 0,
  headerBytes: 0,
};

/** A frame that is right as it is, and known to be. */
export const VALID: Offload = { ...PLAIN, isValid: true };

/** A frame with what is to be known of it. */
export interface Frame {
  readonly bytes: Uint8Array;
  readonly offload: Offload;
}

/** What a guest has sent that is no frame, or goes nowhere: lost, as on a wire. */
export const LOST: Frame = { bytes: new Uint8Array(0), offload: PLAIN };

/** What may be left to somebody who takes frames. */
export interface Offloads {
  /** Checksums. */
  readonly checksum: boolean;
  /** Cutting TCP over IPv4 into segments. */
  readonly tcp4: boolean;
  /** Cutting TCP over IPv6 into segments. */
  readonly tcp6: boolean;
}

/** Nothing may be left to it. */
export const NO_OFFLOADS: Offloads = { checksum: false, tcp4: false, tcp6: false };
/** Everything may be. */
export const ALL_OFFLOADS: Offloads = { checksum: true, tcp4: true, tcp6: true };

/** Who can leave a card without a link, as bits. */
export const Unplugged = {
  /** The host end leads nowhere at the moment. */
  end: 1,
  /** The user has pulled the cable out. */
  user: 2,
} as const;
/** One of `Unplugged`. */
export type Unplugged = typeof Unplugged[keyof typeof Unplugged];

/** Who of `unplugged` has the cable out after `who` has plugged it in, or pulled it. */
export const unpluggedAfter = (unplugged: number, isUp: boolean, who: Unplugged): number =>
  isUp ? unplugged & ~who : unplugged | who;

/** A network card as the I/O worker sees it. */
export interface NetworkCard {
  /** What may be left to it and the guest's driver; it changes with the driver. */
  readonly offloads: Offloads;
  /**
   * The next frame that the guest sends, which is taken out with it; valid until the next call. `LOST`
   * counts as one, so that a guest cannot have one call go on for ever.
   */
  fetch(): Frame | undefined;
  /** Nothing more is fetched in this turn: the guest is to hear of what was. */
  endFetching(): void;
  /** A frame for the guest, which may also be none of its; false: no room at the moment. */
  receive(frame: Frame): boolean;
  /** Plugs the cable in or pulls it out; there is a link when nobody has it out. On any thread. */
  setLink(isUp: boolean, who: Unplugged): void;
}

/** A card's other end on the host. */
export interface NetworkEnd extends Disposable {
  /** What may be left to it. */
  readonly offloads: Offloads;
  /** Takes a frame from the guest; false: no room at the moment. */
  send(frame: Frame): boolean;
  /**
   * Gives the card what has come for it, as far as it has room, and does what is due.
   *
   * @param nowNs Monotonic time of the host.
   * @returns When it wants to be called at the latest, in the same time; Infinity: when something comes.
   */
  serve(card: NetworkCard, nowNs: number): number;
}
