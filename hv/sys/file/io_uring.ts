/**
 * Asynchronous transfers between files and memory by Linux's io_uring: requests go into a ring that
 * the kernel reads, results into one that it writes (io_uring(7), <linux/io_uring.h>).
 *
 * For one thread. The ring's descriptor can be read (poll) while results wait to be taken.
 */

import { Descriptor } from "../descriptor.ts";
import { Errno, SysError } from "../errors.ts";
import { Iovecs, type MemoryRange } from "./iovecs.ts";
import { errno, libc } from "../libc.ts";
import { SharedMapping } from "../memory_map.ts";

/** System call numbers, the same on every architecture. */
const SYS_IO_URING_SETUP = 425n;
const SYS_IO_URING_ENTER = 426;

const IORING_SETUP_CLAMP = 1 << 4;
const IORING_ENTER_GETEVENTS = 1;
const IORING_OFF_SQES = 0x1000_0000;
/** One mapping holds both rings; results never get lost; `struct iovec`s may change after submit. */
const FEATURES = 1 << 0 | 1 << 1 | 1 << 2;

const IORING_OP_READV = 1;
const IORING_OP_WRITEV = 2;
const IORING_OP_FSYNC = 3;
const IORING_OP_FALLOCATE = 17;
const IORING_OP_READ = 22;
const IORING_OP_WRITE = 23;
const IORING_FSYNC_DATASYNC = 1;

/** struct io_uring_params: lengths, features, and where in the mapping everything lies. */
const PARAMS_BYTES = 120;
const SQ_ENTRIES = 0;
const CQ_ENTRIES = 4;
const FLAGS = 8;
const FEATURES_OFFSET = 20;
const SQ_OFF = { head: 40, tail: 44, ringMask: 48, array: 64 } as const;
const CQ_OFF = { head: 80, tail: 84, ringMask: 88, cqes: 100 } as const;

/** struct io_uring_sqe in 32-bit words. */
const SQE_WORDS = 16;
const Sqe = {
  opcode: 0,
  fd: 1,
  offset: 2,
  address: 4,
  length: 6,
  opFlags: 7,
  userData: 8,
} as const;
const SQE_BYTES = 4 * SQE_WORDS;
const CQE_BYTES = 16;
const IOVECS = 4096;
const HIGH = 2 ** 32;

let isThere: boolean | undefined;

/** Has this host io_uring for us? */
export function ioUringIsThere(): boolean {
  if (isThere === undefined) {
    const ring = IoUring.open(1);
    isThere = ring !== undefined;
    ring?.[Symbol.dispose]();
  }
  return isThere;
}

/** See above. Tokens are unsigned 32-bit numbers of the caller's. */
export class IoUring extends Descriptor {
  /** Requests that the ring holds; there is room for twice as many results. */
  readonly depth: number;
  readonly #rings: SharedMapping;
  readonly #sqes: SharedMapping;
  readonly #sqe: Uint32Array;
  readonly #words: Uint32Array;
  readonly #results: Int32Array;
  readonly #at: { sqHead: number; sqTail: number; cqHead: number; cqTail: number; cqes: number };
  readonly #sqMask: number;
  readonly #cqMask: number;
  readonly #iovecs = Iovecs.ofLength(IOVECS);
  #iovecsUsed = 0;
  /** Requests that the kernel has not been told of. */
  #queued = 0;
  #inFlight = 0;

  /**
   * A ring of at least `entries` requests; undefined where the kernel has none (before 5.6), or where
   * it is forbidden (containers, `kernel.io_uring_disabled`).
   *
   * @throws SysError for any other reason
   */
  static open(entries: number): IoUring | undefined {
    const params = new DataView(new ArrayBuffer(PARAMS_BYTES));
    params.setUint32(FLAGS, IORING_SETUP_CLAMP, true);
    const { ioUringSetup } = libc;
    const fd = Number(ioUringSetup(SYS_IO_URING_SETUP, entries, params));
    if (fd < 0) {
      const number = errno();
      const absent: number[] = [Errno.ENOSYS, Errno.EPERM, Errno.EACCES, Errno.EINVAL];
      if (absent.includes(number)) return undefined;
      throw new SysError("make an io_uring", number);
    }
    if ((params.getUint32(FEATURES_OFFSET, true) & FEATURES) !== FEATURES) {
      libc.close(fd);
      return undefined;
    }
    return new IoUring(fd, params);
  }

  private constructor(fd: number, params: DataView) {
    super(fd);
    const field = (offset: number) => params.getUint32(offset, true);
    this.depth = field(SQ_ENTRIES);
    const cqEnd = field(CQ_OFF.cqes) + field(CQ_ENTRIES) * CQE_BYTES;
    const bytes = Math.max(field(SQ_OFF.array) + 4 * this.depth, cqEnd);
    this.#rings = new SharedMapping(fd, bytes);
    this.#sqes = new SharedMapping(fd, this.depth * SQE_BYTES, IORING_OFF_SQES);
    this.#words = new Uint32Array(this.#rings.buffer, 0, bytes >> 2);
    this.#results = new Int32Array(this.#rings.buffer, 0, bytes >> 2);
    this.#sqe = new Uint32Array(this.#sqes.buffer);
    this.#at = {
      sqHead: field(SQ_OFF.head) >> 2,
      sqTail: field(SQ_OFF.tail) >> 2,
      cqHead: field(CQ_OFF.head) >> 2,
      cqTail: field(CQ_OFF.tail) >> 2,
      cqes: field(CQ_OFF.cqes) >> 2,
    };
    this.#sqMask = this.#words[field(SQ_OFF.ringMask) >> 2];
    this.#cqMask = this.#words[field(CQ_OFF.ringMask) >> 2];
    // Entry i of the ring is always request i.
    const array = field(SQ_OFF.array) >> 2;
    for (let i = 0; i < this.depth; i++) this.#words[array + i] = i;
  }

  /** Requests that have been queued or submitted and whose results have not been taken. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Reads from `fd` at byte `offset` into `memory`; the result is the number of bytes. */
  read(fd: number, offset: number, memory: readonly MemoryRange[], token: number): void {
    this.#transfer(IORING_OP_READ, IORING_OP_READV, fd, offset, memory, token);
  }

  /** Writes `memory` to `fd` at byte `offset`; the result is the number of bytes. */
  write(fd: number, offset: number, memory: readonly MemoryRange[], token: number): void {
    this.#transfer(IORING_OP_WRITE, IORING_OP_WRITEV, fd, offset, memory, token);
  }

  /** Brings onto the medium what was written to `fd` by requests whose results are known. */
  dataSync(fd: number, token: number): void {
    this.#queue(IORING_OP_FSYNC, fd, 0, 0, 0, IORING_FSYNC_DATASYNC, token);
  }

  /** fallocate(2) with `mode` of `length` bytes of `fd` at `offset`. */
  allocate(fd: number, mode: number, offset: number, length: number, token: number): void {
    this.#queue(IORING_OP_FALLOCATE, fd, offset, length, mode, 0, token);
  }

  /**
   * Tells the kernel of what was queued. What is at hand (the page cache) is usually done when this
   * returns.
   *
   * @throws SysError
   */
  submit(): void {
    const { ioUringEnter } = libc;
    while (this.#queued > 0) {
      const taken = ioUringEnter(SYS_IO_URING_ENTER, this.fd, this.#queued, 0, 0, 0n, 0n);
      if (taken >= 0) {
        this.#queued -= taken;
        continue;
      }
      const number = errno();
      if (number === Errno.EINTR) continue;
      // No room for results, or no memory: some must end first.
      const busy = number === Errno.EAGAIN || number === Errno.EBUSY;
      if (busy && this.#inFlight > this.#queued && !this.#hasResults) this.wait();
      else if (busy) return;
      else throw new SysError("submit to an io_uring", number);
    }
    this.#iovecsUsed = 0;
  }

  /**
   * Takes the results that are there: `done(token, result)`, a number of bytes, 0, or a negated error
   * number (of `Errno`). More may be queued from within.
   *
   * @returns How many there were.
   */
  take(done: (token: number, result: number) => void): number {
    const words = this.#words;
    const { cqHead, cqTail, cqes } = this.#at;
    let count = 0;
    for (let head = words[cqHead]; head !== Atomics.load(words, cqTail); count++) {
      const at = cqes + (head & this.#cqMask) * (CQE_BYTES / 4);
      const token = words[at];
      const result = this.#results[at + 2];
      head = head + 1 >>> 0;
      Atomics.store(words, cqHead, head);
      this.#inFlight--;
      done(token, result);
    }
    return count;
  }

  /**
   * Waits until there is a result; at once when nothing is under way.
   *
   * @throws SysError
   */
  wait(): void {
    const { ioUringEnter } = libc;
    while (this.#inFlight > this.#queued && !this.#hasResults) {
      const result = ioUringEnter(
        SYS_IO_URING_ENTER,
        this.fd,
        0,
        1,
        IORING_ENTER_GETEVENTS,
        0n,
        0n,
      );
      const number = errno();
      if (result < 0 && number !== Errno.EINTR) {
        throw new SysError("wait for an io_uring", number);
      }
    }
  }

  /** Waits for what is under way, whose results are dropped, and ends the ring. */
  override [Symbol.dispose](): void {
    if (this.fd < 0) return;
    while (this.#inFlight > this.#queued) {
      this.wait();
      this.take(() => {});
    }
    super[Symbol.dispose]();
    this.#rings[Symbol.dispose]();
    this.#sqes[Symbol.dispose]();
  }

  get #hasResults(): boolean {
    return this.#words[this.#at.cqHead] !== Atomics.load(this.#words, this.#at.cqTail);
  }

  #transfer(
    single: number,
    vectored: number,
    fd: number,
    offset: number,
    memory: readonly MemoryRange[],
    token: number,
  ): void {
    if (memory.length === 1) {
      this.#queue(single, fd, offset, memory[0].address, memory[0].length, 0, token);
      return;
    }
    // Before the pieces are noted down: submitting forgets all that are.
    if (this.#queued === this.depth || this.#iovecsUsed + memory.length > IOVECS) this.submit();
    if (this.#iovecsUsed + memory.length > IOVECS) {
      throw new RangeError(`Cannot transfer ${memory.length} pieces of memory at once`);
    }
    const iovecs = this.#iovecs.put(this.#iovecsUsed, memory);
    this.#iovecsUsed += memory.length;
    this.#queue(vectored, fd, offset, iovecs, memory.length, 0, token);
  }

  #queue(
    opcode: number,
    fd: number,
    offset: number,
    address: number,
    length: number,
    opFlags: number,
    token: number,
  ): void {
    if (this.#queued === this.depth) this.submit();
    if (this.#queued === this.depth) throw new SysError("queue a transfer", Errno.EBUSY);
    const { sqTail } = this.#at;
    const words = this.#words;
    const tail = words[sqTail];
    const sqe = this.#sqe;
    const at = (tail & this.#sqMask) * SQE_WORDS;
    sqe.fill(0, at, at + SQE_WORDS);
    sqe[at + Sqe.opcode] = opcode;
    sqe[at + Sqe.fd] = fd;
    // Storing takes a number modulo 2^32.
    sqe[at + Sqe.offset] = offset;
    sqe[at + Sqe.offset + 1] = offset / HIGH;
    sqe[at + Sqe.address] = address;
    sqe[at + Sqe.address + 1] = address / HIGH;
    sqe[at + Sqe.length] = length;
    sqe[at + Sqe.opFlags] = opFlags;
    sqe[at + Sqe.userData] = token;
    Atomics.store(words, sqTail, tail + 1 >>> 0);
    this.#queued++;
    this.#inFlight++;
  }
}
