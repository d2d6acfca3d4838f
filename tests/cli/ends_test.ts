/** Where the guest's serial ports go: pipes, files, sockets; closed, full and slow ones. */

import assert from "node:assert/strict";
import { hv, hvCommand, outcome, Scratch, startHv, until } from "../support/hv_process.ts";
import { offset } from "../../bios/assembler/assembler.ts";
import { type Payload, rom } from "../support/payload.ts";
import { slowTest } from "../support/quick.ts";

const COM1 = 0x3f8;
const COM2 = 0x2f8;

/** Sends `text` to a serial port. */
function print(p: Payload, port: number, text: string): void {
  p.mov("dx", port);
  for (const char of text) {
    p.mov("al", char.charCodeAt(0));
    p.out("dx", "al");
  }
}

/** Sends what comes to COM1 back until a full stop comes, then ends with 1. */
const echo = () =>
  rom((p) => {
    p.realMode();
    print(p, COM1, "ready:");
    p.forever(() => {
      p.mov("dx", COM1 + 5);
      p.until("nz", () => {
        p.in("al", "dx");
        p.test("al", 1);
      });
      p.mov("dx", COM1);
      p.in("al", "dx");
      p.out("dx", "al");
      p.alu("cmp", "al", ".".charCodeAt(0));
      p.jcc("z", "end");
    });
    p.label("end");
    p.exit(0);
  });

const run = (image: string, ...args: string[]) => [
  ...["run", "--memory", "1M", "--display", "none", "--bios", image, "--timeout", "280"],
  ...args,
];

Deno.test("a pipe's bytes go to the guest, which reads at its own pace, and back", async () => {
  using image = echo();
  const stdin = `${"0123456789".repeat(300)}.`;
  const { code, stdout } = await hv(run(image.path), { stdin });
  assert.equal(code, 1);
  assert.equal(stdout, `ready:${stdin}`);
});

Deno.test("commands piped into the ROM monitor are carried out, whatever ends their lines", async () => {
  for (const end of ["\n", "\r\n", "\r"]) {
    const { code, stdout } = await hv(["run", "--memory", "2M", "--timeout", "280"], {
      stdin: `mem${end}off${end}`,
    });
    assert.equal(code, 0, stdout);
    assert.match(stdout, /\n> mem\r?\n[^>]+\n> off/);
  }
});

const NOTHING = /^hv: nothing can be booted, and nobody is there to say what else: (.*)\n$/m;

/** A disk whose boot sector is `code`, or that has none. */
function disk(scratch: Scratch, name: string, code?: readonly number[]): string {
  const path = scratch.file(name, 1 << 20, Uint8Array.from(code ?? []));
  if (code === undefined) return path;
  using file = Deno.openSync(path, { write: true });
  file.seekSync(510, Deno.SeekMode.Start);
  file.writeSync(Uint8Array.of(0x55, 0xaa));
  return path;
}

Deno.test("nothing to boot and nobody to type: code 6, what was tried, and why not", async () => {
  using scratch = new Scratch();
  const blank = disk(scratch, "blank.img");
  const floppy = scratch.file("floppy.img", 1440 * 1024);
  const int18 = disk(scratch, "int18.img", [0xcd, 0x18]);
  const unsigned = "its first sector has no boot signature (55h AAh)";
  const cases: [args: string[], reason: string][] = [
    [[blank], `No bootable medium in disk 0: ${unsigned}`],
    [
      ["--disk", blank, "--floppy", floppy],
      `No bootable medium in floppy A: ${unsigned}; No bootable medium in disk 0: ${unsigned}`,
    ],
    [[], "There is no drive to boot from"],
    [[int18], "What was booted from disk 0 gave up (INT 18h)"],
    [["--display", "text"], "There is no drive to boot from"],
    [["--serial", `file:${scratch.path}/log`], "There is no drive to boot from"],
    [["--console", "virtio"], "There is no drive to boot from"],
  ];
  for (const [args, reason] of cases) {
    const { code, stderr } = await hv(["run", "--memory", "2M", "--timeout", "280", ...args]);
    assert.equal(code, 6, stderr);
    assert.equal(NOTHING.exec(stderr)?.[1], reason, stderr);
  }
});

Deno.test("what is piped into the ROM monitor is carried out before nobody is there", async () => {
  for (const script of ["mem\n", "mem"]) {
    const { code, stdout, stderr } = await hv(["run", "--memory", "2M", "--timeout", "280"], {
      stdin: script,
    });
    assert.equal(code, 6, stderr);
    assert.match(stderr, NOTHING);
    assert.match(stdout, script === "mem" ? /> mem$/ : /> mem\r?\n +0000000000-/);
  }
});

Deno.test("what is piped in with --display text is typed once there is a keyboard, all of it", async () => {
  const args = ["run", "--memory", "2M", "--timeout", "280", "--display", "text"];
  const { code, stdout, stderr } = await hv(args, { stdin: "time\noff\n" });
  assert.equal(code, 0, stderr);
  assert.match(stdout, /> time\n +\d{4}-[^]*> off\n/);
});

Deno.test("a pipe that is open, and a socket, are somebody: the ROM monitor waits for them", async () => {
  using scratch = new Scratch();
  const args = ["run", "--memory", "2M"];
  const piped = startHv([...args, "--timeout", "280"], { stdin: "" });
  await until(piped.stdout, "ROM monitor");
  const ended = piped.status.then(() => true);
  const wait = (ms: number) => new Promise<false>((done) => setTimeout(() => done(false), ms));
  assert.ok(!await Promise.race([ended, wait(1500)]), "has not waited");
  const writer = piped.stdin.getWriter();
  await writer.write(new TextEncoder().encode("boot\n"));
  await until(piped.stdout, "ROM monitor");
  await writer.close();
  assert.equal((await outcome(piped)).code, 6);

  const socket = `unix:${scratch.path}/socket`;
  const { code, stderr } = await hv([...args, "--serial", socket, "--timeout", "3"]);
  assert.equal(code, 124, stderr);
});

Deno.test("each serial port goes where it is told to, from its first byte on", async () => {
  using image = rom((p) => {
    p.realMode();
    print(p, COM1, "one");
    print(p, COM2, "two");
    print(p, 0xe9, "three");
    p.exit(3);
  });
  using scratch = new Scratch();
  const two = scratch.file("two", 100, "what was there before");
  const three = `${scratch.path}/three`;
  const { code, stdout } = await hv(
    run(image.path, "--serial", "stdio", "--serial", `file:${two}`, "--debugcon", `file:${three}`),
  );
  assert.equal(code, 7);
  assert.equal(stdout, "one");
  assert.equal(Deno.readTextFileSync(two), "two");
  assert.equal(Deno.readTextFileSync(three), "three");
});

Deno.test(
  "a socket serves one client after the other, both ways, and goes with the machine",
  async () => {
    using image = echo();
    using scratch = new Scratch();
    const path = `${scratch.path}/socket`;
    const process = startHv(run(image.path, "--serial", `unix:${path}`));
    const connect = async () => {
      for (;;) {
        try {
          return await Deno.connect({ transport: "unix", path });
        } catch {
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      }
    };
    for (const text of ["first", "second."]) {
      using client = await connect();
      await client.write(new TextEncoder().encode(text));
      let got = "";
      const buffer = new Uint8Array(100);
      while (!got.endsWith(text)) {
        const length = await client.read(buffer);
        assert.ok(length !== null, `the connection ended after "${got}"`);
        got += new TextDecoder().decode(buffer.subarray(0, length));
      }
    }
    assert.equal((await outcome(process)).code, 1);
    assert.throws(() => Deno.lstatSync(path), Deno.errors.NotFound);
  },
);

Deno.test("a socket that somebody listens on is not taken over", async () => {
  using image = echo();
  using scratch = new Scratch();
  const path = `${scratch.path}/socket`;
  using _listener = Deno.listen({ transport: "unix", path });
  const { code, stderr } = await hv(run(image.path, "--serial", `unix:${path}`));
  assert.equal(code, 4);
  assert.match(stderr, /something is there already/);
  assert.ok(Deno.lstatSync(path).isSocket);
});

const makeFifo = async (path: string) => {
  assert.ok((await new Deno.Command("mkfifo", { args: [path] }).output()).success);
};

Deno.test("a FIFO that nobody reads is waited for in a word, and a signal ends the wait", async () => {
  using image = rom((p) => p.exit(0));
  using scratch = new Scratch();
  const fifo = `${scratch.path}/fifo`;
  await makeFifo(fifo);
  for (const option of [`--serial=file:${fifo}`, `--port=agent=file:${fifo}`]) {
    const process = startHv(run(image.path, option));
    await until(process.stderr, `hv: waiting for somebody to read ${fifo}, a FIFO\n`);
    process.kill("SIGINT");
    assert.equal((await process.status).code, 130);
    await process.stderr.cancel();
    await process.stdout.cancel();
  }
  const { code, stderr } = await hv([
    ...["run", "--memory=1M", `--bios=${image.path}`, `--serial=file:${fifo}`, "--timeout=0.1"],
  ]);
  assert.equal(code, 124);
  assert.match(stderr, /time limit of 0\.1 s/);
});

slowTest("a FIFO's reader gets every byte", async () => {
  using image = chatty(LINES);
  using scratch = new Scratch();
  const fifo = `${scratch.path}/fifo`;
  await makeFifo(fifo);
  const process = startHv(run(image.path, "--serial", `file:${fifo}`));
  const reader = await Deno.open(fifo);
  let bytes = 0;
  for await (const chunk of reader.readable) bytes += chunk.length;
  assert.equal(bytes, LINES * 64);
  assert.equal((await outcome(process)).code, 1);
});

Deno.test("a FIFO whose reader has gone does not end the guest", async () => {
  using image = chatty(LINES);
  using scratch = new Scratch();
  const fifo = `${scratch.path}/fifo`;
  await makeFifo(fifo);
  const process = startHv(run(image.path, "--serial", `file:${fifo}`));
  const reader = await Deno.open(fifo);
  await reader.read(new Uint8Array(100));
  reader.close();
  const { code, stderr } = await outcome(process);
  assert.equal(code, 1);
  assert.match(stderr, /writing [^ ]+fifo has failed: Broken pipe\n/);
});

const shell = async (script: string) => {
  const { code, stdout, stderr } = await new Deno.Command("sh", { args: ["-c", script] }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
};
const quoted = (words: readonly string[]) => words.map((word) => `'${word}'`).join(" ");

slowTest(
  "outputs that are closed, full or gone do not end the guest, and give no trace",
  async () => {
    using image = rom((p) => {
      p.realMode();
      for (let i = 0; i < 20; i++) print(p, COM1, "line\n");
      p.exit(0x10);
    });
    const command = quoted(hvCommand(run(image.path)));
    const cases: [redirection: string, stderr: RegExp][] = [
      [">&-", /^hv: 1 processor[^\n]*\n$/],
      [
        ">/dev/full",
        /^hv: 1 processor[^\n]*\nhv: writing to the standard output has failed: No space left on device\n$/,
      ],
      [">&- 2>&- <&-", /^$/],
      [">/dev/full 2>/dev/full", /^$/],
      [
        "--serial file:/dev/full",
        /^hv: 1 processor[^\n]*\nhv: writing \/dev\/full has failed: No space left on device\n$/,
      ],
    ];
    for (const [redirection, expected] of cases) {
      const { code, stderr } = await shell(`${command} ${redirection}`);
      assert.equal(code, 0x21, redirection);
      assert.match(stderr, expected, redirection);
    }
    const { stdout } = await shell(`{ ${command}; echo "code $?" >&2; } 2>&1 >/dev/null | cat`);
    assert.match(stdout, /code 33/);
    const gone = await shell(`{ ${command}; echo "code $?" >&2; } | true`);
    assert.match(gone.stderr, /^hv: 1 processor[^\n]*\ncode 33\n$/);
  },
);

/** More than a pipe and hv hold together: 256 KB. */
const LINES = 4000;

/** Sends `count` lines of 64 characters to COM1, and ends with 0, or goes on with `then`. */
const chatty = (count: number, then = (p: Payload) => p.exit(0)) =>
  rom((p) => {
    p.realMode();
    p.mov("ax", "cs");
    p.mov("ds", "ax");
    p.mov("dx", COM1);
    p.times(count, () => {
      p.push("cx");
      p.mov("si", offset("line"));
      p.mov("cx", 64);
      p.db(0xf3, 0x6e); // rep outsb
      p.pop("cx");
    });
    then(p);
    p.label("line");
    p.db(`${".".repeat(63)}\n`);
  });

/**
 * Reads what comes first, how many bytes of which it gives, and then waits until hv does nothing more: the
 * pipe is full, and what hv keeps back. On a busy host it may only seem so; what a test asserts is true
 * before, too.
 */
async function standsStill(process: Deno.ChildProcess): Promise<number> {
  const reader = process.stdout.getReader();
  const { value } = await reader.read();
  reader.releaseLock();
  const usedTime = () => {
    const words = Deno.readTextFileSync(`/proc/${process.pid}/stat`).split(" ");
    return Number(words[13]) + Number(words[14]); // utime and stime, proc(5)
  };
  for (let used = -1, looks = 0; looks < 20; looks++) {
    if (usedTime() !== used) [used, looks] = [usedTime(), 0];
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return value!.length;
}

slowTest(
  "a reader that stops reading holds the guest, gets every byte later, and no signal waits for it",
  async () => {
    using image = chatty(LINES);
    const held = startHv(run(image.path));
    let bytes = await standsStill(held);
    for await (const chunk of held.stdout) bytes += chunk.length;
    assert.equal(bytes, LINES * 64);
    assert.equal((await held.status).code, 1);
    await held.stderr.cancel();

    const stuck = startHv(run(image.path));
    await standsStill(stuck);
    stuck.kill("SIGTERM");
    const { code } = await stuck.status;
    assert.equal(code, 130);
    await stuck.stdout.cancel();
    await stuck.stderr.cancel();
  },
);

slowTest(
  "what the guest has sent before its time is up is written, to a late reader, too",
  async () => {
    // More than a pipe holds, less than what the guest is held for.
    const lines = 1500;
    using image = chatty(lines, (p) => {
      print(p, COM2, "sent");
      p.forever(() => p.hlt());
    });
    using scratch = new Scratch();
    const sent = `${scratch.path}/sent`;
    const args = ["run", "--memory", "1M", "--display", "none", "--bios", image.path];
    // A host on which the guest has not come so far gets more time.
    for (let seconds = 4;; seconds *= 2) {
      const process = startHv([
        ...[...args, "--timeout", `${seconds}`, "--serial", "stdio", "--serial", `file:${sent}`],
      ]);
      await until(process.stderr, "time limit");
      const hasSent = Deno.readTextFileSync(sent) === "sent";
      let bytes = 0;
      for await (const chunk of process.stdout) bytes += chunk.length;
      assert.equal((await process.status).code, 124);
      await process.stderr.cancel();
      if (hasSent) {
        assert.equal(bytes, lines * 64);
        return;
      }
      assert.ok(seconds < 200, "the guest does not come to its end");
    }
  },
);

Deno.test("with --display text in a pipe, the last screen is printed as text at the end", async () => {
  using scratch = new Scratch();
  // INT 10h prints "!", isa-debug-exit ends with 1.
  const sector = Uint8Array.of(0xb4, 0x0e, 0xb0, 0x21, 0xcd, 0x10, 0xb0, 0x00, 0xe6, 0xf4);
  const disk = scratch.file("boot.img", 512, sector);
  const file = Deno.openSync(disk, { write: true });
  file.seekSync(510, Deno.SeekMode.Start);
  file.writeSync(Uint8Array.of(0x55, 0xaa));
  file.close();
  const args = ["run", "--display", "text", "--memory", "4M", "--disk", `${disk},readonly`];
  const { code, stdout, stderr } = await hv(args);
  assert.equal(code, 1, stderr);
  assert.match(stdout, /^hv \d+\.\d+\.\d+, (KVM|software CPU), 1 processor, 4 MiB\n[^]*!\n$/);
});
