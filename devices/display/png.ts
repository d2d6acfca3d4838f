/** Screenshots as PNG files. */

import type { Frame } from "./frame.ts";

/** Encodes a picture as PNG. The encoder is loaded when it is first wanted. */
export async function encodePng({ width, height, rgba }: Frame): Promise<Uint8Array> {
  const { encode } = await import("fast-png");
  return encode({ width, height, data: rgba, channels: 4 });
}
