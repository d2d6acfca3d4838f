/** What a disk image is to whoever serves it: bytes at offsets. It lives on the I/O worker's thread. */

/**
 * An open image. Offsets and lengths are in bytes; whoever calls keeps them within `sizeBytes`. Calls
 * block, and throw a `SysError` when the host fails: nothing of the image is lost by that, and it goes
 * on.
 */
export interface DiskImage {
  /** Size in bytes, a whole number of sectors. */
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  /** Fills `into` from `offset` on; what the file lacks of its last sector reads as zeros. */
  read(offset: number, into: Uint8Array): void;
  /** Writes all of `from` at `offset`; not for a read-only image. */
  write(offset: number, from: Uint8Array): void;
  /** Returns when everything written would outlive a power failure of the host. */
  flush(): void;
  [Symbol.dispose](): void;
}

/** Why an image cannot be used. */
export type DiskErrorCode =
  | "missing"
  | "permission"
  | "not a disk"
  | "format"
  | "empty"
  | "size"
  | "in use"
  | "scratch"
  | "host";

/** An image that the user named cannot be used: one line that says what, why and what to do. */
export class DiskError extends Error {
  override readonly name = "DiskError";
  readonly path: string;
  readonly code: DiskErrorCode;

  /** @param problem Follows "Cannot use PATH as a disk: ". */
  constructor(path: string, code: DiskErrorCode, problem: string, options?: ErrorOptions) {
    super(`Cannot use ${path} as a disk: ${problem}`, options);
    this.path = path;
    this.code = code;
  }
}
