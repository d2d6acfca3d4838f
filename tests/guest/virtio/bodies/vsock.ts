/** What a Linux guest is taken through on a vsock, by a small program in it, to programs of the host. */

import assert from "node:assert/strict";
import { PATIENCE_MS } from "../../../support/guest/guests.ts";
import type { LinuxGuest } from "../../../support/guest/linux_guest.ts";
import { assertSameBytes } from "../../../support/same_bytes.ts";

const SOURCE = new URL("../vsock_program.c", import.meta.url).pathname;

/** Is there a compiler for the guest's program? */
export function compilerProblem(): string | undefined {
  try {
    const { success } = new Deno.Command("gcc", { args: ["--version"], stdout: "null" })
      .outputSync();
    return success ? undefined : "gcc does not run";
  } catch {
    return "gcc is not installed";
  }
}

async function readAll(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  return new Uint8Array(
    await new Response(stream as ReadableStream<Uint8Array<ArrayBuffer>>)
      .arrayBuffer(),
  );
}

async function readLine(connection: Deno.Conn): Promise<string> {
  const byte = new Uint8Array(1);
  let line = "";
  while (await connection.read(byte) === 1 && byte[0] !== 10) line += String.fromCharCode(byte[0]);
  return line;
}

async function writeAll(connection: Deno.Conn, data: Uint8Array): Promise<void> {
  for (let at = 0; at < data.length;) at += await connection.write(data.subarray(at));
}

async function md5(data: Uint8Array): Promise<string> {
  const child = new Deno.Command("md5sum", { stdin: "piped", stdout: "piped" }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(data);
  await writer.close();
  return new TextDecoder().decode((await child.output()).stdout).slice(0, 32);
}

/**
 * Runs `body` in a folder that is gone afterwards, with the guest's program compiled, where there is a
 * compiler.
 */
export async function withProgram(
  body: (folder: string, program: string | undefined) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "hv-test-vsock-" });
  try {
    if (compilerProblem() !== undefined) return await body(folder, undefined);
    const program = `${folder}/vsock`;
    const gcc = await new Deno.Command("gcc", { args: ["-static", "-O2", "-o", program, SOURCE] })
      .output();
    assert.ok(gcc.success, new TextDecoder().decode(gcc.stderr));
    await body(folder, program);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Guest and host connect to each other by the socket `path`, send much, half-close, and refuse. */
export async function connects(guest: LinuxGuest, path: string, program: string): Promise<void> {
  await guest.run(`ln -s ${program} /bin/vsock`);
  // A program that says nothing keeps nobody waiting.
  using _silent = await Deno.connect({ transport: "unix", path });
  // To the host: it answers only when the guest has said that it sends no more.
  using listener = Deno.listen({ transport: "unix", path: `${path}_1024` });
  const served = (async () => {
    using connection = await listener.accept();
    const data = await readAll(connection.readable);
    return data;
  })();
  await guest.run("head -c 700000 /dev/urandom > /data");
  const sum = (await guest.run("md5sum /data")).slice(0, 32);
  await guest.run("vsock connect 1024 < /data");
  assert.equal(await md5(await served), sum);

  const echo = (async () => {
    const connection = await listener.accept();
    await connection.readable.pipeTo(connection.writable);
  })();
  assert.equal((await guest.run("vsock connect 1024 < /data | md5sum")).slice(0, 32), sum);
  await echo;

  // To the guest, both directions at once.
  await guest.run(
    "vsock listen 99 < /data > /got 2> /log & until grep -q ing /log; do :; done",
  );
  using connection = await Deno.connect({ transport: "unix", path });
  await writeAll(connection, new TextEncoder().encode("CONNECT 99\n"));
  assert.match(await readLine(connection), /^OK \d+$/);
  const data = crypto.getRandomValues(new Uint8Array(60_000));
  const large = new Uint8Array(600_000).map((_, i) => data[i % data.length] ^ (i >> 16));
  const received = readAll(connection.readable);
  await writeAll(connection, large);
  await connection.closeWrite();
  assert.equal(await md5(await received), sum);
  assert.equal((await guest.run("wait; md5sum /got")).slice(0, 32), await md5(large));

  // Nobody there.
  assert.match(await guest.run("vsock connect 7 2>&1 || true"), /connect: Connection reset/);
  using refused = await Deno.connect({ transport: "unix", path });
  await writeAll(refused, new TextEncoder().encode("CONNECT 12345\n"));
  assertSameBytes(await readAll(refused.readable), new Uint8Array(0));
  await guest.run("rm /data /got");
}

/** An entropy device and a vsock that are attached are used and let go; the socket is in `directory`. */
export async function comeAndGo(
  guest: LinuxGuest,
  directory: string,
  program: string,
): Promise<void> {
  await guest.run(`ln -s ${program} /bin/vsock`);
  const m = guest.machine;
  const rng = await m.attach({ rng: true });
  const current = "/sys/devices/virtual/misc/hw_random/rng_available";
  await guest.run(`until grep -q virtio_rng ${current}; do sleep 0.1; done`);
  await guest.run("echo virtio_rng.0 > /sys/devices/virtual/misc/hw_random/rng_current");
  assert.equal(
    await guest.run("dd if=/dev/hwrng bs=512 count=4 2>/dev/null | wc -c"),
    "2048",
  );
  await m.detach(rng, { timeoutMs: PATIENCE_MS });

  const path = `${directory}/v`;
  const vsock = await m.attach({ vsock: { path, cid: 42 } });
  using listener = Deno.listen({ transport: "unix", path: `${path}_1024` });
  const echo = (async () => {
    const connection = await listener.accept();
    await connection.readable.pipeTo(connection.writable);
  })();
  await guest.run(
    "until [ -e /sys/bus/pci/devices/0000:00:18.0/driver ]; do sleep 0.1; done",
  );
  assert.equal(await guest.run("echo from the guest | vsock connect 1024"), "from the guest");
  await echo;
  await m.detach(vsock, { timeoutMs: PATIENCE_MS });
  assert.throws(() => Deno.lstatSync(path), Deno.errors.NotFound);
}
