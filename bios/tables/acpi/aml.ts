/**
 * A small emitter of AML, the byte code of ACPI's definition blocks: every function gives the bytes of
 * one term, so that nested calls read like the ASL they stand for.
 *
 * Reference: ACPI 6.4, chapter 20 "AML specification". Paths are written as in ASL (`\_SB.PCI0`), and
 * name segments are padded with underscores. A name that cannot be one throws: the board's mistake.
 */

/** Bytes of a term. */
export type Aml = readonly number[];

const ZERO_OP = 0x00;
const ONE_OP = 0x01;
const NAME_OP = 0x08;
const BYTE_PREFIX = 0x0a;
const WORD_PREFIX = 0x0b;
const DWORD_PREFIX = 0x0c;
const STRING_PREFIX = 0x0d;
const SCOPE_OP = 0x10;
const BUFFER_OP = 0x11;
const PACKAGE_OP = 0x12;
const METHOD_OP = 0x14;
const DUAL_NAME_PREFIX = 0x2e;
const MULTI_NAME_PREFIX = 0x2f;
const EXT_OP = 0x5b;
const OP_REGION_OP = 0x80;
const FIELD_OP = 0x81;
const DEVICE_OP = 0x82;
const PROCESSOR_OP = 0x83;
const ROOT_CHAR = 0x5c;
const PARENT_CHAR = 0x5e;
const LOCAL0_OP = 0x60;
const ARG0_OP = 0x68;
const STORE_OP = 0x70;
const SHIFT_LEFT_OP = 0x79;
const AND_OP = 0x7b;
const OR_OP = 0x7d;
const NOTIFY_OP = 0x86;
const CREATE_DWORD_FIELD_OP = 0x8a;
const IF_OP = 0xa0;
const RETURN_OP = 0xa4;

const ascii = (text: string): number[] => Array.from(text, (char) => char.charCodeAt(0));
const word = (value: number): number[] => [value & 0xff, (value >>> 8) & 0xff];
const dword = (value: number): number[] => [...word(value), ...word(value >>> 16)];

/** A name segment (20.2.2): 4 characters, padded with `_`. */
function segment(name: string): number[] {
  if (!/^[A-Z_][A-Z0-9_]{0,3}$/.test(name)) {
    throw new Error(`Cannot make an AML name of "${name}": 1 to 4 of A-Z, 0-9, _ are possible`);
  }
  return ascii(name.padEnd(4, "_"));
}

/** NameString: absolute (`\A.B`), relative to a parent (`^A`), or plain. */
export function path(name: string): Aml {
  const [, prefix, rest] = /^(\\|\^*)(.*)$/.exec(name)!;
  const start = Array.from(prefix, (char) => char === "\\" ? ROOT_CHAR : PARENT_CHAR);
  const segments = rest === "" ? [] : rest.split(".").map(segment);
  switch (segments.length) {
    case 0:
      return [...start, ZERO_OP];
    case 1:
      return [...start, ...segments[0]];
    case 2:
      return [...start, DUAL_NAME_PREFIX, ...segments.flat()];
    default:
      return [...start, MULTI_NAME_PREFIX, segments.length, ...segments.flat()];
  }
}

/** PkgLength (20.2.4) counts its own bytes too; the first holds 6 bits alone or 4 before others. */
function withLength(body: Aml): number[] {
  if (body.length < 0x3f) return [body.length + 1, ...body];
  for (let extra = 1; extra <= 3; extra++) {
    const length = body.length + 1 + extra;
    if (length >= 2 ** (4 + 8 * extra)) continue;
    const rest = Array.from({ length: extra }, (_, i) => (length >>> (4 + 8 * i)) & 0xff);
    return [(extra << 6) | (length & 0x0f), ...rest, ...body];
  }
  throw new Error(`Cannot encode an AML package of ${body.length} bytes: 2^28 is the limit`);
}

/** An integer constant, as short as it can be; 0 to 2^32 - 1. */
export function integer(value: number): Aml {
  if (value === 0) return [ZERO_OP];
  if (value === 1) return [ONE_OP];
  if (value <= 0xff) return [BYTE_PREFIX, value];
  if (value <= 0xffff) return [WORD_PREFIX, ...word(value)];
  return [DWORD_PREFIX, ...dword(value)];
}

/** A string constant of ASCII characters. */
export const string = (text: string): Aml => [STRING_PREFIX, ...ascii(text), 0];

/** EISAID("PNP0A03"): three letters of 5 bits and four hexadecimal digits, big-endian (19.3.4). */
export function eisaId(id: string): Aml {
  if (!/^[A-Z]{3}[0-9A-F]{4}$/.test(id)) {
    throw new Error(`Cannot make an EISA ID of "${id}": three letters and four digits are needed`);
  }
  const [a, b, c] = ascii(id).map((code) => code - 0x40);
  const vendor = (a << 10) | (b << 5) | c;
  const product = parseInt(id.slice(3), 16);
  return [DWORD_PREFIX, vendor >> 8, vendor & 0xff, product >> 8, product & 0xff];
}

/** Package() {…} of up to 255 elements. */
export const packageOf = (...elements: Aml[]): Aml => [
  PACKAGE_OP,
  ...withLength([elements.length, ...elements.flat()]),
];

/** Buffer() {…}. */
export const buffer = (bytes: Aml): Aml => [
  BUFFER_OP,
  ...withLength([...integer(bytes.length), ...bytes]),
];

/** Name (`name`, value). */
export const named = (name: string, value: Aml): Aml => [NAME_OP, ...path(name), ...value];

/** Scope (`name`) {…}. */
export const scope = (name: string, ...terms: Aml[]): Aml => [
  SCOPE_OP,
  ...withLength([...path(name), ...terms.flat()]),
];

/** Device (`name`) {…}. */
export const device = (name: string, ...terms: Aml[]): Aml => [
  EXT_OP,
  DEVICE_OP,
  ...withLength([...path(name), ...terms.flat()]),
];

/** Method (`name`, `args`, Serialized or not) {…}. */
export const method = (
  name: string,
  { args = 0, serialized = false }: { args?: number; serialized?: boolean },
  ...terms: Aml[]
): Aml => [
  METHOD_OP,
  ...withLength([...path(name), args | (serialized ? 8 : 0), ...terms.flat()]),
];

/** Processor (`name`, id, 0, 0) {}: no processor block, so no C2, C3 or throttling. */
export const processor = (name: string, id: number): Aml => [
  EXT_OP,
  PROCESSOR_OP,
  ...withLength([...path(name), id, ...dword(0), 0]),
];

const operationRegion = (space: number) => (name: string, offset: number, length: number): Aml => [
  EXT_OP,
  OP_REGION_OP,
  ...path(name),
  space,
  ...integer(offset),
  ...integer(length),
];
/** OperationRegion (`name`, SystemIO, port, length). */
export const systemIoRegion: (name: string, port: number, length: number) => Aml = operationRegion(
  0x01,
);
/** OperationRegion (`name`, PCI_Config, offset, length). */
export const pciConfigRegion: (name: string, offset: number, length: number) => Aml =
  operationRegion(0x02);

const fields = (flags: number, bits: number) => (region: string, names: readonly string[]): Aml => [
  EXT_OP,
  FIELD_OP,
  ...withLength([...path(region), flags, ...names.flatMap((name) => [...segment(name), bits])]),
];
/** Field (`region`, ByteAcc, NoLock, Preserve) {`names`, 8 bits each}. */
export const byteFields: (region: string, names: readonly string[]) => Aml = fields(0x01, 8);
/** Field (`region`, DWordAcc, NoLock, WriteAsZeros) {`names`, 32 bits each}. */
export const dwordFields: (region: string, names: readonly string[]) => Aml = fields(0x43, 32);

/** CreateDWordField (source, `offset`, `name`). */
export const dwordField = (source: Aml, offset: number, name: string): Aml => [
  CREATE_DWORD_FIELD_OP,
  ...source,
  ...integer(offset),
  ...path(name),
];

/** ArgN. */
export const arg = (n: number): Aml => [ARG0_OP + n];
/** LocalN. */
export const local = (n: number): Aml => [LOCAL0_OP + n];
/** Store (value, target). */
export const store = (value: Aml, target: Aml): Aml => [STORE_OP, ...value, ...target];
/** And (a, b), its value only. */
export const and = (a: Aml, b: Aml): Aml => [AND_OP, ...a, ...b, ZERO_OP];
/** Or (a, b, target). */
export const or = (a: Aml, b: Aml, target: Aml): Aml => [OR_OP, ...a, ...b, ...target];
/** ShiftLeft (value, bits), its value only. */
export const shiftLeft = (value: Aml, bits: Aml): Aml => [
  SHIFT_LEFT_OP,
  ...value,
  ...bits,
  ZERO_OP,
];
/** Notify (object, value). */
export const notify = (object: Aml, value: Aml): Aml => [NOTIFY_OP, ...object, ...value];
/** The value of a method with these arguments, as many as it takes. */
export const call = (method: string, ...args: Aml[]): Aml => [...path(method), ...args.flat()];
/** Return (value). */
export const returns = (value: Aml): Aml => [RETURN_OP, ...value];
/** If (condition) {…}. */
export const when = (condition: Aml, ...terms: Aml[]): Aml => [
  IF_OP,
  ...withLength([...condition, ...terms.flat()]),
];
