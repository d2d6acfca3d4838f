/** `hv boot` without an image: a Linux to try, or the ROM monitor and why. */

import assert from "node:assert/strict";
import { BUSYBOX, KERNEL, packageCache, packageFolder } from "../../hv/linux/packages.ts";
import { hv, outcome, startHv, until } from "../support/hv_process.ts";

const isThere = (path: string) => {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
};

Deno.test("hv boot comes to a shell in Debian's Linux, which answers and powers off", async () => {
  if (![KERNEL, BUSYBOX].every((one) => isThere(packageFolder(one)))) {
    return console.log("skipped: run tests/fetch_guests.ts first");
  }
  const process = startHv(["boot", "--timeout", "55"], { stdin: "" });
  const writer = process.stdin.getWriter();
  let text = "";
  let asked = false;
  const decoder = new TextDecoder();
  for await (const bytes of process.stdout) {
    text += decoder.decode(bytes, { stream: true });
    if (asked || !text.includes("hv:~# ")) continue;
    asked = true;
    await writer.write(new TextEncoder().encode("modprobe -D virtio_net; poweroff\n"));
  }
  const [status, stderr] = [await process.status, await new Response(process.stderr).text()];
  assert.equal(status.code, 0, `${text}\n${stderr}`);
  assert.match(text, /Linux 6\.\S+ with busybox[^]*1 x .*MiB free for use/);
  assert.match(text, /insmod \S*virtio_ring\.ko[^]*insmod \S*virtio_net\.ko/);
});

Deno.test("without apt, hv boot starts the ROM monitor and says what to give it", async () => {
  const empty = Deno.makeTempDirSync({ prefix: "hv-test-" });
  try {
    // Deno's own cache stays where it is, so that it downloads nothing.
    const { DENO_DIR = `${packageCache()}/../../deno` } = Deno.env.toObject();
    const env = { PATH: empty, XDG_CACHE_HOME: empty, DENO_DIR };
    const process = startHv(["boot", "--display", "none"], { env });
    await until(process.stdout, "ROM monitor");
    process.kill("SIGTERM");
    const { stderr } = await outcome(process);
    assert.match(
      stderr,
      /^hv: no Linux to try: apt-cache is not here: this is no Debian-family host\n/,
    );
    assert.match(
      stderr,
      /hv: the ROM monitor starts; give hv something else to start: hv run IMAGE\n/,
    );
  } finally {
    Deno.removeSync(empty, { recursive: true });
  }
});

Deno.test("hv boot with an image is hv run: what is not there is refused", async () => {
  const { code, stderr } = await hv(["boot", "no-such.img"]);
  assert.equal(code, 2);
  assert.match(stderr, /^hv: Cannot run no-such\.img: there is no such file\n$/);
});
