/** Screenshots as PNG files. */

import type { Frame } from "./frame.ts";

/** By its address: see there. */
const ENCODER = new URL("./fast_png.ts", import.meta.url).href;

/**
 * Encodes a picture as PNG. The encoder is loaded, and fetched if need be, when it is first wanted.
 *
 * @throws {Error} When it cannot be had, as without a network at the first time.
 */
export async function encodePng({ width, height, rgba }: Frame): Promise<Uint8Array> {
  const { encode } = await load();
  return encode({ width, height, data: rgba, channels: 4 });
}

async function load(): Promise<typeof import("./fast_png.ts")> {
  try {
    return await import(ENCODER);
  } catch (cause) {
    throw new Error(
      `Cannot take a screenshot: the npm package fast-png cannot be loaded; take one once while the ` +
        `registry can be reached: ${(cause as Error).message}`,
      { cause },
    );
  }
}
