/** Host addresses of JavaScript's bytes, and bytes at host addresses. */

/**
 * Host address of the first byte of `view`, exact as a number (47 bits).
 *
 * It stays valid as long as the view's buffer lives: WebAssembly and shared memory never move, nor
 * does the store of an ArrayBuffer of more than 64 bytes.
 */
export function addressOf(view: ArrayBufferView): number {
  return Number(Deno.UnsafePointer.value(Deno.UnsafePointer.of(view as Uint8Array<ArrayBuffer>)));
}

/**
 * The `length` bytes at host address `address`. The caller unmaps them only after the last view of
 * them is gone: touching it later kills the process.
 */
export function bytesAt(address: number, length: number): ArrayBuffer {
  const pointer = Deno.UnsafePointer.create(BigInt(address));
  if (pointer === null) throw new RangeError("Cannot view the bytes at address 0");
  return Deno.UnsafePointerView.getArrayBuffer(pointer, length);
}

const encoder = new TextEncoder();

/**
 * `text` as a C string.
 *
 * @throws TypeError if it holds a NUL, which would silently end it early.
 */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  if (text.includes("\0")) {
    throw new TypeError(`Cannot use ${JSON.stringify(text)}: it holds a NUL`);
  }
  return encoder.encode(`${text}\0`);
}

/** `view` as the foreign-function interface types it; shared bytes are accepted (tried). */
export function asBuffer(view: ArrayBufferView): BufferSource {
  return view as Uint8Array<ArrayBuffer>;
}
