/** qemu-img and qemu-io, the other implementation of every disk format. */

import assert from "node:assert/strict";

/** Whether they are there; says so once if not. */
export const HAS_QEMU_IMG = (() => {
  try {
    return new Deno.Command("qemu-img", { args: ["--version"] }).outputSync().success;
  } catch {
    console.log("skipped: qemu-img is not installed (package qemu-utils)");
    return false;
  }
})();

/** Runs one of them; its output, both kinds. */
export function tool(
  name: "qemu-img" | "qemu-io",
  args: readonly string[],
): { code: number; text: string } {
  const { code, stdout, stderr } = new Deno.Command(name, { args: [...args] }).outputSync();
  return { code, text: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
}

/** Runs qemu-img, which has to succeed. */
export function qemuImg(...args: readonly string[]): string {
  const { code, text } = tool("qemu-img", args);
  assert.equal(code, 0, `qemu-img ${args.join(" ")}: ${text}`);
  return text;
}

/** `qemu-img check`: no errors, and no leaks unless they are allowed. */
export function qemuCheck(path: string, { leaks = false } = {}): void {
  const { code, text } = tool("qemu-img", ["check", path]);
  assert.ok(code === 0 || (leaks && code === 3), `qemu-img check gives ${code}:\n${text}`);
}

/** The disk's bytes as QEMU reads them, all of its backing files included. */
export function qemuRead(path: string, directory: string): Uint8Array {
  const raw = `${directory}/as-qemu-reads-it.raw`;
  qemuImg("convert", "-O", "raw", path, raw);
  const bytes = Deno.readFileSync(raw);
  Deno.removeSync(raw);
  return bytes;
}
