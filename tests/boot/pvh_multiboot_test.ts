import assert from "node:assert/strict";
import { describeFile, detectKernel, planBoot } from "../../hv/boot/mod.ts";
import { E820Type } from "../../hv/core/memory/e820.ts";
import {
  assertSound,
  bzImage,
  elf,
  memoryAt,
  memoryMap,
  MiB,
  multiboot,
  request,
  textAt,
} from "./kernels.ts";

const initrd = new Uint8Array(5000).fill(0x55);

Deno.test("PVH enters at the note's address with start info at EBX (start_info.h v1)", async () => {
  const asked = request(elf({ pvhEntry: 0x10_0002 }), { initrd, rsdpAddress: 0xe_0000 });
  const plan = await planBoot(asked);
  assertSound(plan, asked.memoryMap);
  assert.equal(plan.entry.mode, "protected32");
  assert.equal(plan.entry.registers.rip, 0x10_0002);
  assert.equal(plan.entry.cr0 & 1, 1);
  assert.equal(plan.entry.efer, 0);
  assert.deepEqual([plan.entry.tr.base, plan.entry.tr.limit], [0, 0x67]);
  const info = memoryAt(plan, plan.entry.registers.rbx, 56);
  assert.equal(info.getUint32(0, true), 0x336e_c578);
  assert.equal(info.getUint32(4, true), 1);
  assert.equal(info.getUint32(12, true), 1, "modules");
  assert.equal(textAt(plan, Number(info.getBigUint64(24, true))), "console=ttyS0 quiet");
  assert.equal(info.getBigUint64(32, true), 0xe_0000n);
  const module = memoryAt(plan, Number(info.getBigUint64(16, true)), 32);
  const initrdAt = Number(module.getBigUint64(0, true));
  assert.equal(initrdAt, 64 * MiB - 0x2000);
  assert.equal(module.getBigUint64(8, true), BigInt(initrd.length));
  assert.equal(textAt(plan, Number(module.getBigUint64(16, true))), "initrd");
  const map = memoryAt(plan, Number(info.getBigUint64(40, true)), 3 * 24);
  assert.equal(info.getUint32(48, true), 3);
  assert.equal(map.getBigUint64(48, true), 0x10_0000n);
  assert.equal(map.getBigUint64(56, true), BigInt(63 * MiB));
  assert.equal(map.getUint32(64, true), 1);
});

Deno.test("a PVH kernel can be entered as Linux in long mode when that is asked for", async () => {
  const plan = await planBoot(request(elf({ pvhEntry: 0x10_0002 }), { entry: "long64" }));
  assert.equal(plan.entry.mode, "long64");
  assert.equal(plan.entry.registers.rip, 0x10_0000);
});

Deno.test("Multiboot loads by the header's addresses and clears the rest (3.1.3)", async () => {
  const asked = request(multiboot(0x1_0003), { initrd, initrdCommandLine: "root.img ro" });
  const plan = await planBoot(asked);
  assertSound(plan, asked.memoryMap);
  const { registers } = plan.entry;
  assert.equal(registers.rax, 0x2bad_b002);
  assert.equal(registers.rip, 0x10_0040);
  assert.equal(memoryAt(plan, 0x10_0000, 0x2000).getUint8(0x40), 0xf4);
  const info = memoryAt(plan, registers.rbx, 116);
  assert.equal(info.getUint32(0, true), 0x24d, "memory, command line, modules, map, loader");
  assert.equal(info.getUint32(4, true), 639);
  assert.equal(info.getUint32(8, true), 63 * 1024);
  assert.equal(textAt(plan, info.getUint32(16, true)), "test-kernel console=ttyS0 quiet");
  assert.equal(info.getUint32(20, true), 1);
  const module = memoryAt(plan, info.getUint32(24, true), 16);
  assert.equal(module.getUint32(0, true) % 4096, 0);
  assert.equal(module.getUint32(4, true) - module.getUint32(0, true), initrd.length);
  assert.equal(textAt(plan, module.getUint32(8, true)), "root.img ro");
  assert.equal(info.getUint32(44, true), 3 * 24);
  const map = memoryAt(plan, info.getUint32(48, true), 3 * 24);
  assert.equal(map.getUint32(0, true), 20);
  assert.equal(map.getBigUint64(52, true), 0x10_0000n);
  assert.equal(map.getUint32(68, true), 1);
});

Deno.test("Multiboot answers a wish for video with text mode 3 (3.1.4)", async () => {
  const plan = await planBoot(request(multiboot(0x1_0004)));
  const info = memoryAt(plan, plan.entry.registers.rbx, 116);
  assert.equal(info.getUint32(0, true) & (1 << 12), 1 << 12);
  assert.equal(info.getBigUint64(88, true), 0xb8000n);
  assert.equal(info.getUint8(109), 2);
});

Deno.test("Multiboot refuses requirements that it does not know (3.1.1)", async () => {
  await assert.rejects(planBoot(request(multiboot(0x1_0100))), {
    message: /its Multiboot header requires what is not known here \(flags 10100h\)$/,
  });
});

Deno.test("a Multiboot header in an ELF file loads the ELF segments", async () => {
  const code = multiboot(0x3);
  const plan = await planBoot(request(elf({ bits: 32, code, entry: 0x10_0040 })));
  assert.equal(plan.entry.registers.rip, 0x10_0040);
  assert.equal(plan.entry.registers.rax, 0x2bad_b002);
});

Deno.test("addresses in the Multiboot header that contradict each other are refused", async () => {
  for (const [field, value] of [[12, 0], [20, 0x10_0000], [20, 0xfff0_0000], [28, 0x1000]]) {
    const kernel = multiboot(0x1_0000);
    new DataView(kernel.buffer).setUint32(field, value, true);
    await assert.rejects(planBoot(request(kernel)), { name: "BootError" });
  }
});

Deno.test("detectKernel tells the kinds apart", () => {
  assert.equal(detectKernel(bzImage()), "bzimage");
  assert.equal(detectKernel(elf()), "elf-linux");
  assert.equal(detectKernel(elf({ bits: 32 })), "elf-linux");
  assert.equal(detectKernel(elf({ pvhEntry: 0x10_0000 })), "elf-pvh");
  assert.equal(detectKernel(multiboot(0)), "multiboot");
  assert.equal(detectKernel(elf({ bits: 32, code: multiboot(3) })), "multiboot");
  assert.equal(detectKernel(elf({ machine: 183 })), undefined);
  assert.equal(detectKernel(new Uint8Array(0)), undefined);
});

Deno.test("describeFile says what a file that is no kernel looks like", () => {
  const at = (offset: number, text: string, length = 0x9000) => {
    const bytes = new Uint8Array(length);
    bytes.set(Uint8Array.from(text, (c) => c.charCodeAt(0)), offset);
    return describeFile(bytes);
  };
  assert.equal(describeFile(new Uint8Array(0)), "empty");
  assert.equal(at(0, "hello", 100), "only 100 bytes long");
  assert.match(at(0, "\x1f\x8b\x08"), /gzip/);
  assert.match(at(0, "QFI\xfb"), /qcow2.*--disk/);
  assert.match(at(0x8001, "CD001"), /--cdrom/);
  assert.match(at(510, "\x55\xaa"), /disk image/);
  assert.match(at(0, "MZ"), /EFI/);
  assert.match(at(0, "070701"), /--initrd/);
  assert.match(describeFile(elf({ machine: 183 })), /another machine \(e_machine 183\)/);
  assert.match(describeFile(elf({ type: 1 })), /no executable/);
});

Deno.test("a file that is no kernel is refused in one line that names it", async () => {
  const asked = request(new Uint8Array(4096), { kernelName: "notes.txt" });
  await assert.rejects(planBoot(asked), {
    name: "BootError",
    message: "Cannot boot notes.txt: it is no kernel that is known here " +
      "(Linux bzImage, ELF, Multiboot)",
  });
});

Deno.test("an ELF segment outside of RAM, over another or over the firmware is refused", async () => {
  for (const physicalAddress of [0, 0xa_0000, 63.9999 * MiB | 0, 2 ** 40, 2 ** 32]) {
    const kernel = elf({ physicalAddress, memoryLength: 0x2000 });
    await assert.rejects(planBoot(request(kernel)), { name: "BootError" });
  }
  const holes = [...memoryMap(2), { base: 4 * MiB, length: 60 * MiB, type: E820Type.ram }];
  const across = elf({ physicalAddress: MiB, memoryLength: 4 * MiB });
  await assert.rejects(planBoot(request(across, { memoryMap: holes })), { name: "BootError" });
});
