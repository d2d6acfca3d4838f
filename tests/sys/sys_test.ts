import assert from "node:assert/strict";
import { addressOf, asBuffer, bytesAt, cString } from "../../hv/sys/address.ts";
import { monotonicNs } from "../../hv/sys/clock.ts";
import { Descriptor, openDescriptor } from "../../hv/sys/descriptor.ts";
import { Errno, SysError } from "../../hv/sys/errors.ts";
import { errno, libc } from "../../hv/sys/libc.ts";
import { SharedMapping } from "../../hv/sys/memory_map.ts";
import { currentThreadId, KICK_SIGNAL, signalThread } from "../../hv/sys/thread.ts";
import { ThreadTimer } from "../../hv/sys/thread_timer.ts";
import { DescriptorSet } from "../../hv/sys/wait/descriptor_set.ts";
import { Epoll, EPOLLET, EPOLLIN } from "../../hv/sys/wait/epoll.ts";
import { createEventFd, EventFd } from "../../hv/sys/wait/event_fd.ts";
import { waitReadable } from "../../hv/sys/wait/poll.ts";
import { consumeKicks } from "../../hv/sys/thread.ts";
import { libcAdvice } from "../../hv/sys/libc.ts";

/** Gives a descriptor another number as well, the first free one from the argument on (fcntl(2)). */
const F_DUPFD = 0;
/** glibc's sigset_t with the kick signal in it. */
const KICKS = new Uint8Array(128);
KICKS[(KICK_SIGNAL - 1) >> 3] = 1 << ((KICK_SIGNAL - 1) & 7);

Deno.test("a missing file is reported with operation, reason, error name and hint", () => {
  const hint = () => "make it first";
  assert.throws(() => openDescriptor("/nonexistent/file", 0, { hint }), (error: unknown) => {
    assert.ok(error instanceof SysError);
    assert.equal(
      error.message,
      "Cannot open /nonexistent/file: no such file or directory (ENOENT); make it first",
    );
    assert.equal(error.errno, Errno.ENOENT);
    assert.equal(error.code, "ENOENT");
    assert.equal(error.operation, "open /nonexistent/file");
    return true;
  });
});

Deno.test("errno is that of the call just made, and unknown numbers are still named", () => {
  assert.equal(libc.close(-1), -1);
  assert.equal(errno(), Errno.EBADF);
  assert.equal(
    new SysError("try it", 4095).message,
    "Cannot try it: errno 4095",
  );
});

Deno.test("without glibc the advice says what is needed", () => {
  assert.match(libcAdvice("linux"), /glibc/);
  assert.match(libcAdvice("darwin"), /needs Linux.*darwin/);
});

Deno.test("a path with a NUL is refused instead of cut", () => {
  assert.throws(() => cString("disk\0.img"), TypeError);
  assert.deepEqual([...cString("ab")], [0x61, 0x62, 0]);
});

Deno.test("addresses of WebAssembly memory are page-aligned, advance by bytes and can be viewed", () => {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const bytes = new Uint8Array(memory.buffer);
  const address = addressOf(bytes);
  assert.equal(address % 4096, 0);
  assert.equal(addressOf(bytes.subarray(5000)), address + 5000);
  const view = new Uint8Array(bytesAt(address, 16));
  bytes[3] = 77;
  assert.equal(view[3], 77);
  assert.throws(() => bytesAt(0, 1), RangeError);
});

Deno.test("shared bytes are accepted where the kernel writes", () => {
  const shared = new Uint8Array(new SharedArrayBuffer(16));
  assert.equal(libc.clock_gettime(1, asBuffer(shared)), 0);
  assert.notDeepEqual([...shared], new Array(16).fill(0));
});

Deno.test("the monotonic clock counts whole nanoseconds and never goes back", () => {
  let last = monotonicNs();
  for (let i = 0; i < 10_000; i++) {
    const now = monotonicNs();
    assert.ok(now >= last && Number.isInteger(now), `${last} to ${now}`);
    last = now;
  }
});

Deno.test("an eventfd adds up until it is taken", () => {
  using event = new EventFd();
  assert.equal(event.take(), 0);
  event.signal();
  event.signal();
  assert.equal(event.take(), 2);
  assert.equal(event.take(), 0);
});

Deno.test("a descriptor is closed once", () => {
  using source = new Descriptor(createEventFd());
  // Far from the numbers that Deno's own threads are given meanwhile.
  const open = () => libc.fcntlValue(source.fd, F_DUPFD, 900);
  const fd = open();
  const event = new Descriptor(fd);
  event[Symbol.dispose]();
  assert.equal(event.fd, -1);
  // Somebody else's descriptor may have the number now.
  using other = new Descriptor(open());
  assert.equal(other.fd, fd);
  event[Symbol.dispose]();
  assert.ok(waitReadable(other.fd, 0) === false);
});

/** On kernels of any age. */
function epollTest(name: string, body: (epoll: Epoll) => void): void {
  for (const isExact of [true, false]) {
    Deno.test(`epoll ${name}${isExact ? "" : ", before Linux 5.11"}`, () => {
      using epoll = new Epoll(isExact);
      body(epoll);
    });
  }
}

epollTest("reports the tokens of what is ready, and forgets what is removed", (epoll) => {
  using first = new EventFd();
  using second = new EventFd();
  epoll.add(first.fd, EPOLLIN, 7);
  epoll.add(second.fd, EPOLLIN, 0xffff_fff0);
  const seen: [number, number][] = [];
  const note = (token: number, events: number) => seen.push([token, events]);
  assert.equal(epoll.wait(0, note), 0);
  second.signal();
  assert.equal(epoll.wait(1e9, note), 1);
  first.signal();
  assert.equal(epoll.wait(1e9, note), 2);
  epoll.remove(second.fd);
  assert.equal(epoll.wait(0, note), 1);
  seen.sort(([a], [b]) => a - b);
  assert.deepEqual(seen, [
    [7, EPOLLIN],
    [7, EPOLLIN],
    [0xffff_fff0, EPOLLIN],
    [0xffff_fff0, EPOLLIN],
  ]);
  assert.throws(() => epoll.add(-1, EPOLLIN, 0), /Cannot watch descriptor -1: .*EBADF/);
});

epollTest("waits until its time limit, of nanoseconds", (epoll) => {
  const begun = monotonicNs();
  assert.equal(epoll.wait(100_000, () => assert.fail("nothing is ready")), 0);
  assert.ok(monotonicNs() - begun >= 100_000);
});

epollTest("reports an edge each time that an eventfd is raised, and only then", (epoll) => {
  using event = new EventFd();
  epoll.add(event.fd, EPOLLIN | EPOLLET, 1);
  const count = () => epoll.wait(0, () => {});
  assert.equal(count(), 0);
  for (let i = 0; i < 3; i++) {
    event.signal();
    event.signal();
    assert.equal(epoll.wait(Infinity, () => {}), 1);
    assert.equal(count(), 0, "nobody has taken from it");
  }
});

Deno.test("a doorbell ends a wait, also one that comes later, and none without being rung", () => {
  using descriptors = new DescriptorSet();
  using bell = new EventFd();
  descriptors.addDoorbell(bell.fd);
  bell.signal();
  descriptors.wait(Infinity);
  bell.signal();
  descriptors.wait(Infinity);
  const begun = monotonicNs();
  descriptors.wait(1e6);
  assert.ok(monotonicNs() - begun >= 1e6);
});

Deno.test("waiting for a descriptor ends at its time limit or when it can be read", () => {
  using event = new EventFd();
  assert.equal(waitReadable(event.fd, 1000), false);
  event.signal();
  assert.equal(waitReadable(event.fd, Infinity), true);
  assert.equal(waitReadable(event.fd, 0), true);
});

Deno.test("a kick of this thread stays pending until it is consumed, and ends nothing", () => {
  const self = currentThreadId();
  assert.equal(currentThreadId(), self);
  for (let i = 0; i < 3; i++) assert.equal(signalThread(self), true);
  consumeKicks();
  // A number beyond the largest of Linux (2^22) is nobody's.
  assert.equal(signalThread(5_000_000), false);
});

Deno.test("a thread that gets ready takes neither pending kicks nor timers from others", async () => {
  const self = currentThreadId();
  const isPending = () => libc.sigtimedwait(KICKS, null, new Uint8Array(16)) === KICK_SIGNAL;
  // The timer's signal is pending, too, as nobody takes it here.
  using _timer = new ThreadTimer(self, 1_000_000);
  signalThread(self);
  await new Promise((resolve) => setTimeout(resolve, 5));
  const other = new Worker(new URL("./ready_thread.ts", import.meta.url), { type: "module" });
  const id = await new Promise((resolve) => other.onmessage = ({ data }) => resolve(data));
  other.terminate();
  assert.notEqual(id, self);
  assert.ok(isPending(), "the kick is still there");
  consumeKicks();
  // Ignoring a signal for a whole process, as each thread did, drops what is pending of it, and a
  // timer whose signal was dropped never comes again.
  const limit = performance.now() + 60_000;
  while (!isPending()) {
    assert.ok(performance.now() < limit, "the timer goes on");
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
});

Deno.test("a mapping shows the file's bytes, and is gone after its end", () => {
  const path = Deno.makeTempFileSync();
  try {
    Deno.writeFileSync(path, new Uint8Array(4096).fill(9));
    using file = new Descriptor(openDescriptor(path, 2));
    const mapping = new SharedMapping(file.fd, 4096);
    assert.equal(new Uint8Array(mapping.buffer)[4095], 9);
    mapping[Symbol.dispose]();
    mapping[Symbol.dispose]();
    assert.throws(() => mapping.buffer, /after its end/);
    assert.throws(() => new SharedMapping(-1, 4096), /Cannot map 4096 bytes: .*EBADF/);
  } finally {
    Deno.removeSync(path);
  }
});
