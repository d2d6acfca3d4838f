/**
 * Private bytes that are copied to and from guest memory at the speed of the C library.
 *
 * Guest memory is shared, and V8 copies between shared and other memory word by word, or byte by byte
 * where the two do not lie alike within words: 20 µs for 64 KiB, and 100 ns before the first byte, for a
 * view and a call. WebAssembly's `memory.copy` between two memories is `memmove`: 5 µs, and 10 ns.
 *
 * Reference: WebAssembly 3.0, 4.6.8 "memory.copy", 5.5 "Modules".
 */

const PAGE_BYTES = 65_536;
const WASM_VERSION_1 = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
const Section = { types: 1, imports: 2, functions: 3, exports: 7, code: 10 } as const;
const I32 = 0x7f;
const F64 = 0x7c;
const MEMORY = 2;
const LOCAL_GET = 0x20;
const I64_TRUNC_F64_U = 0xb1;
const MEMORY_COPY = [0xfc, 10];
const END = 0x0b;
/** Limits of a memory: with a largest size, shared, with 64-bit addresses. */
const Limits = { max: 1, shared: 2, wide: 4 } as const;
/** Numbers of the two memories within the module. */
const GUEST = 0;
const PRIVATE = 1;

/** Copies `length` bytes between offsets of the two memories, which have so many there. */
export interface Copier {
  toGuest(guestOffset: number, privateOffset: number, length: number): void;
  fromGuest(guestOffset: number, privateOffset: number, length: number): void;
}

/** The memories of copy buffers, by their bytes. */
const memories = new WeakMap<ArrayBufferLike, WebAssembly.Memory>();

/** So many zeros, to be used as any bytes are; `GuestMemory` copies them to RAM, and RAM to them, fast. */
export function copyBuffer(bytes: number): Uint8Array {
  const memory = new WebAssembly.Memory({ initial: Math.ceil(bytes / PAGE_BYTES) });
  memories.set(memory.buffer, memory);
  return new Uint8Array(memory.buffer, 0, bytes);
}

/** What copies between guest memory and these bytes; undefined if they are of no copy buffer. */
export function copierFor(
  guest: WebAssembly.Memory,
  bytes: ArrayBufferLike,
): Copier | undefined {
  const memory = memories.get(bytes);
  if (memory === undefined) return undefined;
  const { exports } = new WebAssembly.Instance(moduleFor(guest), { "": { g: guest, p: memory } });
  return exports as unknown as Copier;
}

/** The module that copies between a memory like this one and private ones. */
function moduleFor({ buffer: { byteLength } }: WebAssembly.Memory): WebAssembly.Module {
  const isWide = byteLength > 2 ** 32;
  const pages = leb(byteLength / PAGE_BYTES);
  const flags = Limits.max | Limits.shared | (isWide ? Limits.wide : 0);
  const guestOffset = [LOCAL_GET, 0, ...(isWide ? [I64_TRUNC_F64_U] : [])];
  const privateOffset = [LOCAL_GET, 1];
  const length = [LOCAL_GET, 2];
  return new WebAssembly.Module(Uint8Array.from([
    ...WASM_VERSION_1,
    ...section(Section.types, [[0x60, 3, isWide ? F64 : I32, I32, I32, 0]]),
    ...section(Section.imports, [
      [...name(""), ...name("g"), MEMORY, flags, ...pages, ...pages],
      [...name(""), ...name("p"), MEMORY, 0, 1],
    ]),
    ...section(Section.functions, [[0], [0]]),
    ...section(Section.exports, [[...name("toGuest"), 0, 0], [...name("fromGuest"), 0, 1]]),
    ...section(Section.code, [
      sized([0, ...guestOffset, ...privateOffset, ...length, ...MEMORY_COPY, GUEST, PRIVATE, END]),
      sized([0, ...privateOffset, ...guestOffset, ...length, ...MEMORY_COPY, PRIVATE, GUEST, END]),
    ]),
  ]));
}

const section = (id: number, items: readonly number[][]): number[] => [
  id,
  ...sized([...leb(items.length), ...items.flat()]),
];

const sized = (bytes: readonly number[]): number[] => [...leb(bytes.length), ...bytes];

const name = (text: string): number[] => sized([...new TextEncoder().encode(text)]);

/** An unsigned number in LEB128. */
function leb(value: number): number[] {
  return value < 128 ? [value] : [value & 127 | 128, ...leb(value >>> 7)];
}
