/** Packed data that are damaged or larger than allowed: the message says what, not in which file. */
export class PackedDataError extends Error {
  override readonly name = "PackedDataError";
}
