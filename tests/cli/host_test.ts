/** A host that lacks something: KVM, permissions, room. Needs root, to take rights and mounts away. */

import assert from "node:assert/strict";
import { rom } from "../support/payload.ts";
import { allRefused, hv, type Refusal, Scratch } from "../support/hv_process.ts";
import { Reachable } from "../support/reachable.ts";

const HOST = 4;
const USAGE = 2;

/** Root reads everything: these words make it obey the permissions of its own files. */
const OBEDIENT = [
  ...["setpriv", "--bounding-set=-dac_override,-dac_read_search"],
  "--inh-caps=-dac_override,-dac_read_search",
];

/** Why mounts cannot be exchanged here, or "". */
const noMounts = await (async () => {
  try {
    const command = ["-m", "mount", "--bind", "/dev/null", "/dev/null"];
    const { code, stderr } = await new Deno.Command("unshare", { args: command }).output();
    return code === 0 ? "" : new TextDecoder().decode(stderr).trim();
  } catch (error) {
    return (error as Error).message;
  }
})();

/** A test that needs a mount namespace; skipped with a printed reason where there is none. */
function hostTest(name: string, body: () => Promise<void>): void {
  Deno.test(name, async () => {
    if (noMounts === "") await body();
    else console.log(`skipped: ${noMounts}`);
  });
}

/** Words that run the rest in a mount namespace of its own, after `mount` there. */
const mounted = (mount: string, ...more: string[]) => [
  ...["unshare", "-m", "sh", "-c", `${mount} && exec "$@"`, "sh"],
  ...more,
];

hostTest("files that may not be read are refused, with what to do", async () => {
  using copy = new Reachable();
  using scratch = new Scratch(copy.path);
  const { path: cwd } = scratch;
  Deno.chmodSync(scratch.file("secret.img", 1 << 20), 0);
  Deno.chmodSync(scratch.file("fixed.img", 1 << 20), 0o444);
  Deno.mkdirSync(`${cwd}/closed`, { mode: 0 });
  const denied: Refusal[] = [
    ["run secret.img", HOST, /Cannot run secret\.img: permission denied/],
    ["run --kernel secret.img", HOST, /Cannot read secret\.img: permission denied; check/],
    ["run --bios secret.img", HOST, /Cannot read secret\.img: permission denied; check/],
    ["run --disk secret.img", USAGE, /disk: permission denied; check its permissions, or attach/],
    ["run --disk secret.img,readonly", USAGE, /disk: permission denied; check its permissions$/],
    ["disk info secret.img", USAGE, /secret\.img as a disk: permission denied; check/],
    ["disk create closed/x 1M", HOST, /Cannot make closed\/x: permission denied/],
    ["run --share closed:c", USAGE, /Cannot share closed: permission denied; check/],
    ["run --disk closed/x", USAGE, /closed\/x as a disk: permission denied on the way to it/],
    ["run --disk fixed.img", USAGE, /attach it read-only or with an overlay/],
    ["run --serial file:closed/log", HOST, /closed\/log: permission denied/],
    ["run --serial file:fixed.img", HOST, /fixed\.img: permission denied/],
    ["run --serial unix:closed/s", HOST, /closed\/s: permission denied/],
  ];
  await allRefused(denied, { cwd, prefix: OBEDIENT, copy });
  assert.equal(Deno.statSync(`${cwd}/fixed.img`).size, 1 << 20);
});

hostTest(
  "without KVM, with another file there, or without permission, hv says what to do",
  async () => {
    using copy = new Reachable();
    using scratch = new Scratch(copy.path);
    const file = scratch.file("kvm", 0);
    const closed = scratch.file("closed", 0);
    Deno.chmodSync(closed, 0);
    const bind = (path: string) => `mount --bind ${path} /dev/kvm`;
    await allRefused([
      [
        "run --accel kvm --memory 2M",
        HOST,
        /Cannot open \/dev\/kvm: no such file .*load the module kvm_intel/,
        {
          prefix: mounted("mount -t tmpfs none /dev"),
        },
      ],
      ["run --accel kvm --memory 2M", HOST, /\/dev\/kvm is not KVM/, {
        prefix: mounted(bind(file)),
      }],
      ["run --accel kvm --memory 2M", HOST, /permission denied.*add your user to the kvm group/, {
        prefix: mounted(bind(closed), ...OBEDIENT),
        copy,
        cwd: copy.path,
      }],
    ]);
    const { code, stdout } = await hv(["info"], { prefix: mounted("mount -t tmpfs none /dev") });
    assert.equal(code, 0);
    assert.match(stdout, /KVM +not usable: Cannot open \/dev\/kvm: no such file/);
    assert.match(stdout, /software +an interpreter, and a translator of hot code to WebAssembly\n/);
    assert.match(stdout, /any mode: \d+ .*million instructions a second/);
    assert.match(stdout, /--accel auto takes the software CPU, since KVM is not usable/);
  },
);

hostTest("without KVM a guest runs on the software CPU, and the start line says why", async () => {
  using scratch = new Scratch();
  using image = rom((p) => p.exit(3));
  const { code, stderr } = await hv(["run", "--bios", image.path, "--memory", "2M"], {
    cwd: scratch.path,
    prefix: mounted("mount -t tmpfs none /dev"),
  });
  assert.equal(code, 7);
  assert.match(
    stderr,
    /software CPU, since KVM is not usable: Cannot open \/dev\/kvm: no such file/,
  );
});

hostTest("no room for an overlay's scratch file is told at once", async () => {
  await using disk = new AsyncDisposableStack();
  const scratch = disk.use(new Scratch());
  scratch.file("disk.img", 1 << 20);
  await allRefused([
    ["run --disk disk.img,overlay", USAGE, /no scratch file can be made in .*set TMPDIR/, {
      env: { TMPDIR: `${scratch.path}/missing` },
    }],
  ], { cwd: scratch.path });
});
