/** What an image format needs of the file that it is in: `FileHandle`, or a test's in its place. */

/** Positions and lengths are in bytes. Every call throws a `SysError` when the host fails. */
export interface ImageFile {
  readonly path: string;
  readonly writable: boolean;
  /** Its descriptor. */
  readonly fd: number;
  /** Size now. */
  readonly size: number;
  /** Fills `into`; the result is the bytes read, fewer only at the end of the file. */
  read(into: Uint8Array, position: number): number;
  /** Writes all of `from`; the file grows as needed. */
  write(from: Uint8Array, position: number): void;
  /** Brings what was written onto the medium. */
  sync(): void;
  resize(size: number): void;
  /** Gives bytes back to the file system, which read as zeros then; false: it cannot. */
  punchHole(position: number, length: number): boolean;
  /** Makes bytes zeros that keep their room; false: the file system cannot. */
  zeroRange(position: number, length: number): boolean;
  /** Bytes from `position` on, at most `length`, that are a hole or beyond the end. */
  holeAt(position: number, length: number): number;
  [Symbol.dispose](): void;
}

/** As much zero as is written at once where the host cannot clear a range by itself. */
const ZEROS = new Uint8Array(65536);

/** Makes bytes of a file zeros by writing them. */
export function writeZeros(file: ImageFile, position: number, length: number): void {
  for (let done = 0; done < length; done += ZEROS.length) {
    file.write(ZEROS.subarray(0, Math.min(ZEROS.length, length - done)), position + done);
  }
}

/**
 * Fills `into` from `position` on, with zeros beyond the end of the file.
 */
export function readPadded(file: ImageFile, into: Uint8Array, position: number): void {
  const done = file.read(into, position);
  if (done < into.length) into.fill(0, done);
}
