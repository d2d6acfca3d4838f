/** `hv boot` where it finds no Linux: the ROM monitor and why. tests/guest/hv_boot_test.ts has the Linux. */

import assert from "node:assert/strict";
import { packageCache } from "../../hv/linux/packages.ts";
import {
  allRefused,
  hv,
  outcome,
  Scratch,
  startHv,
  type StartOptions,
} from "../support/hv_process.ts";

const exists = (path: string) => {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
};

/** Programs in place of apt's, a cache of its own, and Deno's own where it is: it downloads nothing. */
function hostWith(scratch: Scratch, programs: Record<string, string>): StartOptions {
  for (const [name, script] of Object.entries(programs)) {
    Deno.writeTextFileSync(`${scratch.path}/${name}`, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  }
  const { DENO_DIR = `${packageCache()}/../../deno`, PATH = "" } = Deno.env.toObject();
  // The empty set of programs stands for a host of another family.
  const path = Object.keys(programs).length === 0 ? scratch.path : `${scratch.path}:${PATH}`;
  return { env: { PATH: path, XDG_CACHE_HOME: `${scratch.path}/cache`, DENO_DIR } };
}

Deno.test("without apt, hv boot starts the ROM monitor and says what to give it", async () => {
  using scratch = new Scratch();
  const args = ["boot", "--append", "quiet", "--display", "none", "--timeout", "280"];
  const { code, stdout, stderr } = await hv(args, { ...hostWith(scratch, {}), stdin: "time\n" });
  assert.equal(code, 6);
  assert.match(stdout, /ROM monitor[^]*> time\r?\n +\d{4}-/);
  assert.match(
    stderr,
    /^hv: no Linux to try: .* apt-cache is not here: this is no Debian-family host$/m,
  );
  assert.match(
    stderr,
    /^hv: the ROM monitor starts; give hv something else to start: hv boot IMAGE$/m,
  );
});

Deno.test("whoever ends hv boot while it fetches ends apt, too, and nothing is left", async () => {
  using scratch = new Scratch();
  const pid = `${scratch.path}/pid`;
  const host = hostWith(scratch, {
    "apt-cache": 'echo "Size: 5"; echo "Depends: linux-image-6 (= 6)"',
    "apt-get": `echo $$ > ${pid}.new; mv ${pid}.new ${pid}; exec sleep 60`,
  });
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    const process = startHv(["boot"], host);
    let hasEnded = false;
    process.status.then(() => hasEnded = true);
    while (!exists(pid) && !hasEnded) await new Promise((resolve) => setTimeout(resolve, 10));
    if (!hasEnded) process.kill(signal);
    const { code, stdout, stderr } = await outcome(process);
    assert.equal(code, 130);
    assert.equal(stdout, "");
    assert.match(
      stderr,
      /fetching Debian's package linux-image-6 \(0\.0 MiB\)\nhv: interrupted\n$/,
    );
    assert.ok(!exists(`/proc/${Deno.readTextFileSync(pid).trim()}`), "apt-get goes on");
    assert.deepEqual([...Deno.readDirSync(`${scratch.path}/cache/hv/packages`)], []);
    Deno.removeSync(pid);
  }
});

Deno.test("hv boot with an image is hv run: what is not there is refused", async () => {
  await allRefused([
    ["boot no-such.img", 2, /Cannot run no-such\.img: there is no such file$/],
    ["boot --initrd no-such.img", 2, /an initrd without a kernel/],
    ["boot --memroy 1G", 2, /hv boot has no option --memroy; did you mean --memory\?$/],
  ]);
});
