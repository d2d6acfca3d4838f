import assert from "node:assert/strict";
import { UnixVsock } from "../../../devices/vsock/unix_vsock.ts";
import type { VsockStream } from "../../../hv/core/net/vsock.ts";
import { SOCK_STREAM, Socket } from "../../../hv/sys/net/socket.ts";
import { AF_UNIX } from "../../../hv/sys/net/socket_address.ts";
import { DescriptorSet } from "../../../hv/sys/wait/descriptor_set.ts";
import { UnixListener } from "../../../hv/io/unix_listener.ts";

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** A guest's vsock at a path of its own, with a guest that accepts on ports below 1000. */
function withVsock(
  body: (parts: {
    path: string;
    vsock: UnixVsock;
    guests: { port: number; stream: VsockStream }[];
    client: (line?: string) => Socket;
    turn: () => void;
    read: (socket: Socket) => string;
  }) => void,
): void {
  const directory = Deno.makeTempDirSync({ prefix: "hv-vsock-test-" });
  try {
    const path = `${directory}/v`;
    using listener = new UnixListener(path, "the vsock", 128);
    using descriptors = new DescriptorSet();
    const guests: { port: number; stream: VsockStream }[] = [];
    using clients = new DisposableStack();
    const connect = (port: number, stream: VsockStream) => {
      if (port < 1000) guests.push({ port, stream });
      return port < 1000;
    };
    using vsock = new UnixVsock({ path, fd: listener.fd }, descriptors, {
      openConnection: connect,
    });
    const client = (line = "") => {
      const socket = clients.use(Socket.open(AF_UNIX, SOCK_STREAM));
      assert.equal(socket.connect({ path }), 0);
      socket.send(new TextEncoder().encode(line));
      return socket;
    };
    // What is ready is handled, without waiting.
    const turn = () => {
      for (let i = 0; i < 300; i++) descriptors.wait(0);
    };
    const read = (socket: Socket) => {
      const bytes = new Uint8Array(100);
      const count = socket.receive(bytes);
      return count < 0 ? "nothing" : count === 0 ? "end" : text(bytes.subarray(0, count));
    };
    body({ path, vsock, guests, client, turn, read });
    for (const { stream } of guests) stream.close();
    assert.ok(descriptors.size <= 64 + 1);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

Deno.test("CONNECT PORT is connected, told OK with the port of its end, and what follows is data", () => {
  withVsock(({ guests, client, turn, read }) => {
    const socket = client("CONNECT 52\nhello");
    turn();
    assert.equal(guests[0].port, 52);
    assert.equal(read(socket), "nothing");
    const { stream } = guests[0];
    stream.accepted?.(1073741824);
    assert.equal(read(socket), "OK 1073741824\n");
    assert.equal(stream.look(), "data");
    const into = new Uint8Array(10);
    assert.equal(text(into.subarray(0, stream.read(into))), "hello");
    assert.equal(stream.look(), "none");
    assert.equal(stream.write(new TextEncoder().encode("world")), 5);
    assert.equal(read(socket), "world");
    stream.close();
    assert.equal(read(socket), "end");
  });
});

Deno.test("a line that comes in pieces is one line", () => {
  withVsock(({ guests, client, turn }) => {
    const socket = client("CONN");
    turn();
    socket.send(new TextEncoder().encode("ECT 7"));
    turn();
    assert.equal(guests.length, 0);
    socket.send(new TextEncoder().encode("\n"));
    turn();
    assert.equal(guests[0].port, 7);
  });
});

Deno.test("nonsense, a refusal, and a line without an end are closed", () => {
  withVsock(({ guests, client, turn, read }) => {
    const wrong = [
      "GET / HTTP/1.1\n",
      "connect 5\n",
      "CONNECT\n",
      "CONNECT -1\n",
      "CONNECT 4294967296\n",
      "CONNECT 5 \n",
      "CONNECT 1000\n",
      "CONNECT 00000000000005\n",
      "C".repeat(50),
      "\n",
    ];
    for (const line of wrong) {
      const socket = client(line);
      turn();
      assert.ok(["end", "nothing"].includes(read(socket)), line);
      assert.notEqual(socket.send(new Uint8Array(1)), 1, `${JSON.stringify(line)} is closed`);
    }
    assert.equal(guests.length, 0);
  });
});

Deno.test("readiness is told for what is awaited only; half-close and the end are seen", () => {
  withVsock(({ guests, client, turn }) => {
    const socket = client("CONNECT 1\n");
    turn();
    const { stream } = guests[0];
    let woken = 0;
    stream.onReady = () => {
      woken++;
      stream.await({ readable: false, writable: false });
    };
    socket.send(Uint8Array.of(1));
    turn();
    assert.equal(woken, 0);
    stream.await({ readable: true, writable: false });
    turn();
    assert.equal(woken, 1);
    stream.read(new Uint8Array(1));
    socket.endSending();
    assert.equal(stream.look(), "end");
    assert.equal(stream.isBroken, false, "it still reads");
    stream.endWriting();
    socket[Symbol.dispose]();
    assert.equal(stream.isBroken, true);
    assert.equal(stream.write(Uint8Array.of(1)), -1);
  });
});

Deno.test("the guest's port P of the host is whoever listens on PATH_P, and nobody otherwise", () => {
  withVsock(({ path, vsock }) => {
    assert.equal(vsock.connect(1024), undefined);
    using listener = new UnixListener(`${path}_1024`, "the service", 1);
    const stream = vsock.connect(1024)!;
    using accepted = new Socket(listener.fd).accept()!.socket;
    assert.equal(stream.write(Uint8Array.of(65)), 1);
    const byte = new Uint8Array(1);
    assert.equal(accepted.receive(byte), 1);
    stream.close();
    assert.equal(accepted.receive(byte), 0);
    // A path that no socket can have.
    using long = new DescriptorSet();
    const far = new UnixVsock({ path: "x".repeat(104), fd: listener.fd }, long, {
      openConnection: () => false,
    });
    assert.equal(far.connect(1024), undefined);
    far[Symbol.dispose]();
  });
});

Deno.test("programs that say nothing are few: the next wait in the kernel, and come when one goes", () => {
  withVsock(({ guests, client, turn, read }) => {
    const silent = Array.from({ length: 64 }, () => client());
    turn();
    const late = client("CONNECT 3\n");
    turn();
    assert.equal(guests.length, 0);
    silent[5][Symbol.dispose]();
    turn();
    assert.equal(guests[0].port, 3);
    assert.equal(read(late), "nothing");
  });
});
