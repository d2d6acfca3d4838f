/**
 * The host's system calls: the only foreign-function interface of the tree. Linux with glibc.
 *
 * @module
 */

export * from "./address.ts";
export * from "./clock.ts";
export * from "./descriptor.ts";
export * from "./wait/descriptor_set.ts";
export * from "./wait/epoll.ts";
export * from "./errors.ts";
export * from "./wait/event_fd.ts";
export * from "./file/file.ts";
export * from "./file/io_uring.ts";
export * from "./file/iovecs.ts";
export * from "./memory_map.ts";
export * from "./wait/poll.ts";
export * from "./net/socket.ts";
export * from "./net/socket_address.ts";
export * from "./net/tap.ts";
export * from "./thread.ts";
export * from "./thread_timer.ts";
export * from "./file/transfer.ts";
export { errno, libc } from "./libc.ts";
