/** What a disk image is to whoever serves it: bytes at offsets. It lives on the I/O worker's thread. */

/** Where bytes of a disk are in a file of the host, plainly: byte after byte. */
export interface HostRange {
  /** Descriptor of the file. */
  readonly fd: number;
  /** Of the first byte, in the file. */
  readonly position: number;
  /** Bytes. */
  readonly length: number;
}

/**
 * An open image. Offsets and lengths are in bytes; whoever calls keeps them within `sizeBytes`. Calls
 * block, and throw a `SysError` when the host fails, a `DiskError` when the image contradicts itself:
 * nothing of the image is lost by that, and it goes on.
 */
export interface DiskImage {
  /** Size in bytes, a whole number of sectors. */
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  /** Fills `into` from `offset` on; what the file lacks of its last sector reads as zeros. */
  read(offset: number, into: Uint8Array): void;
  /** Writes all of `from` at `offset`; not for a read-only image. */
  write(offset: number, from: Uint8Array): void;
  /** Does it keep in memory what would be lost if this process were killed? Undefined: never. */
  readonly hasUnwritten?: boolean;
  /** Returns when everything written would outlive a power failure of the host. */
  flush(): void;
  /**
   * The guest needs these bytes no more. They read as what they were or as zeros, and what the host
   * has for them may go; not for a read-only image.
   */
  discard(offset: number, length: number): void;
  /**
   * Makes `length` bytes zeros, without writing them where the format or the host can; not for a
   * read-only image.
   *
   * @param unmap The host may take back the room that they had.
   */
  writeZeroes(offset: number, length: number, unmap: boolean): void;
  /**
   * How many bytes from `offset` on, at most `length`, are known to be zeros without reading them;
   * 0 where there may be data.
   */
  zerosAt(offset: number, length: number): number;
  /**
   * Where the bytes from `offset` on lie plainly in a file of the host, for an engine that transfers
   * between that file and guest memory by itself; undefined where `read` or `write` has to do it. It
   * holds until the next `write`, `discard` or `writeZeroes` of the same bytes, and `flush` reaches
   * what was written there.
   *
   * @param length At most as many bytes are in the range, often fewer.
   * @param write The range is to be written, else read only.
   */
  extent?(offset: number, length: number, write: boolean): HostRange | undefined;
  /**
   * The descriptor whose fdatasync is all that `flush` does, for an engine that flushes while it does
   * other things; undefined where `flush` has more to do.
   */
  readonly syncedBy?: number;
  /**
   * `flush` step by step, for the same: of each descriptor that comes, fdatasync has to have ended
   * before the next is asked for. Meanwhile the image may be used as ever; what changes where things
   * are in the file has the steps that are left done first, at once.
   *
   * @throws as `flush` does, at any step; and what is thrown into it
   */
  flushSteps?(): Generator<number, void>;
  [Symbol.dispose](): void;
}

/** Why an image cannot be used. */
export type DiskErrorCode =
  | "missing"
  | "permission"
  | "not a disk"
  | "format"
  | "corrupt"
  | "backing"
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
  /** The message without its beginning. */
  readonly problem: string;

  /** @param problem Follows "Cannot use PATH as a disk: ". */
  constructor(path: string, code: DiskErrorCode, problem: string, options?: ErrorOptions) {
    super(`Cannot use ${path} as a disk: ${problem}`, options);
    this.path = path;
    this.code = code;
    this.problem = problem;
  }
}
