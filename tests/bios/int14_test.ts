import assert from "node:assert/strict";
import { BiosBench } from "./bios_bench.ts";

Deno.test("INT 14h sends and receives on COM1; a port that is not there is left alone", () => {
  const b = new BiosBench().post();
  assert.equal(b.call("int14", { eax: 0x0148 }).ah & 0x80, 0);
  assert.equal(b.serial, "H");
  b.serialInput = "x";
  const { al, ah } = b.call("int14", { eax: 0x0200 });
  assert.deepEqual([al, ah & 0x80], [0x78, 0]);
  assert.equal(b.call("int14", { eax: 0x0300 }).ah, 0x60);
  assert.equal(b.call("int14", { eax: 0x0148, edx: 3 }).ax, 0x0148);
});

Deno.test("INT 14h AH=02h waits in the guest and times out after a second (40:7Ch)", () => {
  const b = new BiosBench().post();
  assert.equal(b.call("int14", { eax: 0x0200 }).next, "wait14");
  b.bench.advance(0.5e9);
  assert.equal(b.call("int14", { eax: 0x0200 }).next, "wait14");
  b.bench.advance(0.6e9);
  const { ah, next } = b.call("int14", { eax: 0x0200 });
  assert.deepEqual([ah & 0x80, next], [0x80, undefined]);
  assert.equal(b.call("int14", { eax: 0x0200 }).next, "wait14", "the next call has a second again");
});

Deno.test("INT 17h: there is no printer", () => {
  const b = new BiosBench().post();
  assert.equal(b.call("int17", { eax: 0x0200 }).ah, 0x01);
});
