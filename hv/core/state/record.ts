/**
 * State declared once: a record is a named, versioned list of typed fields at computed offsets of
 * a byte buffer, and a class whose instances are views of such bytes.
 *
 * Because the bytes may lie in a SharedArrayBuffer, every thread can hold a view of the same state;
 * because nothing lies outside of them, a snapshot is those bytes. Offsets follow the C rules of
 * natural alignment, so a record also describes a C structure (see hv/accel/kvm).
 *
 * @example
 * ```ts
 * const CounterState = record("i8254.counter", 1, { reload: u16, startedNs: f64, gate: flag });
 * const counter = new CounterState(new SharedArrayBuffer(CounterState.byteLength));
 * counter.gate = true;
 * ```
 */

import { alignUp } from "../align.ts";
import { ByteRing } from "./byte_ring.ts";

/** A field held as a value: read and written through an accessor. */
export interface ScalarField<T> {
  readonly kind: "scalar";
  readonly size: number;
  readonly align: number;
  readonly get: (bytes: DataView, offset: number) => T;
  readonly set: (bytes: DataView, offset: number, value: T) => void;
}

/** A field that is a view of its own bytes, made once when the record's view is made. */
export interface ViewField<T> {
  readonly kind: "view";
  readonly size: number;
  readonly align: number;
  readonly make: (buffer: ArrayBufferLike, byteOffset: number) => T;
}

/** Any field. */
// deno-lint-ignore no-explicit-any
export type Field = ScalarField<any> | ViewField<any>;

/** The fields of a record, in the order of their bytes. */
export type Fields = { readonly [name: string]: Field };

type ScalarNames<F extends Fields> = {
  // deno-lint-ignore no-explicit-any
  [K in keyof F]: F[K] extends ScalarField<any> ? K : never;
}[keyof F];

/** What an instance of a record with the fields `F` looks like. */
export type RecordView<F extends Fields> =
  & { -readonly [K in ScalarNames<F>]: F[K] extends ScalarField<infer T> ? T : never }
  & {
    readonly [K in Exclude<keyof F, ScalarNames<F>>]: F[K] extends ViewField<infer T> ? T : never;
  };

/** A record's class, with its layout. */
export interface RecordType<F extends Fields = Fields> {
  /** Makes a view of the record at `byteOffset` (bytes, default 0) of `buffer`. */
  new (buffer: ArrayBufferLike, byteOffset?: number): RecordView<F>;
  /** What a snapshot calls it. */
  readonly recordName: string;
  /** Raised whenever the layout or the meaning of a field changes. */
  readonly version: number;
  /** Size in bytes, a multiple of `alignment`. */
  readonly byteLength: number;
  /** Alignment in bytes: the largest of its fields. */
  readonly alignment: number;
  /** Offset (bytes) and size (bytes) of every field, in order. */
  readonly layout: readonly { name: string; offset: number; size: number; field: Field }[];
}

const scalar = <T>(
  size: number,
  get: ScalarField<T>["get"],
  set: ScalarField<T>["set"],
): ScalarField<T> => ({ kind: "scalar", size, align: size, get, set });

/** Unsigned 8-bit integer. */
export const u8: ScalarField<number> = scalar(
  1,
  (d, o) => d.getUint8(o),
  (d, o, v) => d.setUint8(o, v),
);
/** Unsigned 16-bit integer. */
export const u16: ScalarField<number> = scalar(
  2,
  (d, o) => d.getUint16(o, true),
  (d, o, v) => d.setUint16(o, v, true),
);
/** Unsigned 32-bit integer. */
export const u32: ScalarField<number> = scalar(
  4,
  (d, o) => d.getUint32(o, true),
  (d, o, v) => d.setUint32(o, v, true),
);
/** Signed 32-bit integer. */
export const i32: ScalarField<number> = scalar(
  4,
  (d, o) => d.getInt32(o, true),
  (d, o, v) => d.setInt32(o, v, true),
);
/** Unsigned 64-bit integer, as a bigint: never on a hot path. */
export const u64: ScalarField<bigint> = scalar(
  8,
  (d, o) => d.getBigUint64(o, true),
  (d, o, v) => d.setBigUint64(o, v, true),
);
/** Double: times in ns and byte offsets, which outgrow 32 bits; exact to 2^53. */
export const f64: ScalarField<number> = scalar(
  8,
  (d, o) => d.getFloat64(o, true),
  (d, o, v) => d.setFloat64(o, v, true),
);
/** Boolean in one byte. */
export const flag: ScalarField<boolean> = scalar(
  1,
  (d, o) => d.getUint8(o) !== 0,
  (d, o, v) => d.setUint8(o, v ? 1 : 0),
);

/** `length` bytes, as a Uint8Array. */
export const bytes = (length: number): ViewField<Uint8Array> => ({
  kind: "view",
  size: length,
  align: 1,
  make: (buffer, offset) => new Uint8Array(buffer, offset, length),
});
/** `length` unsigned 16-bit integers, as a Uint16Array. */
export const u16s = (length: number): ViewField<Uint16Array> => ({
  kind: "view",
  size: length * 2,
  align: 2,
  make: (buffer, offset) => new Uint16Array(buffer, offset, length),
});
/** `length` unsigned 32-bit integers, as a Uint32Array. */
export const u32s = (length: number): ViewField<Uint32Array> => ({
  kind: "view",
  size: length * 4,
  align: 4,
  make: (buffer, offset) => new Uint32Array(buffer, offset, length),
});
/** `length` unsigned 64-bit integers, as a BigUint64Array. */
export const u64s = (length: number): ViewField<BigUint64Array> => ({
  kind: "view",
  size: length * 8,
  align: 8,
  make: (buffer, offset) => new BigUint64Array(buffer, offset, length),
});
/** `length` 32-bit words for `Atomics`, including wait and notify. */
export const words = (length: number): ViewField<Int32Array> => ({
  kind: "view",
  size: length * 4,
  align: 4,
  make: (buffer, offset) => new Int32Array(buffer, offset, length),
});
/** A FIFO of `capacity` bytes (at most 65535). */
export const ring = (capacity: number): ViewField<ByteRing> => ({
  kind: "view",
  size: ByteRing.byteLength(capacity),
  align: 2,
  make: (buffer, offset) => new ByteRing(buffer, offset, capacity),
});
/** A record within a record. */
export const nested = <F extends Fields>(type: RecordType<F>): ViewField<RecordView<F>> => ({
  kind: "view",
  size: type.byteLength,
  align: type.alignment,
  make: (buffer, offset) => new type(buffer, offset),
});
/** `count` records of one type, one after the other. */
export const list = <F extends Fields>(
  type: RecordType<F>,
  count: number,
): ViewField<readonly RecordView<F>[]> => ({
  kind: "view",
  size: type.byteLength * count,
  align: type.alignment,
  make: (buffer, offset) =>
    Array.from({ length: count }, (_, i) => new type(buffer, offset + i * type.byteLength)),
});

const DATA = Symbol("record.data");
interface WithData {
  [DATA]: DataView;
}

/** The bytes of a record's view, for copying, clearing and comparing it as a whole. */
export function bytesOf(view: object): Uint8Array {
  const data = (view as WithData)[DATA];
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/**
 * Declares a record.
 *
 * @param name What a snapshot calls it, e.g. `"uart16550"`.
 * @param version Raised whenever the layout or the meaning of a field changes.
 * @param fields The fields in the order of their bytes.
 */
export function record<F extends Fields>(
  name: string,
  version: number,
  fields: F,
): RecordType<F> {
  const layout: RecordType["layout"][number][] = [];
  let end = 0;
  let alignment = 1;
  for (const [fieldName, field] of Object.entries(fields)) {
    const offset = alignUp(end, field.align);
    layout.push({ name: fieldName, offset, size: field.size, field });
    end = offset + field.size;
    alignment = Math.max(alignment, field.align);
  }
  const byteLength = alignUp(end, alignment);

  class View {
    static readonly recordName = name;
    static readonly version = version;
    static readonly byteLength = byteLength;
    static readonly alignment = alignment;
    static readonly layout = layout;
    readonly [DATA]: DataView;

    constructor(buffer: ArrayBufferLike, byteOffset = 0) {
      this[DATA] = new DataView(buffer, byteOffset, byteLength);
      for (const { name, offset, field } of layout) {
        if (field.kind === "view") {
          Object.defineProperty(this, name, {
            value: field.make(buffer, byteOffset + offset),
            enumerable: true,
          });
        }
      }
    }
  }
  for (const { name, offset, field } of layout) {
    if (field.kind !== "scalar") continue;
    const { get, set } = field;
    Object.defineProperty(View.prototype, name, {
      get(this: View) {
        return get(this[DATA], offset);
      },
      set(this: View, value) {
        set(this[DATA], offset, value);
      },
      enumerable: true,
    });
  }
  return View as unknown as RecordType<F>;
}
