/**
 * Resource descriptors for `_CRS` and `_PRS`.
 *
 * Reference: ACPI 6.4, 6.4 "Resource data types for ACPI".
 */

import { type Aml, buffer } from "./aml.ts";

const word = (value: number): number[] => [value & 0xff, (value >>> 8) & 0xff];
const dword = (value: number): number[] => [...word(value), ...word(value >>> 16)];
const qword = (value: number): number[] => [...dword(value), ...dword(value / 2 ** 32)];

/** ResourceTemplate () {…}; a checksum of 0 says that it need not be checked. */
export const resources = (...descriptors: Aml[]): Aml => buffer([...descriptors.flat(), 0x79, 0]);

/** IO (Decode16, …): `length` (1-255) ports from `port`. */
export const io = (port: number, length: number): Aml => [
  0x47,
  1,
  ...word(port),
  ...word(port),
  1,
  length,
];

/** IRQNoFlags () {…}: edge, active high, exclusive, as ISA has it. */
export const isaIrq = (irq: number): Aml => [0x22, ...word(1 << irq)];

/** DMA (Compatibility, NotBusMaster, Transfer8) {…}. */
export const isaDma = (channel: number): Aml => [0x2a, 1 << channel, 0];

/** Offset of the first interrupt number within `levelInterrupts`, bytes. */
export const INTERRUPT_NUMBER_OFFSET = 5;

/** Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) {…}. */
export const levelInterrupts = (gsis: readonly number[]): Aml => [
  0x89,
  ...word(2 + gsis.length * 4),
  0x09,
  gsis.length,
  ...gsis.flatMap(dword),
];

/** Memory32Fixed (ReadWrite, …). */
export const memory32 = (address: number, length: number): Aml => [
  0x86,
  ...word(9),
  1,
  ...dword(address),
  ...dword(length),
];

/** Address space descriptors of a bridge: it decodes positively and passes the range on as it is. */
const PRODUCER_FIXED = 0x0c;
const SPACE_MEMORY = 0;
const SPACE_IO = 1;
const SPACE_BUS = 2;
/** Memory: read-write, cacheable or not. IO: the whole range. */
const MEMORY_WRITABLE = 0x01;
const MEMORY_CACHEABLE = 0x02;
const IO_ENTIRE_RANGE = 0x03;

const addressSpace = (
  tag: number,
  put: (value: number) => number[],
  { type, flags, first, last }: { type: number; flags: number; first: number; last: number },
): Aml => {
  const values = [0, first, last, 0, last - first + 1].flatMap(put);
  return [tag, ...word(3 + values.length), type, PRODUCER_FIXED, flags, ...values];
};

/** WordBusNumber: buses `first` to `last`. */
export const busRange = (first: number, last: number): Aml =>
  addressSpace(0x88, word, { type: SPACE_BUS, flags: 0, first, last });

/** WordIO: ports `first` to `last` behind the bridge. */
export const ioRange = (first: number, last: number): Aml =>
  addressSpace(0x88, word, { type: SPACE_IO, flags: IO_ENTIRE_RANGE, first, last });

/** DWordMemory: addresses below 4 GiB behind the bridge. */
export const memoryRange = (
  first: number,
  last: number,
  { cacheable = false }: { cacheable?: boolean } = {},
): Aml =>
  addressSpace(0x87, dword, {
    type: SPACE_MEMORY,
    flags: MEMORY_WRITABLE | (cacheable ? MEMORY_CACHEABLE : 0),
    first,
    last,
  });

/** QWordMemory: addresses anywhere below 2^53 behind the bridge. */
export const memoryRange64 = (first: number, last: number): Aml =>
  addressSpace(0x8a, qword, {
    type: SPACE_MEMORY,
    flags: MEMORY_WRITABLE | MEMORY_CACHEABLE,
    first,
    last,
  });
