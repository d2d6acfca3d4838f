import assert from "node:assert/strict";
import { addressOf } from "../../hv/sys/address.ts";
import { SysError } from "../../hv/sys/errors.ts";
import { FileHandle } from "../../hv/sys/file/file.ts";
import { mapFileOver } from "../../hv/sys/memory_map.ts";

/** Runs `body` with the path of an image of `size` bytes that is removed afterwards. */
function withImage(size: number, body: (path: string) => void): void {
  const path = Deno.makeTempFileSync({ suffix: ".img" });
  try {
    Deno.truncateSync(path, size);
    body(path);
  } finally {
    Deno.removeSync(path);
  }
}

/** Exit code and standard error of QEMU's I/O tool, or undefined where it is not installed. */
function qemuIo(...args: string[]): { code: number; text: string } | undefined {
  try {
    const { code, stderr, stdout } = new Deno.Command("qemu-io", { args }).outputSync();
    const decoder = new TextDecoder();
    return { code, text: decoder.decode(stderr) + decoder.decode(stdout) };
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    console.log("skipped: qemu-io is not installed");
    return undefined;
  }
}

Deno.test("what is written at a position is read there, into shared memory, past 4 GiB", () => {
  withImage(0, (path) => {
    using file = FileHandle.open(path, { write: true });
    const position = 5 * 2 ** 32 + 3;
    file.write(new Uint8Array([1, 2, 3, 4]), position);
    file.sync();
    assert.equal(file.size, position + 4);
    const into = new Uint8Array(new SharedArrayBuffer(6));
    assert.equal(file.read(into, position - 1), 5);
    assert.deepEqual([...into], [0, 1, 2, 3, 4, 0]);
    assert.equal(file.read(into, position + 4), 0);
  });
});

Deno.test("a file is cut, extended and holed, and holes read as zeros", () => {
  withImage(0, (path) => {
    using file = FileHandle.open(path, { write: true });
    file.write(new Uint8Array(8192).fill(0xaa), 0);
    const data = new Uint8Array(4096);
    if (file.punchHole(4096, 4096)) {
      file.read(data, 4096);
      assert.deepEqual(data, new Uint8Array(4096));
      file.read(data, 0);
      assert.deepEqual(data, new Uint8Array(4096).fill(0xaa));
    }
    file.resize(100);
    assert.equal(file.size, 100);
  });
});

Deno.test("directories and files are told apart", () => {
  using directory = FileHandle.open("/tmp");
  assert.equal(directory.kind, "directory");
  withImage(512, (path) => {
    using file = FileHandle.open(path);
    assert.equal(file.kind, "file");
    assert.equal(file.writable, false);
    assert.throws(() => file.write(new Uint8Array(1), 0), (error: unknown) => {
      assert.ok(error instanceof SysError);
      assert.equal(error.message, `Cannot write to ${path} at byte 0: bad file descriptor (EBADF)`);
      return true;
    });
  });
});

Deno.test("a new file is made only when asked for, and exclusively when asked for", () => {
  const directory = Deno.makeTempDirSync();
  try {
    const path = `${directory}/new.img`;
    assert.throws(() => FileHandle.open(path, { write: true }), /ENOENT/);
    FileHandle.open(path, { write: true, create: true })[Symbol.dispose]();
    assert.throws(
      () => FileHandle.open(path, { write: true, create: true, exclusive: true }),
      /EEXIST/,
    );
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});

Deno.test("an image has one writer or many readers", () => {
  withImage(512, (path) => {
    using reader = FileHandle.open(path);
    using another = FileHandle.open(path);
    reader.lock();
    another.lock();
    const writer = FileHandle.open(path, { write: true });
    assert.throws(() => writer.lock(), /Cannot lock .*\.img: another process has it in use/);
    reader[Symbol.dispose]();
    another[Symbol.dispose]();
    writer.lock();
    using late = FileHandle.open(path);
    assert.throws(() => late.lock(), /another machine writes to it/);
    using second = FileHandle.open(path, { write: true });
    assert.throws(() => second.lock(), /in use/);
    writer[Symbol.dispose]();
    second.lock();
  });
});

Deno.test("QEMU may not write to an image that is in use, and may read one that is only read", () => {
  withImage(65536, (path) => {
    if (qemuIo("--version") === undefined) return;
    const read = ["-f", "raw", "-r", "-c", "read 0 512", path];
    const write = ["-f", "raw", "-c", "write 0 512", path];
    {
      using writer = FileHandle.open(path, { write: true });
      writer.lock();
      const result = qemuIo(...write)!;
      assert.notEqual(result.code, 0);
      assert.match(result.text, /lock/);
    }
    using reader = FileHandle.open(path);
    reader.lock();
    assert.equal(qemuIo(...read)!.code, 0);
    assert.notEqual(qemuIo(...write)!.code, 0);
  });
});

Deno.test("an image that QEMU writes to is refused", async () => {
  const path = Deno.makeTempFileSync({ suffix: ".img" });
  try {
    Deno.truncateSync(path, 65536);
    if (qemuIo("--version") === undefined) return;
    const command = new Deno.Command("qemu-io", {
      args: ["-f", "raw", path],
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    });
    const qemu = command.spawn();
    const output = qemu.stdout.getReader();
    const input = qemu.stdin.getWriter();
    // Its answer to a command shows that it has the image open.
    await input.write(new TextEncoder().encode("length\n"));
    let text = "";
    while (!text.includes("64 KiB")) {
      const { value, done } = await output.read();
      if (done) break;
      text += new TextDecoder().decode(value);
    }
    using writer = FileHandle.open(path, { write: true });
    using reader = FileHandle.open(path);
    assert.throws(() => writer.lock(), /in use/);
    assert.throws(() => reader.lock(), /in use/);
    await input.close();
    await qemu.status;
    await output.cancel();
    writer.lock();
  } finally {
    Deno.removeSync(path);
  }
});

Deno.test("a file laid over WebAssembly memory is read as it is touched and never written to", () => {
  withImage(0, (path) => {
    using file = FileHandle.open(path, { write: true });
    file.write(new Uint8Array(8192).fill(5), 0);
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    const bytes = new Uint8Array(memory.buffer);
    mapFileOver(bytes.subarray(4096, 8192), file.fd, 4096);
    assert.deepEqual([bytes[4095], bytes[4096], bytes[8191], bytes[8192]], [0, 5, 5, 0]);
    bytes[4096] = 6;
    const back = new Uint8Array(1);
    file.read(back, 4096);
    assert.equal(back[0], 5);
    assert.throws(() => mapFileOver(bytes.subarray(1, 4097), file.fd, 0), RangeError);
    assert.equal(addressOf(bytes) % 4096, 0);
  });
});

Deno.test("a write beyond the limit of file sizes is an error, and does not end the process", () => {
  const path = Deno.makeTempFileSync();
  try {
    const script = new URL("./file_size_limit.ts", import.meta.url).pathname;
    const { code, stdout } = new Deno.Command("sh", {
      args: [
        "-c",
        'ulimit -f 2097152 && exec "$@"',
        "sh",
        Deno.execPath(),
        "run",
        "-A",
        "--no-check",
      ]
        .concat(script, path),
    }).outputSync();
    assert.equal(code, 0);
    assert.match(
      new TextDecoder().decode(stdout),
      /^Cannot write to .*: file too large \(EFBIG\)$/m,
    );
  } finally {
    Deno.removeSync(path);
  }
});
