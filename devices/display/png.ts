/**
 * Screenshots as PNG files: 8 bits a colour, RGB, every line as the differences to the one above, which
 * are mostly zeros on a screen.
 *
 * Reference: Portable Network Graphics, W3C, third edition.
 */

import type { Frame } from "./frame.ts";

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const BITS_A_COLOUR = 8;
/** Colour type "truecolour" (11.2.1, table 12). */
const TRUECOLOUR = 2;
/** Filter type "Up" (9.2). */
const UP = 2;
/** Length, type and checksum around a chunk's data (5.3). */
const CHUNK_BYTES = 12;

/** Encodes a picture as PNG; its alpha is left out, as a screen is opaque. */
export async function encodePng({ width, height, rgba }: Frame): Promise<Uint8Array> {
  // A start that takes no screenshot does not load it.
  const { crc32, deflateSync } = await import("node:zlib");
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint8(8, BITS_A_COLOUR);
  header.setUint8(9, TRUECOLOUR);
  const chunk = (type: string, data: Uint8Array): Uint8Array => {
    const bytes = new Uint8Array(data.length + CHUNK_BYTES);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, data.length);
    bytes.set(new TextEncoder().encode(type), 4);
    bytes.set(data, 8);
    view.setUint32(8 + data.length, crc32(bytes.subarray(4, 8 + data.length)));
    return bytes;
  };
  const parts = [
    Uint8Array.from(SIGNATURE),
    chunk("IHDR", new Uint8Array(header.buffer)),
    chunk("IDAT", deflateSync(filtered({ width, height, rgba }))),
    chunk("IEND", new Uint8Array(0)),
  ];
  const png = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    png.set(part, at);
    at += part.length;
  }
  return png;
}

/** Lines with their filter type in front, every byte less the one above it. */
function filtered({ width, height, rgba }: Frame): Uint8Array {
  const out = new Uint8Array(height * (1 + width * 3));
  const lineBytes = width * 4;
  let to = 0;
  for (let y = 0; y < height; y++) {
    out[to++] = UP;
    for (let x = 0; x < width; x++) {
      const from = y * lineBytes + x * 4;
      for (let colour = 0; colour < 3; colour++) {
        const above = y === 0 ? 0 : rgba[from + colour - lineBytes];
        out[to++] = rgba[from + colour] - above;
      }
    }
  }
  return out;
}
