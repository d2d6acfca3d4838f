/**
 * Packets of the virtio socket device: a header of 44 bytes, and data behind it.
 *
 * Reference: Virtual I/O Device (VIRTIO) 1.3, 5.10.6 "Device Operation".
 */

/** Bytes of a header. */
export const HEADER_BYTES = 44;
/** The host's address (5.10.4). */
export const HOST_CID = 2;

/** `op` (5.10.6). */
export const VsockOp = {
  REQUEST: 1,
  RESPONSE: 2,
  RST: 3,
  SHUTDOWN: 4,
  RW: 5,
  CREDIT_UPDATE: 6,
  CREDIT_REQUEST: 7,
} as const;

/** `flags` of SHUTDOWN: the sender will do that no more (5.10.6.6). */
export const VsockShutdown = { RECEIVE: 1, SEND: 2, BOTH: 3 } as const;

/** `type`: a stream, the only one offered. */
export const VSOCK_TYPE_STREAM = 1;

/** Offsets of the fields. */
const Field = {
  src_cid: 0,
  dst_cid: 8,
  src_port: 16,
  dst_port: 20,
  len: 24,
  type: 28,
  op: 30,
  flags: 32,
  buf_alloc: 36,
  fwd_cnt: 40,
} as const;

/** A header's fields. */
export interface VsockHeader {
  readonly sourceCid: number;
  readonly destinationCid: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** Bytes of data. */
  readonly length: number;
  readonly type: number;
  readonly op: number;
  readonly flags: number;
  /** Room that the sender has for the connection, bytes. */
  readonly bufferBytes: number;
  /** Bytes that the sender has taken out of that room, modulo 2^32. */
  readonly forwarded: number;
}

/** The header in `bytes`; an address of more than 32 bits is none of ours and becomes Infinity. */
export function decodeHeader(bytes: Uint8Array): VsockHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEADER_BYTES);
  const u32 = (at: number) => view.getUint32(at, true);
  const cid = (at: number) => u32(at + 4) === 0 ? u32(at) : Infinity;
  return {
    sourceCid: cid(Field.src_cid),
    destinationCid: cid(Field.dst_cid),
    sourcePort: u32(Field.src_port),
    destinationPort: u32(Field.dst_port),
    length: u32(Field.len),
    type: view.getUint16(Field.type, true),
    op: view.getUint16(Field.op, true),
    flags: u32(Field.flags),
    bufferBytes: u32(Field.buf_alloc),
    forwarded: u32(Field.fwd_cnt),
  };
}

/** Puts a header into `into`. */
export function encodeHeader(header: VsockHeader, into: Uint8Array): void {
  const view = new DataView(into.buffer, into.byteOffset, HEADER_BYTES);
  const u32 = (at: number, value: number) => view.setUint32(at, value, true);
  u32(Field.src_cid, header.sourceCid);
  u32(Field.src_cid + 4, 0);
  u32(Field.dst_cid, header.destinationCid);
  u32(Field.dst_cid + 4, 0);
  u32(Field.src_port, header.sourcePort);
  u32(Field.dst_port, header.destinationPort);
  u32(Field.len, header.length);
  view.setUint16(Field.type, header.type, true);
  view.setUint16(Field.op, header.op, true);
  u32(Field.flags, header.flags);
  u32(Field.buf_alloc, header.bufferBytes);
  u32(Field.fwd_cnt, header.forwarded);
}
