/**
 * Threads and the signal that ends a `KVM_RUN`.
 *
 * The signal is blocked in the thread that is kicked and is unblocked only while that thread is
 * inside KVM_RUN (KVM_SET_SIGNAL_MASK): a kick that comes at any other moment stays pending and
 * ends the next run at once, so that none is lost, and no handler ever runs.
 */

import { Errno, SysError } from "./errors.ts";
import { errno, libc } from "./libc.ts";

/** First real-time signal that glibc leaves to programs (it keeps 32 and 33), plus a few. */
export const KICK_SIGNAL = 40;

const SIG_BLOCK = 0;
const SIG_IGN = 1n;
/** Bytes of glibc's sigset_t. */
const SIGSET_BYTES = 128;

const kickSet = new Uint8Array(SIGSET_BYTES);
kickSet[(KICK_SIGNAL - 1) >> 3] = 1 << ((KICK_SIGNAL - 1) & 7);
/** struct timespec of no time at all. */
const noTime = new Uint8Array(16);

/** glibc's struct sigaction, which begins with the handler. */
const action = new BigUint64Array(SIGSET_BYTES / 8 + 3);

/** A write beyond RLIMIT_FSIZE. */
const SIGXFSZ = 25;

/**
 * Has a write beyond the process's limit of file sizes (`ulimit -f`) fail with EFBIG, of which the guest
 * hears, instead of ending the process.
 */
export function ignoreFileSizeSignal(): void {
  libc.signal(SIGXFSZ, SIG_IGN);
}

let prepared = 0;

/**
 * Number of the calling thread, ready to be kicked: it blocks the kick signal here. Call it on the
 * thread that runs the virtual processor, before telling others the number.
 *
 * @throws SysError
 */
export function currentThreadId(): number {
  if (prepared !== 0) return prepared;
  ignoreKicks();
  const error = libc.pthread_sigmask(SIG_BLOCK, kickSet, null);
  if (error !== 0) throw new SysError("block the kick signal", error);
  prepared = libc.gettid();
  return prepared;
}

/**
 * Has the process ignore kicks that find no thread: one that arrives late, at a thread that has ended
 * and whose number another one has, must not end the process, which is what an unblocked real-time
 * signal does by default.
 *
 * Done once, before there is a thread to be kicked: setting a signal to be ignored drops what is
 * pending of it in every thread (POSIX, 2.4.3), kicks of other machines among them, and timers whose
 * signal was dropped never come again.
 */
export function ignoreKicks(): void {
  const { sigaction, signal } = libc;
  sigaction(KICK_SIGNAL, null, action);
  if (action[0] !== SIG_IGN) signal(KICK_SIGNAL, SIG_IGN);
}

/**
 * Sends the kick signal to thread `threadId` of this process; false when that thread has ended.
 *
 * @throws SysError
 */
export function signalThread(threadId: number): boolean {
  const { tgkill } = libc;
  const pid = libc.getpid();
  if (tgkill(pid, threadId, KICK_SIGNAL) === 0) return true;
  const number = errno();
  if (number === Errno.ESRCH) return false;
  // The queue of real-time signals is full: then there is one pending already, which is enough.
  if (number === Errno.EAGAIN) return true;
  throw new SysError(`signal thread ${threadId}`, number);
}

/** Takes the pending kick signals of the calling thread away. */
export function consumeKicks(): void {
  const { sigtimedwait } = libc;
  // Bounded, as somebody could send them faster than they are taken.
  for (let i = 0; i < 64 && sigtimedwait(kickSet, null, noTime) === KICK_SIGNAL; i++);
}
