/**
 * The host's system calls: the only foreign-function interface of the tree. Linux with glibc.
 *
 * @module
 */

export * from "./address.ts";
export * from "./clock.ts";
export * from "./descriptor.ts";
export * from "./descriptor_set.ts";
export * from "./epoll.ts";
export * from "./errors.ts";
export * from "./event_fd.ts";
export * from "./file.ts";
export * from "./io_uring.ts";
export * from "./iovecs.ts";
export * from "./memory_map.ts";
export * from "./poll.ts";
export * from "./socket.ts";
export * from "./socket_address.ts";
export * from "./tap.ts";
export * from "./thread.ts";
export * from "./thread_timer.ts";
export * from "./transfer.ts";
export { errno, libc } from "./libc.ts";
