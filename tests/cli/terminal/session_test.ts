/** A whole session on a terminal: FreeDOS in text mode, typed at, and the terminal as it was afterwards. */

import assert from "node:assert/strict";
import { dword } from "../../../bios/assembler/assembler.ts";
import { hvCommand, Scratch } from "../../support/hv_process.ts";
import { rom } from "../../support/payload.ts";
import { sharedImage } from "../../support/guest/guests.ts";

const ROOT = new URL("../../../", import.meta.url);
const CTRL_A = "\x01";

/**
 * Something to type once text has come: what has been waited for, without white space, and then what is
 * typed. A screen may be drawn at any moment, in the middle of a word: the rest of it comes behind the
 * rest of the screen, which is blank.
 */
type Turn = readonly [waitFor: RegExp, type: string];

const quoted = (words: readonly string[]) => words.map((word) => `'${word}'`).join(" ");

/** What a session may have otherwise than usual. */
interface SessionOptions {
  /** For stty; default: 25 rows of 80 columns. */
  readonly size?: string;
  /** The words of the command that is run; default: those of hv. */
  readonly command?: readonly string[];
  /** The standard error is on the terminal, too. */
  readonly showsErrors?: boolean;
}

/** Runs hv on a terminal of its own; gives what it showed, its exit code, and the terminal's settings. */
async function session(
  args: readonly string[],
  turns: readonly Turn[],
  { size = "rows 25 cols 80", command = hvCommand(args), showsErrors = false }: SessionOptions = {},
) {
  using scratch = new Scratch();
  const at = (name: string) => `${scratch.path}/${name}`;
  const errors = showsErrors ? "" : `2>${at("stderr")}`;
  const script = `stty ${size}; stty -g >${at("before")}; ` +
    `${quoted(command)} ${errors}; echo $? >${at("code")}; stty -g >${at("after")}`;
  const process = new Deno.Command("script", {
    args: ["-qfec", script, "/dev/null"],
    env: { TERM: "xterm-256color", SHELL: "/bin/sh" },
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const timer = setTimeout(() => process.kill("SIGKILL"), 300_000);
  const writer = process.stdin.getWriter();
  const queue = [...turns];
  const decoder = new TextDecoder();
  let shown = "";
  let from = 0;
  for await (const bytes of process.stdout) {
    shown += decoder.decode(bytes, { stream: true });
    const found = queue.length > 0 && queue[0][0].exec(inked(shown.slice(from)));
    if (!found) continue;
    from = shown.length;
    await writer.write(new TextEncoder().encode(queue.shift()![1]));
  }
  clearTimeout(timer);
  await writer.close().catch(() => {});
  await process.status;
  const read = (name: string) => {
    try {
      return Deno.readTextFileSync(at(name)).trim();
    } catch {
      return "";
    }
  };
  return {
    shown,
    code: read("code"),
    before: read("before"),
    after: read("after"),
    stderr: read("stderr"),
  };
}

/** What the escape sequences leave out of a picture. */
// deno-lint-ignore no-control-regex
const plain = (text: string) => text.replaceAll(/\x1b\[[0-9;?]*[ -/]*[A-Za-z]/g, "");
/** Nor white space. */
const inked = (text: string) => plain(text).replaceAll(/\s/g, "");

const hasScript = await new Deno.Command("sh", { args: ["-c", "command -v script stty"] }).output();

function terminalTest(name: string, body: () => Promise<void>): void {
  Deno.test(name, async () => {
    if (hasScript.success) await body();
    else console.log("skipped: script (bsdutils) is not installed");
  });
}

terminalTest(
  "FreeDOS on a terminal: its screen, ver typed, help, Ctrl-A X, and all is as before",
  async () => {
    const floppy = sharedImage("freedos-1.44.img");
    try {
      Deno.statSync(floppy);
    } catch {
      return console.log(`skipped: ${floppy} is not here`);
    }
    const { shown, code, before, after, stderr } = await session(
      ["run", "--floppy", `${floppy},overlay`, "--display", "text"],
      [
        [/A:\\>/, "ver\r"],
        [/FreeComversion/i, `${CTRL_A}h`],
        [/Ctrl-AX/, `${CTRL_A}x`],
      ],
    );
    assert.equal(code, "0", stderr);
    assert.notEqual(before, "");
    assert.equal(after, before, "the terminal's settings were not given back");
    // The alternate screen is entered and left, the cursor shown again.
    assert.ok(shown.indexOf("\x1b[?1049h") >= 0 && shown.lastIndexOf("\x1b[?1049l") > 0);
    assert.match(plain(shown), /A:\\>/);
    // What the screen showed last stays readable.
    assert.match(plain(shown.slice(shown.lastIndexOf("\x1b[?1049l"))), /A:\\>ver/);
  },
);

terminalTest(
  "a terminal that does not know its size shows the screen as one of 80 by 25",
  async () => {
    const args = ["run", "--display", "text", "--memory", "4M"];
    const turns: Turn[] = [[/ROMmonitor/, `${CTRL_A}x`]];
    const { shown, code, stderr } = await session(args, turns, { size: "rows 0 cols 0" });
    assert.equal(code, "0", stderr);
    assert.match(inked(shown.slice(0, shown.lastIndexOf("\x1b[?1049l"))), /ROMmonitor/);
  },
);

terminalTest("deno task run leaves the terminal to the guest: Deno draws no progress", async () => {
  const { tasks } = JSON.parse(Deno.readTextFileSync(new URL("deno.json", ROOT)));
  const [, ...words] = tasks.run.replace("main.ts", new URL("main.ts", ROOT).pathname).split(" ");
  const command = [Deno.execPath(), ...words, "run", "--serial", "stdio", "--memory", "4M"];
  const turns: Turn[] = [[/ROMmonitor[^]*>/, `${CTRL_A}x`]];
  const { shown, code } = await session([], turns, { command, showsErrors: true });
  assert.equal(code, "0", shown);
  assert.ok(!shown.includes("\x1b[2K"), "a line was erased");
});

terminalTest(
  "a serial console on a terminal: raw keys, Ctrl-A A sends Ctrl-A, Ctrl-A X quits",
  async () => {
    using image = rom((p) => {
      p.realMode();
      p.print("ready");
      p.forever(() => {
        p.mov("dx", 0x3f8 + 5);
        p.until("nz", () => {
          p.in("al", "dx");
          p.test("al", 1);
        });
        p.mov("dx", 0x3f8);
        p.in("al", "dx");
        p.alu("cmp", "al", 1);
        p.jcc("nz", "plain");
        p.mov("al", "!".charCodeAt(0));
        p.label("plain");
        p.out("dx", "al");
      });
    });
    const { shown, code, before, after } = await session(
      ["run", "--memory", "1M", "--bios", image.path, "--serial", "stdio"],
      [
        [/ready/, "abc\x03"],
        [/abc./, `${CTRL_A}a`],
        [/!/, `${CTRL_A}h`],
        [/Ctrl-AX/, `${CTRL_A}x`],
      ],
    );
    assert.equal(code, "0");
    assert.equal(after, before);
    // Every character once: the terminal does not echo what the guest does.
    assert.match(shown, /readyabc[^a-z]!/);
  },
);

terminalTest(
  "a guest that ends on a terminal, and a triple fault, give the terminal back",
  async () => {
    using image = rom((p) => p.exit(0x10));
    const { code, before, after } = await session(
      ["run", "--memory", "1M", "--bios", image.path, "--display", "text"],
      [],
    );
    assert.equal(code, "33");
    assert.equal(after, before);
    using faulty = rom((p) => {
      p.realMode();
      p.lidt(dword(0x30, undefined, "cs")); // no descriptors
      p.movEaxCr0();
      p.db(0x0c, 1); // or al, 1
      p.movCr0Eax();
      p.mov("ax", 0xfff8);
      p.mov("ds", "ax"); // there is no such descriptor
    });
    const fault = await session(
      ["run", "--memory", "1M", "--bios", faulty.path, "--display", "text"],
      [],
    );
    assert.equal(fault.code, "8");
    assert.equal(fault.after, fault.before);
    assert.match(fault.stderr, /hv: the guest ended by a triple fault\nrax=/);
  },
);
