/**
 * The control queue of a virtio network card, and the receive filter that it sets (5.1.6.5).
 *
 * A command is class (1), command (1) and data, which the device reads, and an answer (1) that it writes.
 */

import { MAX_ADDRESSES, NetFeature, Receive, type VirtioNetState } from "./state.ts";

const CLASS_RX = 0;
const CLASS_MAC = 1;
const CLASS_VLAN = 2;
const CLASS_MQ = 4;
const CLASS_GUEST_OFFLOADS = 5;
/** Commands of CLASS_RX: each has a switch. */
const RX_BITS = [
  ...[Receive.PROMISC, Receive.ALLMULTI, Receive.ALLUNI],
  ...[Receive.NOMULTI, Receive.NOUNI, Receive.NOBCAST],
];
const MAC_TABLE_SET = 0;
const MAC_ADDR_SET = 1;
const VLAN_ADD = 0;
const VLAN_DEL = 1;
const MAC_BYTES = 6;
const ETHERTYPE_VLAN = 0x8100;

/** Longest command that has a meaning: two tables of more addresses than are kept. */
export const MAX_COMMAND_BYTES = 2 + 2 * (4 + 1024 * MAC_BYTES);

/** Offloads that a driver can take and leave while it runs. */
const GUEST_OFFLOADS = 1 << NetFeature.GUEST_CSUM | 1 << NetFeature.GUEST_TSO4 |
  1 << NetFeature.GUEST_TSO6;

/** Carries out a command; whether it could be (VIRTIO_NET_OK). */
export function control(state: VirtioNetState, maxPairs: number, command: Uint8Array): boolean {
  const has = (feature: number) => (state.features >>> feature & 1) !== 0;
  const [kind, number] = command;
  const data = command.subarray(2);
  switch (kind) {
    case CLASS_RX: {
      const bit = RX_BITS[number];
      const isKnown = has(number < 2 ? NetFeature.CTRL_RX : NetFeature.CTRL_RX_EXTRA);
      if (bit === undefined || data.length < 1 || !isKnown) return false;
      state.receive = data[0] !== 0 ? state.receive | bit : state.receive & ~bit;
      return true;
    }
    case CLASS_MAC:
      if (number === MAC_TABLE_SET && has(NetFeature.CTRL_RX)) return setTables(state, data);
      if (number !== MAC_ADDR_SET || !has(NetFeature.CTRL_MAC_ADDR)) return false;
      if (data.length < MAC_BYTES) return false;
      state.config.set(data.subarray(0, MAC_BYTES));
      return true;
    case CLASS_VLAN: {
      const id = data[0] | data[1] << 8;
      if (!has(NetFeature.CTRL_VLAN) || data.length < 2 || id > 0xfff) return false;
      if (number === VLAN_ADD) state.vlans[id >> 5] |= 1 << (id & 31);
      else if (number === VLAN_DEL) state.vlans[id >> 5] &= ~(1 << (id & 31));
      return number <= VLAN_DEL;
    }
    case CLASS_MQ: {
      const pairs = data[0] | data[1] << 8;
      if (number !== 0 || !has(NetFeature.MQ) || data.length < 2) return false;
      if (pairs < 1 || pairs > maxPairs) return false;
      state.pairs = pairs;
      return true;
    }
    case CLASS_GUEST_OFFLOADS: {
      if (number !== 0 || !has(NetFeature.CTRL_GUEST_OFFLOADS) || data.length < 8) return false;
      const wanted = (data[0] | data[1] << 8 | data[2] << 16 | data[3] << 24) >>> 0;
      if ((wanted & ~(state.features & GUEST_OFFLOADS)) !== 0) return false;
      state.guestOffloads = wanted;
      return true;
    }
    default:
      return false;
  }
}

/** Unicast addresses, then multicast ones, each with their number in front (32 bits). */
function setTables(state: VirtioNetState, data: Uint8Array): boolean {
  const tables: { count: number; addresses: Uint8Array }[] = [];
  let at = 0;
  for (let table = 0; table < 2; table++) {
    if (at + 4 > data.length) return false;
    const count = (data[at] | data[at + 1] << 8 | data[at + 2] << 16 | data[at + 3] << 24) >>> 0;
    const end = at + 4 + count * MAC_BYTES;
    if (end > data.length) return false;
    tables.push({ count, addresses: data.subarray(at + 4, end) });
    at = end;
  }
  const [unicast, multicast] = tables;
  const most = MAX_ADDRESSES * MAC_BYTES;
  state.unicastCount = Math.min(unicast.count, MAX_ADDRESSES + 1);
  state.multicastCount = Math.min(multicast.count, MAX_ADDRESSES + 1);
  state.unicast.set(unicast.addresses.subarray(0, most));
  state.multicast.set(multicast.addresses.subarray(0, most));
  return true;
}

/** Does the filter let a frame through to the driver? */
export function isForDriver(state: VirtioNetState, frame: Uint8Array): boolean {
  const { receive } = state;
  if (!isOfItsVlans(state, frame)) return false;
  if ((receive & Receive.PROMISC) !== 0) return true;
  if ((frame[0] & 1) === 0) {
    if ((receive & Receive.NOUNI) !== 0) return false;
    if ((receive & Receive.ALLUNI) !== 0 || state.unicastCount > MAX_ADDRESSES) return true;
    return isAt(state.config, 0, frame) || isIn(state.unicast, state.unicastCount, frame);
  }
  let isBroadcast = true;
  for (let i = 0; i < MAC_BYTES; i++) if (frame[i] !== 0xff) isBroadcast = false;
  if (isBroadcast) return (receive & Receive.NOBCAST) === 0;
  if ((receive & Receive.NOMULTI) !== 0) return false;
  if ((receive & Receive.ALLMULTI) !== 0 || state.multicastCount > MAX_ADDRESSES) return true;
  return isIn(state.multicast, state.multicastCount, frame);
}

function isOfItsVlans({ features, vlans }: VirtioNetState, frame: Uint8Array): boolean {
  if ((features >>> NetFeature.CTRL_VLAN & 1) === 0) return true;
  if (frame.length < 18 || (frame[12] << 8 | frame[13]) !== ETHERTYPE_VLAN) return true;
  const id = (frame[14] & 15) << 8 | frame[15];
  return (vlans[id >> 5] >>> (id & 31) & 1) !== 0;
}

function isIn(table: Uint8Array, count: number, frame: Uint8Array): boolean {
  for (let i = 0; i < count; i++) if (isAt(table, i * MAC_BYTES, frame)) return true;
  return false;
}

function isAt(table: Uint8Array, at: number, frame: Uint8Array): boolean {
  for (let i = 0; i < MAC_BYTES; i++) if (table[at + i] !== frame[i]) return false;
  return true;
}
