/** What a virtio network card knows, and what it offers. */

import { bytes, flag, record, u16, u32, u32s, u8 } from "../../../hv/core/state/record.ts";

/** Feature bits (5.1.3). */
export const NetFeature = {
  CSUM: 0,
  GUEST_CSUM: 1,
  CTRL_GUEST_OFFLOADS: 2,
  MTU: 3,
  MAC: 5,
  GUEST_TSO4: 7,
  GUEST_TSO6: 8,
  HOST_TSO4: 11,
  HOST_TSO6: 12,
  MRG_RXBUF: 15,
  STATUS: 16,
  CTRL_VQ: 17,
  CTRL_RX: 18,
  CTRL_VLAN: 19,
  CTRL_RX_EXTRA: 20,
  MQ: 22,
  CTRL_MAC_ADDR: 23,
  VERSION_1: 32,
} as const;

/** Bytes of the configuration space up to mtu (5.1.4). */
export const CONFIG_BYTES = 12;
/** Offsets in it. */
export const CONFIG_STATUS = 6;
export const CONFIG_PAIRS = 8;
export const CONFIG_MTU = 10;
/** Status: the link is up. */
export const STATUS_LINK_UP = 1;

/** Addresses that the receive filter holds of each kind; more, and it takes all of that kind. */
export const MAX_ADDRESSES = 64;
/** VLAN numbers. */
const VLANS = 4096;

/** Flows that are told apart, by a hash of their addresses. */
export const FLOWS = 256;

/** Bits of `VirtioNetState.receive`: what the filter lets through or keeps out (5.1.6.5.1). */
export const Receive = {
  PROMISC: 1,
  ALLMULTI: 2,
  ALLUNI: 4,
  NOMULTI: 8,
  NOUNI: 16,
  NOBCAST: 32,
} as const;

/** See above. */
export const VirtioNetState = record("virtio_net", 2, {
  config: bytes(CONFIG_BYTES),
  /** Features that have been accepted, of the device's own. */
  features: u32,
  /** Has the driver accepted VERSION_1? */
  isModern: flag,
  /** Who has the cable out: bits of `Unplugged`. */
  unplugged: u8,
  /** Bits of `Receive`. */
  receive: u8,
  /** Queue pairs that the driver uses. */
  pairs: u16,
  /** Offloads that the driver takes at present, by the bits of their features. */
  guestOffloads: u32,
  /** Addresses in each table; beyond `MAX_ADDRESSES`: all. */
  unicastCount: u16,
  multicastCount: u16,
  unicast: bytes(MAX_ADDRESSES * 6),
  multicast: bytes(MAX_ADDRESSES * 6),
  vlans: u32s(VLANS / 32),
  /** The pair from which the next frame is fetched, so that each has its turn. */
  nextPair: u8,
  /** For each flow the pair that it was last sent by: there it is received. */
  flows: bytes(FLOWS),
});
/** A view of `VirtioNetState`. */
export type VirtioNetState = InstanceType<typeof VirtioNetState>;
