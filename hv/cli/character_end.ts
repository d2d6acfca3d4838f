/** The host's ends of the guest's consoles and ports: nothing, this terminal, a file, a Unix socket. */

import type { GuestConsole } from "../handles/console.ts";
import { fileProblem } from "../core/file_problem.ts";
import { HostError } from "../errors.ts";
import { GuestPort } from "../handles/guest_port.ts";
import type { CharacterEnd } from "./words/parse.ts";
import { type HeldGuest, QueuedOutput } from "./queued_output.ts";
import { say } from "./say.ts";

/** An end that is connected; `close` sends a socket's client what is left. */
export interface ConnectedEnd {
  /** Resolves when its reader has taken everything, which may be never. */
  flush?(): Promise<void>;
  close(): Promise<void>;
}

/** How soon whoever has to wait is told why, ms. */
const NOTE_MS = 300;

const NOTHING: ConnectedEnd = { close: () => Promise.resolve() };

/**
 * Connects a console of the guest to where the user wants it. `stdio` is the terminal's affair (see
 * terminal/session.ts) and is not handled here.
 *
 * @throws {HostError} When the file or socket cannot be made.
 */
export async function connectEnd(
  console: GuestConsole,
  end: CharacterEnd,
  held: HeldGuest,
): Promise<ConnectedEnd> {
  if (end.kind === "unix") return connectSocket(console, end.path);
  if (end.kind !== "file") return NOTHING;
  try {
    if (isFifo(end.path)) return await connectFifo(console, end.path, held);
    return connectFile(console, end.path);
  } catch (cause) {
    throw new HostError(`Cannot write the console to ${end.path}: ${endProblem(cause)}`, { cause });
  }
}

function isFifo(path: string): boolean {
  try {
    return Deno.statSync(path).isFifo === true;
  } catch {
    return false; // opening it says what is wrong
  }
}

/**
 * A FIFO takes nothing before somebody reads it, which opening it waits for; away from this thread, so
 * that signals are heard.
 */
async function connectFifo(
  console: GuestConsole,
  path: string,
  held: HeldGuest,
): Promise<ConnectedEnd> {
  const opening = Deno.open(path, { write: true });
  const note = setTimeout(() => say(`hv: waiting for somebody to read ${path}, a FIFO`), NOTE_MS);
  const file = await opening.finally(() => clearTimeout(note));
  const output = new QueuedOutput(held, file, (error) => sayFailed(path, error));
  const stop = console.listen((bytes) => output.write(bytes));
  return {
    flush: () => output.flush(),
    close() {
      stop();
      file.close();
      return Promise.resolve();
    },
  };
}

function sayFailed(path: string, error: unknown): void {
  say(`hv: writing ${path} has failed: ${fileProblem(error)}`);
}

function connectFile(console: GuestConsole, path: string): ConnectedEnd {
  const file = Deno.openSync(path, { write: true, create: true, truncate: true });
  let broken = false;
  const stop = console.listen((bytes) => {
    if (broken) return;
    try {
      for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
    } catch (error) {
      // A full disk costs the log, not the machine.
      broken = true;
      sayFailed(path, error);
    }
  });
  return {
    close() {
      stop();
      file.close();
      return Promise.resolve();
    },
  };
}

/** The file is to be made: what is missing is the directory. */
function endProblem(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "there is no such directory";
  return /SUN_LEN/.test((error as Error).message)
    ? "its path is too long for a socket, 107 bytes are possible"
    : fileProblem(error);
}

/**
 * One client at a time. What the guest sends while there is none is only in the history; of a port, it
 * knows and waits.
 */
function connectSocket(console: GuestConsole, path: string): ConnectedEnd {
  const listener = listen(path);
  const port = console instanceof GuestPort && !console.isConsole ? console : undefined;
  if (port) port.isConnected = false;
  let client: Client | undefined;
  const stop = console.listen((bytes) => client?.send(bytes));
  const serve = async () => {
    for await (const connection of listener) {
      client = new Client(connection, port);
      if (port) port.isConnected = true;
      const buffer = new Uint8Array(4096);
      try {
        for (;;) {
          const length = await connection.read(buffer);
          if (length === null) break;
          console.send(buffer.slice(0, length));
          await console.room();
        }
      } catch {
        // The client has gone: wait for the next.
      }
      client.close();
      client = undefined;
      if (port) port.isConnected = false;
    }
  };
  const served = serve().catch(() => {});
  return {
    async close() {
      stop();
      listener.close();
      await client?.drained();
      client?.close();
      await served;
      await Deno.remove(path).catch(() => {});
    },
  };
}

/** What a client may leave unread before it is cut off: the guest does not wait for it. */
const CLIENT_BYTES = 4 << 20;
/** What a port's client may leave unread before the guest has to wait, and until when. */
const PORT_BYTES = 1 << 20;
const PORT_RESUME_BYTES = PORT_BYTES / 4;
/** How long the end waits for a client that does not read, ms. */
const DRAIN_MS = 2000;

/** The other end of a socket: what it is sent goes out whole and in order, at its own pace. */
class Client {
  readonly #connection: Deno.UnixConn;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #isClosed = false;
  #writing: Promise<void> | undefined;
  readonly #port: GuestPort | undefined;

  /** @param port What is to wait for the client; else the client is cut off. */
  constructor(connection: Deno.UnixConn, port: GuestPort | undefined) {
    this.#connection = connection;
    this.#port = port;
  }

  send(bytes: Uint8Array): void {
    if (this.#isClosed) return;
    const queued = this.#queuedBytes + bytes.length;
    if (this.#port === undefined && queued > CLIENT_BYTES) return this.close();
    this.#queue.push(bytes);
    this.#queuedBytes = queued;
    if (queued > PORT_BYTES) this.#port?.hold(true);
    this.#writing ??= this.#write();
  }

  /** Waits until the client has got everything, or does not read. */
  async drained(): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const patience = new Promise((resolve) => timer = setTimeout(resolve, DRAIN_MS));
    await Promise.race([this.#writing, patience]);
    clearTimeout(timer);
  }

  close(): void {
    this.#isClosed = true;
    this.#queue = [];
    this.#port?.hold(false);
    try {
      this.#connection.close();
    } catch {
      // Closed already.
    }
  }

  async #write(): Promise<void> {
    try {
      for (let bytes = this.#queue.shift(); bytes !== undefined; bytes = this.#queue.shift()) {
        for (let done = 0; done < bytes.length;) {
          done += await this.#connection.write(bytes.subarray(done));
        }
        this.#queuedBytes -= bytes.length;
        if (this.#queuedBytes < PORT_RESUME_BYTES) this.#port?.hold(false);
      }
      this.#writing = undefined;
    } catch {
      // The client has gone: nothing more is written to it.
      this.close();
    }
  }
}

function listen(path: string): Deno.UnixListener {
  const attempt = () => Deno.listen({ transport: "unix", path });
  try {
    return attempt();
  } catch (cause) {
    if (cause instanceof Deno.errors.AddrInUse && removeDeadSocket(path)) return attempt();
    const why = cause instanceof Deno.errors.AddrInUse
      ? "something is there already"
      : endProblem(cause);
    throw new HostError(`Cannot listen on the socket ${path}: ${why}`, { cause });
  }
}

/** Removes a socket that nobody listens on, as a killed program leaves it; false: somebody may. */
function removeDeadSocket(path: string): boolean {
  try {
    if (!Deno.lstatSync(path).isSocket) return false;
    const listening = Deno.readTextFileSync("/proc/net/unix").split("\n")
      .some((line) => line.endsWith(` ${path}`));
    if (listening) return false;
    Deno.removeSync(path);
    return true;
  } catch {
    return false; // it may not be removed, or /proc not be read: Deno asks for all permissions there
  }
}
