/** Small kernels made up for the tests, and what every boot plan must fulfil. */

import assert from "node:assert/strict";
import type { BootPlan, BootRequest } from "../../hv/boot/mod.ts";
import type { MemoryRange } from "../../hv/core/memory/e820.ts";

export const MiB = 2 ** 20;

/** A PC's memory map with `mebibytes` of RAM and a firmware area below 1 MiB. */
export const memoryMap = (mebibytes: number): MemoryRange[] => [
  { base: 0, length: 0x9fc00, type: 1 },
  { base: 0x9fc00, length: 0x60400, type: 2 },
  { base: 0x10_0000, length: (mebibytes - 1) * MiB, type: 1 },
];

/** A request for `kernel` in 64 MiB; `more` replaces. */
export const request = (kernel: Uint8Array, more: Partial<BootRequest> = {}): BootRequest => ({
  kernel,
  kernelName: "test-kernel",
  commandLine: "console=ttyS0 quiet",
  memoryMap: memoryMap(64),
  ...more,
});

export const view = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** What the plan puts at `address`: `length` bytes, those past the segment's bytes zero. */
export function memoryAt(plan: BootPlan, address: number, length: number): DataView {
  const segment = plan.segments.find((s) =>
    s.address <= address && address + length <= s.address + s.memoryLength
  );
  assert.ok(segment, `nothing is loaded at ${address.toString(16)}h`);
  const bytes = new Uint8Array(length);
  bytes.set(segment.bytes.subarray(address - segment.address, address - segment.address + length));
  return view(bytes);
}

/** The zero-terminated text at `address`. */
export function textAt(plan: BootPlan, address: number): string {
  let text = "";
  for (let at = address;; at++) {
    const byte = memoryAt(plan, at, 1).getUint8(0);
    if (byte === 0) return text;
    text += String.fromCharCode(byte);
  }
}

/** Segments lie in RAM and apart; the first instruction is one of the loaded bytes. */
export function assertSound(plan: BootPlan, map: readonly MemoryRange[]): void {
  const sorted = [...plan.segments].sort((a, b) => a.address - b.address);
  sorted.forEach((segment, i) => {
    const end = segment.address + segment.memoryLength;
    assert.ok(segment.bytes.length <= segment.memoryLength);
    assert.ok(Number.isInteger(segment.address) && segment.address >= 0x1000);
    assert.ok(
      map.some((r) => r.type === 1 && r.base <= segment.address && end <= r.base + r.length),
    );
    if (i > 0) {
      assert.ok(sorted[i - 1].address + sorted[i - 1].memoryLength <= segment.address, "overlap");
    }
  });
  const first = plan.entry.cs.base + plan.entry.registers.rip;
  if (plan.entry.mode === "long64") assert.ok(plan.entry.cr3 > 0);
  assert.ok(sorted.some((s) => s.address <= first && first < s.address + s.memoryLength));
}

interface ElfOptions {
  readonly bits?: 32 | 64;
  readonly entry?: number | bigint;
  readonly physicalAddress?: number;
  readonly virtualAddress?: number;
  readonly memoryLength?: number;
  readonly machine?: number;
  readonly type?: number;
  readonly code?: Uint8Array;
  /** Adds the PVH note with this entry. */
  readonly pvhEntry?: number;
}

/** File offset of the only loadable segment in what `elf` makes. */
export const ELF_CODE = 0x100;

/** An ELF executable of one loadable segment, 1 MiB by default. */
export function elf(options: ElfOptions = {}): Uint8Array {
  const wide = (options.bits ?? 64) === 64;
  const code = options.code ?? new Uint8Array([0xf4, 0xeb, 0xfd, 0x90]);
  const physical = options.physicalAddress ?? 0x10_0000;
  const bytes = new Uint8Array(ELF_CODE + code.length + 32);
  const d = view(bytes);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, 1, 1]);
  d.setUint16(16, options.type ?? 2, true);
  d.setUint16(18, options.machine ?? (wide ? 62 : 3), true);
  const word = (offset: number, value: number | bigint) => {
    if (wide) d.setBigUint64(offset, BigInt(value), true);
    else d.setUint32(offset, Number(value), true);
  };
  const headers = wide ? 64 : 52;
  const headerLength = wide ? 56 : 32;
  word(24, options.entry ?? physical);
  word(wide ? 32 : 28, headers);
  d.setUint16(wide ? 54 : 42, headerLength, true);
  d.setUint16(wide ? 56 : 44, options.pvhEntry === undefined ? 1 : 2, true);
  const width = wide ? 8 : 4;
  const program = (index: number, type: number, fields: number[]) => {
    const at = headers + index * headerLength;
    d.setUint32(at, type, true);
    fields.forEach((value, i) => word(at + (i + 1) * width, value));
  };
  const memory = options.memoryLength ?? code.length;
  program(0, 1, [ELF_CODE, options.virtualAddress ?? physical, physical, code.length, memory]);
  bytes.set(code, ELF_CODE);
  if (options.pvhEntry !== undefined) {
    const note = ELF_CODE + code.length;
    program(1, 4, [note, 0, 0, 20, 20]);
    d.setUint32(note, 4, true);
    d.setUint32(note + 4, 4, true);
    d.setUint32(note + 8, 18, true);
    bytes.set(new TextEncoder().encode("Xen\0"), note + 12);
    d.setUint32(note + 16, options.pvhEntry, true);
  }
  return bytes;
}

interface BzImageOptions {
  readonly version?: number;
  readonly payload?: Uint8Array;
  readonly loadFlags?: number;
  readonly xloadFlags?: number;
  readonly initSize?: number;
  readonly initrdAddressMax?: number;
  readonly commandLineMax?: number;
}

/** Bytes of boot sector and setup code in what `bzImage` makes. */
export const SETUP_LENGTH = 5 * 512;

/** A bzImage around `payload`, which begins 400h into the protected-mode part. */
export function bzImage(options: BzImageOptions = {}): Uint8Array {
  const payload = options.payload ?? new Uint8Array(16);
  const bytes = new Uint8Array(SETUP_LENGTH + 0x400 + payload.length);
  const d = view(bytes);
  d.setUint8(0x1f1, 4);
  d.setUint32(0x1f4, Math.ceil((bytes.length - SETUP_LENGTH) / 16), true);
  d.setUint16(0x1fe, 0xaa55, true);
  d.setUint16(0x200, 0x6aeb, true);
  bytes.set(new TextEncoder().encode("HdrS"), 0x202);
  d.setUint16(0x206, options.version ?? 0x20f, true);
  d.setUint16(0x20e, 0x100, true);
  bytes.set(new TextEncoder().encode("9.9.9-test (somebody@somewhere) #1"), 0x300);
  d.setUint8(0x211, options.loadFlags ?? 1);
  d.setUint32(0x214, 0x10_0000, true);
  d.setUint32(0x22c, options.initrdAddressMax ?? 0x7fff_ffff, true);
  d.setUint32(0x230, 0x20_0000, true);
  d.setUint16(0x236, options.xloadFlags ?? 1, true);
  d.setUint32(0x238, options.commandLineMax ?? 2047, true);
  if (options.payload !== undefined) {
    d.setUint32(0x248, 0x400, true);
    d.setUint32(0x24c, payload.length, true);
  }
  d.setUint32(0x258, 0x100_0000, true);
  d.setUint32(0x260, options.initSize ?? 0x10_0000, true);
  bytes.set(payload, SETUP_LENGTH + 0x400);
  return bytes;
}

/** A packed kernel as the kernel's build makes it: the unpacked length comes behind. */
export function withLength(packed: Uint8Array, length: number): Uint8Array {
  const bytes = new Uint8Array(packed.length + 4);
  bytes.set(packed);
  view(bytes).setUint32(packed.length, length, true);
  return bytes;
}

/** A Multiboot image: header at 0, `code` at 40h, loaded by addresses to 1 MiB. */
export function multiboot(flags: number, code = new Uint8Array([0xf4, 0xeb, 0xfd])): Uint8Array {
  const bytes = new Uint8Array(0x40 + code.length);
  const d = view(bytes);
  const base = 0x10_0000;
  const magic = 0x1bad_b002;
  [magic, flags, -(magic + flags), base, base, 0, base + 0x2000, base + 0x40].forEach((value, i) =>
    d.setUint32(i * 4, value, true)
  );
  bytes.set(code, 0x40);
  return bytes;
}
