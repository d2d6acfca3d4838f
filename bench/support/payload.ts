/**
 * The guests that are measured: ROMs of 64 KiB whose only code is a loop in 32-bit protected mode
 * (flat, CPL 0), ended by isa-debug-exit. Bytes with their instructions, as no assembler is at hand
 * on every host.
 */

const ROM_BYTES = 0x1_0000;
/** Physical address at which the processor sees the ROM below 1 MiB. */
const ROM_BASE = 0xf_0000;
const RESET_VECTOR = 0xfff0;
const GDT = 0x100;
const LOOP = 0x200;

/** Exit status of a guest that writes 10h to isa-debug-exit. */
export const EXIT_STATUS = 0x21;
/** `mov al, 10h; out F4h, al; hlt`. */
const END = [0xb0, 0x10, 0xe6, 0xf4, 0xf4];

/** What is done in each turn of the loop; EDX is 3FDh, EDI E0000000h, ESI the ROM's address. */
export const TURNS = {
  /** `out 80h, al` */
  portWrite: [0xe6, 0x80],
  /** `in al, 80h` */
  portRead: [0xe4, 0x80],
  /** `mov [edi], al`: nobody answers there, in the hole for PCI. */
  memoryWrite: [0x88, 0x07],
  /** `mov al, [edi]` */
  memoryRead: [0x8a, 0x07],
  /** `in al, dx`: the line status of COM1. */
  lineStatus: [0xec],
} as const;

function dword(value: number): number[] {
  return [value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, value >>> 24];
}

function rom(code: number[]): Uint8Array<ArrayBuffer> {
  const image = new Uint8Array(ROM_BYTES).fill(0xf4);
  const put = (at: number, ...bytes: number[]) => image.set(bytes, at);
  put(RESET_VECTOR, 0xe9, 0x0d, 0x00); // jmp 0000h
  put(
    0,
    ...[0x2e, 0x66, 0x0f, 0x01, 0x16, GDT & 0xff, GDT >> 8], // o32 lgdt [cs:GDT]
    ...[0x0f, 0x20, 0xc0], // mov eax, cr0
    ...[0x0c, 0x01], // or al, 1
    ...[0x0f, 0x22, 0xc0], // mov cr0, eax
    ...[0x66, 0xea, ...dword(ROM_BASE + LOOP), 0x08, 0x00], // jmp dword 8:LOOP
  );
  const gdt = GDT + 8;
  put(GDT, 0x17, 0x00, ...dword(ROM_BASE + gdt));
  put(gdt + 8, 0xff, 0xff, 0x00, 0x00, 0x00, 0x9b, 0xcf, 0x00); // code: 0-4 GiB
  put(gdt + 16, 0xff, 0xff, 0x00, 0x00, 0x00, 0x93, 0xcf, 0x00); // data: 0-4 GiB
  put(LOOP, ...code, ...END);
  return image;
}

const PROLOGUE = [
  ...[0x66, 0xb8, 0x10, 0x00], // mov ax, 10h
  ...[0x8e, 0xd8], // mov ds, ax
  ...[0x8e, 0xc0], // mov es, ax
  ...[0xba, ...dword(0x3fd)], // mov edx, 3FDh
  ...[0xbf, ...dword(0xe000_0000)], // mov edi, E0000000h
  ...[0xbe, ...dword(ROM_BASE)], // mov esi, F0000h
];

/** A guest that does `turn` `count` times and ends. */
export function loopRom(turn: readonly number[], count: number): Uint8Array<ArrayBuffer> {
  const loop = [...turn, 0x49]; // dec ecx
  const body = [...loop, 0x75, -(loop.length + 2) & 0xff]; // jnz
  return rom([...PROLOGUE, 0xb9, ...dword(count), ...(count === 0 ? [] : body)]);
}

/** What the software accelerators are measured on; EBX is 9000h, ESP 8000h, XMM1 1.0, ST(1) 1.0. */
export const WORK = {
  /** `add eax, ecx; xor edx, eax; rol edx, 5` */
  integer: { turn: [0x01, 0xc8, 0x31, 0xc2, 0xc1, 0xc2, 5], instructions: 5 },
  /** `mov eax, [ebx]; add eax, ecx; mov [ebx+64], eax` */
  memory: { turn: [0x8b, 0x03, 0x01, 0xc8, 0x89, 0x43, 64], instructions: 5 },
  /** `call` of `add eax, edx; ret`, which stands behind a jump over it */
  calls: { turn: [0xe8, 2, 0, 0, 0, 0xeb, 3, 0x01, 0xd0, 0xc3], instructions: 6 },
  /** `push eax; pop edx` */
  stack: { turn: [0x50, 0x5a], instructions: 4 },
  /** `imul eax, edx; cmp eax, esi; cmovb eax, esi` */
  conditions: { turn: [0x0f, 0xaf, 0xc2, 0x39, 0xf0, 0x0f, 0x42, 0xc6], instructions: 5 },
  /** `addsd xmm0, xmm1; mulsd xmm2, xmm1` */
  sse2: { turn: [0xf2, 0x0f, 0x58, 0xc1, 0xf2, 0x0f, 0x59, 0xd1], instructions: 4 },
  /** `fadd st, st(1); fmul st, st(1)` */
  x87: { turn: [0xd8, 0xc1, 0xd8, 0xc9], instructions: 4 },
} as const;

/** A guest that does the `turn` of one of `WORK` `count` times and ends. */
export function workRom(turn: readonly number[], count: number): Uint8Array<ArrayBuffer> {
  const loop = [...turn, 0x49, 0x75, -(turn.length + 3) & 0xff]; // dec ecx; jnz
  return rom([
    ...PROLOGUE,
    ...[0x8e, 0xd0], // mov ss, ax
    ...[0xbc, ...dword(0x8000)], // mov esp, 8000h
    ...[0xbb, ...dword(0x9000)], // mov ebx, 9000h
    ...[0xb8, ...dword(0x600), 0x0f, 0x22, 0xe0], // mov eax, OSFXSR | OSXMMEXCPT; mov cr4, eax
    ...[0xdb, 0xe3, 0xd9, 0xe8, 0xd9, 0xe8], // fninit; fld1; fld1
    ...[0x6a, 1, 0xf2, 0x0f, 0x2a, 0x0c, 0x24], // push 1; cvtsi2sd xmm1, [esp]
    ...[0xb9, ...dword(count)],
    ...(count === 0 ? [] : loop),
  ]);
}

/** A guest that writes `count` bytes to port 80h by `rep outsb` and ends; at most 60 KiB. */
export function stringRom(count: number): Uint8Array<ArrayBuffer> {
  return rom([
    ...PROLOGUE,
    ...[0xba, ...dword(0x80)], // mov edx, 80h
    ...[0xb9, ...dword(count)],
    ...[0xf3, 0x6e], // rep outsb
  ]);
}

/** A guest that ends with its first instructions, in real mode, at the reset vector. */
export function exitRom(): Uint8Array<ArrayBuffer> {
  const image = new Uint8Array(ROM_BYTES).fill(0xf4);
  image.set(END, RESET_VECTOR);
  return image;
}

/** A guest that halts with interrupts off, for ever. */
export function haltRom(): Uint8Array<ArrayBuffer> {
  const image = new Uint8Array(ROM_BYTES).fill(0xf4);
  image.set([0xfa, 0xf4, 0xeb, 0xfd], RESET_VECTOR); // cli; hlt; jmp $-1
  return image;
}
