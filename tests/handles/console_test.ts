import assert from "node:assert/strict";
import { GuestConsole } from "../../hv/handles/console.ts";
import { Waiter } from "../../hv/handles/waiter.ts";

const encode = (text: string) => new TextEncoder().encode(text);

function newConsole(): GuestConsole {
  const waiter = new Waiter(() => undefined, () => Promise.resolve(""));
  return new GuestConsole("com1", waiter, { send() {}, hold() {}, pending: 0 });
}

Deno.test("a console's history has every byte, and text that is cut anywhere", () => {
  const console = newConsole();
  for (const byte of encode("10 µs, ü\n")) console.received(Uint8Array.of(byte));
  assert.equal(console.text, "10 µs, ü\n");
  assert.equal(console.bytes.length, 11);
});

Deno.test("expect goes on where the last one ended, over any number of pieces", async () => {
  const console = newConsole();
  console.received(encode("a1"));
  for (let i = 0; i < 40; i++) console.received(encode(".".repeat(10_000)));
  console.received(encode("a2 a3"));
  assert.equal((await console.expect(/a\d/)).text, "a1");
  const second = await console.expect("a2");
  assert.equal(second.text.length, 400_002);
  assert.equal((await console.expect(/a(\d)/)).match[1], "3");
});

Deno.test("a guest that writes for ever costs a bounded history, and the newest is kept", async () => {
  const console = newConsole();
  const chunk = new Uint8Array(1 << 20).fill(0x2e);
  for (let i = 0; i < 150; i++) {
    console.received(chunk);
    console.received(encode(`mark ${i};`));
    await console.expect(`mark ${i};`);
  }
  assert.ok(console.bytes.length <= 64 << 20);
  assert.ok(console.text.length <= 66 << 20);
  assert.ok(console.droppedBytes > 50 << 20);
  assert.match(console.lastLines(1), /mark 149;$/);
  const wait = console.expect("after");
  console.received(encode("after all"));
  assert.equal((await wait).match[0], "after");
});
