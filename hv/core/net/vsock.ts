/**
 * What stands behind a guest's vsock connections on the host: streams of bytes that never block. The
 * virtio device knows these interfaces; Unix sockets behind them are devices/vsock/unix_vsock.ts.
 */

/** What there is to read of a stream. */
export type StreamInput = "data" | "end" | "none";

/** A connection's end on the host. */
export interface VsockStream {
  /** Called when what was awaited has come, or the stream is broken. Set by whoever uses it. */
  onReady: (() => void) | undefined;
  /** What `read` would find. */
  look(): StreamInput;
  /** Bytes read: more than 0 after `look` has said that there are some. */
  read(into: Uint8Array): number;
  /** Bytes taken; fewer than given: no room for now; -1: nobody takes any, and never will. */
  write(from: Uint8Array): number;
  /** Will nobody take any more bytes? */
  readonly isBroken: boolean;
  /** Says that nothing more will be written. */
  endWriting(): void;
  /** What `onReady` is to be called for from now on. */
  await(what: { readonly readable: boolean; readonly writable: boolean }): void;
  /** The guest has accepted, where the host began; its end has the port `hostPort`. */
  accepted?(hostPort: number): void;
  close(): void;
}

/** The host, as guests connect to it. */
export interface VsockHost {
  /** A stream to whoever serves `port` there, or undefined: nobody. */
  connect(port: number): VsockStream | undefined;
}
