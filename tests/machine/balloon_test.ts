/** A balloon driven by a program of its own: what goes back to the host is gone, code included. */

import assert from "node:assert/strict";
import { dword, word } from "../../bios/assembler/assembler.ts";
import { Machine } from "../../hv/mod.ts";
import { GuestMemory } from "../../hv/core/memory/guest_memory.ts";
import { returnPages } from "../../hv/io/return_pages.ts";
import { exitCode, onEach, type Payload, rom } from "../support/payload.ts";
import {
  AVAILABLE,
  DATA,
  DESCRIPTORS,
  initialise,
  interruptHandler,
  INTERRUPTS,
  NOTIFY,
  VECTOR,
} from "../support/guest/virtio_program.ts";

const SLOT = 3;
const PAGE = 0x2_0000;
const PAGE_BYTES = 4096;
/** A word that the code in the page counts up, and where a far pointer to it is. */
const COUNT = 0x700;
const POINTER = 0x710;

/** Gives one page up by the inflation queue, and waits for its interrupt. */
function inflate(p: Payload, address: number): void {
  p.poke(DATA, 4, address / PAGE_BYTES);
  p.poke(DESCRIPTORS, 4, DATA);
  p.poke(DESCRIPTORS + 4, 4, 0);
  p.poke(DESCRIPTORS + 8, 4, 4);
  p.poke(DESCRIPTORS + 12, 4, 0);
  p.poke(AVAILABLE + 4, 2, 0);
  p.poke(AVAILABLE + 2, 2, 1);
  p.poke(NOTIFY, 2, 0);
  p.until("e", () => {
    p.sti();
    p.hlt();
    p.cli();
    p.alu("cmp", word(INTERRUPTS), 1);
  });
}

onEach(
  "code in a page that is given up is not executed again: there are zeros",
  async (accelerator) => {
    using image = rom((p) => {
      p.realMode();
      p.unreal();
      p.vector(VECTOR, "interrupt");
      p.mov(word(INTERRUPTS), 0);
      p.mov(word(COUNT), 0);
      p.mov(word(POINTER), 0);
      p.mov(word(POINTER + 2), PAGE >> 4);
      // inc word [700h]; retf. Zeros are add [bx+si], al: harmless, up to the retf behind the page.
      [0xff, 0x06, COUNT & 0xff, COUNT >> 8, 0xcb].forEach((byte, i) => p.poke(PAGE + i, 1, byte));
      p.poke(PAGE + PAGE_BYTES, 1, 0xcb);
      const call = () => {
        p.mov("bx", 0x800);
        p.mov("si", 0);
        p.mov("al", 0);
        p.callFarThrough(dword(POINTER));
      };
      for (let i = 0; i < 3; i++) call();
      initialise(p, SLOT);
      inflate(p, PAGE);
      call();
      p.peekByte(COUNT);
      p.out(0xf4, "al");
      interruptHandler(p);
    });
    await using machine = await Machine.start({
      accelerator,
      memory: "2M",
      bios: image.path,
      balloon: true,
    });
    assert.equal(await exitCode(machine), 3 * 2 + 1, "three calls before, none after");
    assert.deepEqual(machine.readMemory(PAGE, PAGE_BYTES), new Uint8Array(PAGE_BYTES));
    assert.equal(machine.readMemory(PAGE + PAGE_BYTES, 1)![0], 0xcb, "its neighbour is as it was");
    assert.equal(machine.balloon!.returnedBytes, PAGE_BYTES);
  },
);

Deno.test("pages go back as zeros, told before and after; what is not RAM is refused", () => {
  const memory = GuestMemory.allocate(1 << 20, 1 << 16);
  memory.view(0, 1 << 20)!.fill(7);
  const told: number[] = [];
  memory.onTouch = (offset, length) => told.push(offset, length);
  assert.equal(returnPages(memory, 0x2000, 0x3000), true);
  assert.deepEqual(told, [0x2000, 0x3000, 0x2000, 0x3000]);
  assert.deepEqual(
    memory.view(0x1fff, 0x3002),
    new Uint8Array(0x3002).fill(7, 0, 1).fill(7, 0x3001),
  );
  for (const [address, length] of [[0xf_f000, 0x2000], [1 << 20, 0x1000], [-4096, 4096]]) {
    assert.equal(returnPages(memory, address, length), false);
  }
});

Deno.test("a balloon's target is a size up to what the guest has, and no more", async () => {
  await using machine = await Machine.create({ memory: "4M", balloon: "3M" });
  const balloon = machine.balloon!;
  assert.deepEqual([balloon.target, balloon.actual], [3 << 20, 4 << 20]);
  balloon.target = "2M";
  assert.equal(balloon.target, 2 << 20);
  assert.throws(
    () => balloon.target = "5M",
    /Cannot give the guest 5 MiB by its balloon: it has 4 MiB/,
  );
  assert.throws(() => balloon.target = "much", /write a size like/);
  assert.equal(balloon.target, 2 << 20);
});
