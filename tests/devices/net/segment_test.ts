/** What is left to do of a frame: checksums and segmentation. */

import assert from "node:assert/strict";
import { finishFrame } from "../../../devices/net/segment.ts";
import { addToSum, checksumOf, foldSum } from "../../../hv/core/net/checksum.ts";
import {
  ALL_OFFLOADS,
  type Frame,
  NO_OFFLOADS,
  type Offload,
  PLAIN,
} from "../../../hv/core/net/network.ts";
import {
  decodeNetworkHeader,
  encodeNetworkHeader,
  NETWORK_HEADER_BYTES,
} from "../../../hv/core/net/network_header.ts";
import { seeded } from "../../support/random.ts";

/** A TCP segment over IPv4 with a payload that counts up, its checksum field as drivers leave it. */
function tcp4(payload: number): Uint8Array {
  const bytes = new Uint8Array(54 + payload);
  const view = new DataView(bytes.buffer);
  view.setUint16(12, 0x0800);
  bytes[14] = 0x45;
  view.setUint16(16, 40 + payload);
  view.setUint16(18, 0x1234);
  bytes[23] = 6;
  bytes.set([10, 0, 2, 15, 10, 0, 2, 2], 26);
  view.setUint32(38, 1000);
  bytes[46] = 0x50;
  bytes[47] = 0x19; // ACK, PSH, FIN
  for (let i = 0; i < payload; i++) bytes[54 + i] = i * 7;
  view.setUint16(50, pseudoSum(bytes));
  return bytes;
}

/** The sum of the pseudo-header (RFC 9293, 3.1). */
const pseudoSum = (bytes: Uint8Array) => foldSum(addToSum(bytes, 26, 34) + 6 + bytes.length - 34);

/** Is the TCP checksum right? The field's own contents are among what is summed up. */
const isRight = (bytes: Uint8Array) =>
  checksumOf(addToSum(bytes, 34, bytes.length, pseudoSum(bytes))) === 0;

function finished(frame: Frame): Uint8Array[] {
  const out: Uint8Array[] = [];
  finishFrame(frame, NO_OFFLOADS, ({ bytes }) => out.push(bytes.slice()));
  return out;
}

const CHECKSUM: Offload = { ...PLAIN, needsChecksum: true, checksumStart: 34, checksumOffset: 16 };

Deno.test("a checksum that was left to do is put in; the frame itself stays as it was", () => {
  const bytes = tcp4(101);
  const before = bytes.slice();
  const [out] = finished({ bytes, offload: CHECKSUM });
  assert.ok(isRight(out));
  assert.deepEqual(bytes, before);
});

Deno.test("a UDP checksum that comes to zero is all ones (RFC 768)", () => {
  const bytes = new Uint8Array(42).fill(0);
  bytes.set([0xff, 0xff], 34);
  const offload = { ...CHECKSUM, checksumOffset: 6 };
  const [out] = finished({ bytes, offload });
  assert.deepEqual([...out.subarray(40, 42)], [0xff, 0xff]);
});

Deno.test("a segmentation becomes segments: sequence numbers, lengths, flags, checksums (RFC 9293)", () => {
  const bytes = tcp4(3000);
  const offload = { ...CHECKSUM, segmentBytes: 1460, headerBytes: 54 };
  const out = finished({ bytes, offload });
  assert.deepEqual(out.map(({ length }) => length - 54), [1460, 1460, 80]);
  const views = out.map((b) => new DataView(b.buffer));
  assert.deepEqual(views.map((v) => v.getUint32(38)), [1000, 2460, 3920]);
  assert.deepEqual(views.map((v) => v.getUint16(16)), [1500, 1500, 120]);
  assert.deepEqual(views.map((v) => v.getUint16(18)), [0x1234, 0x1235, 0x1236]);
  assert.deepEqual(out.map((b) => b[47]), [0x10, 0x10, 0x19], "FIN and PSH in the last alone");
  assert.ok(out.every(isRight));
  assert.ok(out.every((b) => checksumOf(addToSum(b, 14, 34)) === 0), "IP checksums");
  const payload = out.flatMap((b) => [...b.subarray(54)]);
  assert.deepEqual(Uint8Array.from(payload), bytes.subarray(54));
});

Deno.test("what the receiver takes is left as it is", () => {
  const frame = {
    bytes: tcp4(3000),
    offload: { ...CHECKSUM, segmentBytes: 1460, headerBytes: 54 },
  };
  const out: Frame[] = [];
  finishFrame(frame, ALL_OFFLOADS, (one) => out.push(one));
  assert.deepEqual(out, [frame]);
});

Deno.test("the header of Virtio and TAP says the same both ways (Virtio 1.3, 5.1.6)", () => {
  const bytes = tcp4(3000);
  const header = new Uint8Array(NETWORK_HEADER_BYTES);
  const offload = { ...CHECKSUM, segmentBytes: 1460, headerBytes: 54 };
  encodeNetworkHeader(header, bytes, offload);
  assert.deepEqual([...header], [1, 1, 54, 0, 0xb4, 5, 34, 0, 16, 0, 1, 0]);
  assert.deepEqual(decodeNetworkHeader(header, bytes.length), offload);
  assert.deepEqual(decodeNetworkHeader(new Uint8Array(12), 60), PLAIN);
  assert.equal(decodeNetworkHeader(header, 40), undefined, "a checksum behind the frame's end");
  header[1] = 3;
  assert.equal(decodeNetworkHeader(header, 5000), undefined, "UDP fragments were not offered");
});

Deno.test("hostile frames and headers neither throw nor grow", () => {
  seeded((random) => {
    for (let i = 0; i < 20_000; i++) {
      const bytes = random.chance(50)
        ? tcp4(random.below(2000))
        : new Uint8Array(14 + random.below(200));
      for (let n = random.below(12); n > 0; n--) {
        bytes[random.below(Math.min(80, bytes.length))] = random.u32();
      }
      const header = Uint8Array.from(
        { length: 12 },
        () => random.chance(40) ? random.below(64) : random.u32(),
      );
      header[0] &= 3;
      header[1] = random.pick([0, 1, 4, header[1]]);
      const offload = decodeNetworkHeader(header, bytes.length);
      if (offload === undefined) continue;
      let total = 0;
      finishFrame({ bytes, offload }, NO_OFFLOADS, (frame) => total += frame.bytes.length);
      assert.ok(total <= bytes.length * 4, `${bytes.length} bytes became ${total}`);
    }
  });
});
