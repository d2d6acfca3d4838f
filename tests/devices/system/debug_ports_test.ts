import assert from "node:assert/strict";
import { DebugConsole } from "../../../devices/serial/debug_console.ts";
import { IsaDebugExit } from "../../../devices/system/isa_debug_exit.ts";
import { deviceContract } from "../../support/contract.ts";
import { TestBench } from "../../support/test_bench.ts";

deviceContract("debug console", (bench) => {
  const handler = new DebugConsole(bench.sink());
  return { device: handler, ports: [{ handler, length: 1, sizes: [1] }] };
});

Deno.test("debug console passes characters on and answers E9h", () => {
  const sink = new TestBench().sink();
  const console = new DebugConsole(sink);
  for (const char of "hv") console.write(0, 1, char.charCodeAt(0));
  assert.equal(sink.take(), "hv");
  assert.equal(console.read(0, 1), 0xe9);
});

Deno.test("isa-debug-exit turns the value v into exit code (v << 1) | 1", () => {
  const codes: number[] = [];
  const port = new IsaDebugExit((code) => codes.push(code));
  port.write(0, 1, 0);
  port.write(0, 1, 0x10);
  port.write(0, 4, 0xffff_ffff);
  assert.deepEqual(codes, [1, 0x21, 0xff]);
  assert.equal(port.read(0, 2), 0xffff);
});
