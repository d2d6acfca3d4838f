/** Plain data as JSON, byte arrays included, for what crosses threads as text in shared memory. */

/** How a byte array is written: no other object has this one key. */
const BYTES = "$bytes";

/** The text of numbers, strings, booleans, arrays, objects and byte arrays; undefined is left out. */
export const toJson = (value: unknown): string =>
  JSON.stringify(
    value,
    (_key, inner) => inner instanceof Uint8Array ? { [BYTES]: Array.from(inner) } : inner,
  );

/** What `toJson` was given. */
export const fromJson = (text: string): unknown =>
  JSON.parse(text, (_key, inner) => isBytes(inner) ? Uint8Array.from(inner[BYTES]) : inner);

function isBytes(value: unknown): value is { [BYTES]: number[] } {
  return typeof value === "object" && value !== null && BYTES in value;
}
