import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { BootError, planBoot } from "../../hv/boot/mod.ts";
import {
  assertSound,
  bzImage,
  elf,
  memoryAt,
  memoryMap,
  MiB,
  request,
  SETUP_LENGTH,
  textAt,
} from "./kernels.ts";

const LOAD_PHYSICAL_ADDR = 0x100_0000;
const vmlinux = () =>
  elf({
    physicalAddress: LOAD_PHYSICAL_ADDR,
    virtualAddress: 0xffff_ffff_8100_0000,
    code: new Uint8Array(64).fill(0x90),
    memoryLength: 0x3000,
  });
const packedImage = () => bzImage({ payload: gzipSync(vmlinux()) });
const initrd = new Uint8Array(10_000).fill(0xaa);

Deno.test("auto unpacks the payload and enters vmlinux in long mode (boot.rst, 64-bit)", async () => {
  const asked = request(packedImage(), { initrd, rsdpAddress: 0xf_1230 });
  const plan = await planBoot(asked);
  assertSound(plan, asked.memoryMap);
  assert.equal(
    plan.description,
    "Linux 9.9.9-test (gzip, unpacked here), 64-bit entry at 1000000h",
  );
  const { entry } = plan;
  assert.equal(entry.mode, "long64");
  assert.equal(entry.registers.rip, LOAD_PHYSICAL_ADDR);
  assert.equal(entry.registers.rflags, 2);
  assert.equal(entry.cs.selector, 0x10);
  assert.equal(entry.cs.access, 0xa09b);
  for (const segment of [entry.ds, entry.es, entry.ss]) assert.equal(segment.selector, 0x18);
  assert.equal(entry.cr0, 0x8000_0033);
  assert.equal(entry.cr4, 0x20);
  assert.equal(entry.efer, 0x500);
  // PT_LOAD at its physical address, the rest of its memory zero.
  assert.equal(memoryAt(plan, LOAD_PHYSICAL_ADDR, 0x3000).getUint8(63), 0x90);
  assert.equal(memoryAt(plan, LOAD_PHYSICAL_ADDR, 0x3000).getUint8(64), 0);
});

Deno.test("the zero page holds header, command line, initrd, memory map, screen and RSDP", async () => {
  const map = memoryMap(64);
  const plan = await planBoot(request(packedImage(), { initrd, rsdpAddress: 0xf_1230 }));
  const page = memoryAt(plan, plan.entry.registers.rsi, 4096);
  assert.equal(plan.entry.registers.rsi % 4096, 0);
  assert.equal(page.getUint32(0x202, true), 0x5372_6448);
  assert.equal(page.getUint16(0x206, true), 0x20f);
  assert.equal(page.getUint8(0x210), 0xff);
  assert.equal(textAt(plan, page.getUint32(0x228, true)), "console=ttyS0 quiet");
  const initrdAt = page.getUint32(0x218, true);
  assert.equal(initrdAt, 64 * MiB - 0x3000);
  assert.equal(page.getUint32(0x21c, true), initrd.length);
  assert.equal(memoryAt(plan, initrdAt, initrd.length).getUint8(initrd.length - 1), 0xaa);
  assert.equal(page.getUint8(0x1e8), map.length);
  map.forEach(({ base, length, type }, i) => {
    assert.equal(page.getBigUint64(0x2d0 + i * 20, true), BigInt(base));
    assert.equal(page.getBigUint64(0x2d8 + i * 20, true), BigInt(length));
    assert.equal(page.getUint32(0x2e0 + i * 20, true), type);
  });
  assert.deepEqual([0x06, 0x07, 0x0e, 0x0f].map((o) => page.getUint8(o)), [3, 80, 25, 1]);
  assert.equal(page.getUint16(0x10, true), 16);
  assert.equal(page.getBigUint64(0x70, true), 0xf_1230n);
  assert.equal(page.getUint8(0x1ef), 0, "the sentinel says that the page was cleared");
});

Deno.test("without a VGA screen_info stays empty", async () => {
  const plan = await planBoot(request(packedImage(), { textScreen: false }));
  const page = memoryAt(plan, plan.entry.registers.rsi, 0x40);
  for (let i = 0; i < 0x40; i++) if (i < 2 || i > 3) assert.equal(page.getUint8(i), 0);
});

Deno.test("the page tables map 4 GiB to themselves and the GDT matches the segments", async () => {
  const { entry, ...plan } = await planBoot(request(packedImage()));
  const whole = { entry, ...plan };
  const walk = (address: number): number => {
    const index = (shift: number) => Math.floor(address / 2 ** shift) % 512;
    const next = (table: number, i: number) =>
      Number(memoryAt(whole, table + i * 8, 8).getBigUint64(0, true));
    const level3 = next(entry.cr3, index(39));
    const level2 = next(level3 - 3, index(30));
    const page = next(level2 - 3, index(21));
    assert.equal(page & 0xfff, 0x83, "present, writable, 2 MiB");
    return page - 0x83;
  };
  assert.equal(walk(0), 0);
  assert.equal(walk(0x1234_5678), 0x1220_0000);
  assert.equal(walk(0xffff_ffff), 0xffe0_0000);
  assert.equal(entry.gdtr.limit, 0x1f);
  const descriptor = (at: number) => memoryAt(whole, entry.gdtr.base + at, 8).getBigUint64(0, true);
  assert.equal(descriptor(0x10), 0x00af_9b00_0000_ffffn);
  assert.equal(descriptor(0x18), 0x00cf_9300_0000_ffffn);
});

Deno.test("a 32-bit vmlinux in the payload is entered in protected mode", async () => {
  const payload = gzipSync(elf({ bits: 32, physicalAddress: LOAD_PHYSICAL_ADDR }));
  const plan = await planBoot(request(bzImage({ payload, xloadFlags: 0 })));
  assert.equal(plan.entry.mode, "protected32");
  assert.equal(plan.entry.registers.rip, LOAD_PHYSICAL_ADDR);
  assert.equal(memoryAt(plan, plan.entry.registers.rsi, 4096).getUint16(0x1fe, true), 0xaa55);
});

Deno.test("a payload that cannot be unpacked here leaves it to the kernel at +200h", async () => {
  for (const magic of ["BZh91AY", "\x89LZO\0\r\n", "what is this"]) {
    const payload = Uint8Array.from(magic, (c) => c.charCodeAt(0));
    const asked = request(bzImage({ payload }));
    const plan = await planBoot(asked);
    assertSound(plan, asked.memoryMap);
    assert.equal(plan.entry.mode, "long64");
    assert.equal(plan.entry.registers.rip, 0x10_0200);
    const page = memoryAt(plan, plan.entry.registers.rsi, 4096);
    assert.equal(page.getUint32(0x214, true), 0x10_0000, "code32_start");
  }
});

Deno.test("protected32 enters the kernel's own unpacker at 100000h (boot.rst, 32-bit)", async () => {
  const asked = request(packedImage(), { entry: "protected32" });
  const { entry } = await planBoot(asked);
  assert.equal(entry.mode, "protected32");
  assert.equal(entry.registers.rip, 0x10_0000);
  assert.equal(entry.cr0, 0x11);
  assert.deepEqual([entry.cs.selector, entry.cs.access, entry.cs.limit], [
    0x10,
    0xc09b,
    2 ** 32 - 1,
  ]);
  assert.deepEqual([entry.ds.selector, entry.ds.access], [0x18, 0xc093]);
  assert.deepEqual([entry.registers.rbx, entry.registers.rbp, entry.registers.rdi], [0, 0, 0]);
});

Deno.test("real16 fills the header for the setup code (boot.rst, Running the Kernel)", async () => {
  const kernel = packedImage();
  const asked = request(kernel, { entry: "real16", initrd });
  const plan = await planBoot(asked);
  assertSound(plan, asked.memoryMap);
  const { entry } = plan;
  assert.equal(entry.mode, "real16");
  assert.deepEqual([entry.cs.selector, entry.cs.base, entry.registers.rip], [0x1020, 0x1_0200, 0]);
  for (const segment of [entry.ds, entry.es, entry.fs, entry.gs, entry.ss]) {
    assert.deepEqual([segment.selector, segment.base, segment.limit], [0x1000, 0x1_0000, 0xffff]);
  }
  assert.equal(entry.registers.rsp, 0xe000);
  const setup = memoryAt(plan, 0x1_0000, 0xe000);
  assert.equal(setup.getUint8(0x210), 0xff);
  assert.equal(setup.getUint8(0x211), 0x81, "LOADED_HIGH and CAN_USE_HEAP");
  assert.equal(setup.getUint16(0x224, true), 0xde00);
  assert.equal(textAt(plan, setup.getUint32(0x228, true)), "console=ttyS0 quiet");
  assert.equal(setup.getUint32(0x218, true), 64 * MiB - 0x3000);
  const kernelLength = kernel.length - SETUP_LENGTH;
  assert.equal(memoryAt(plan, 0x10_0000, kernelLength).byteLength, kernelLength);
});

Deno.test("a zImage goes to 10000h with its setup code at 90000h (boot.rst, Memory Layout)", async () => {
  const asked = request(bzImage({ version: 0x201, loadFlags: 0 }));
  const plan = await planBoot(asked);
  assertSound(plan, asked.memoryMap);
  assert.equal(plan.entry.cs.selector, 0x9020);
  const setup = memoryAt(plan, 0x9_0000, 0x9800);
  assert.equal(setup.getUint16(0x20, true), 0xa33f);
  assert.equal(textAt(plan, 0x9_0000 + setup.getUint16(0x22, true)), "console=ttyS0 quiet");
  assert.ok(memoryAt(plan, 0x1_0000, 0x400));
});

Deno.test("what has no payload and no 64-bit entry goes through its setup code", async () => {
  const plan = await planBoot(request(bzImage({ xloadFlags: 0 })));
  assert.equal(plan.entry.mode, "real16");
});

Deno.test("the initrd stays below initrd_addr_max and out of the running kernel", async () => {
  const kernel = bzImage({ payload: gzipSync(vmlinux()), initrdAddressMax: 0x1ff_ffff });
  const plan = await planBoot(request(kernel, { initrd }));
  const page = memoryAt(plan, plan.entry.registers.rsi, 4096);
  assert.equal(page.getUint32(0x218, true), 32 * MiB - 0x3000);
  // 48 MiB from 16 MiB on: all of the memory above 16 MiB is the kernel's.
  const greedy = bzImage({ payload: gzipSync(vmlinux()), initSize: 48 * MiB });
  const below = await planBoot(request(greedy, { initrd }));
  const greedyPage = memoryAt(below, below.entry.registers.rsi, 4096);
  assert.equal(greedyPage.getUint32(0x218, true), 16 * MiB - 0x3000);
});

Deno.test("an initrd that does not fit is named with its size and the remedy", async () => {
  const large = new Uint8Array(80 * MiB);
  for (const entry of ["auto", "real16", "protected32"] as const) {
    await assert.rejects(planBoot(request(packedImage(), { initrd: large, entry })), {
      name: "BootError",
      message:
        "Cannot boot test-kernel: initrd of 80 MiB does not fit in guest memory of 64 MiB: " +
        "give more with --memory",
    });
  }
});

Deno.test("a command line longer than cmdline_size is refused", async () => {
  const kernel = bzImage({ payload: gzipSync(vmlinux()), commandLineMax: 20 });
  await planBoot(request(kernel, { commandLine: "a".repeat(20) }));
  await assert.rejects(planBoot(request(kernel, { commandLine: "a".repeat(21) })), {
    message: "Cannot boot test-kernel: the command line has 21 bytes, " +
      "but this kernel takes at most 20",
  });
});

Deno.test("a kernel larger than guest memory is refused with the remedy", async () => {
  const asked = request(packedImage(), { memoryMap: memoryMap(8) });
  await assert.rejects(planBoot(asked), (error: Error) => {
    assert.ok(error instanceof BootError);
    assert.match(error.message, /needs memory from 1000000h to 1003000h.*8 MiB.*--memory$/);
    return true;
  });
});

Deno.test("a bzImage that is cut off says how much is missing", async () => {
  const kernel = packedImage();
  await assert.rejects(planBoot(request(kernel.subarray(0, kernel.length - 40))), {
    message: /the file is cut off: its header claims \d+ bytes, but it has \d+$/,
  });
});

Deno.test("a bare vmlinux without PVH is entered at its physical entry with a zero page", async () => {
  for (const entry of [0x100_0010n, 0xffff_ffff_8100_0010n]) {
    const kernel = elf({
      physicalAddress: LOAD_PHYSICAL_ADDR,
      virtualAddress: 0xffff_ffff_8100_0000,
      code: new Uint8Array(64),
      entry,
    });
    const plan = await planBoot(request(kernel));
    assert.equal(plan.entry.mode, "long64");
    assert.equal(plan.entry.registers.rip, LOAD_PHYSICAL_ADDR + 16);
    const page = memoryAt(plan, plan.entry.registers.rsi, 4096);
    assert.equal(page.getUint32(0x202, true), 0x5372_6448);
    assert.equal(page.getUint8(0x211), 1);
  }
});
