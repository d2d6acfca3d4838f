/** How the MC146818 writes time: BCD or binary digits, 12 or 24 hours, two digits of the year. */

import { fromBcd, toBcd } from "../../hv/core/bcd.ts";

/** A moment as the chip's registers have it, in numbers. */
export interface ClockFields {
  readonly second: number;
  readonly minute: number;
  /** 0 to 23. */
  readonly hour: number;
  /** 1 (Sunday) to 7. */
  readonly weekday: number;
  /** 1 to 31. */
  readonly day: number;
  /** 1 to 12. */
  readonly month: number;
  /** 0 to 99. */
  readonly year: number;
  /** Years divided by 100, from the RAM byte that PCs use for it. */
  readonly century: number;
}

/** Hours after noon in the 12-hour form. */
const PM = 0x80;

/** The form that register B asks for. */
export interface ClockForm {
  /** DM: binary instead of BCD. */
  readonly binary: boolean;
  /** 24 hours instead of 12. */
  readonly hours24: boolean;
}

/** A number below 100 in the chip's digits. */
export function encode(value: number, { binary }: ClockForm): number {
  return binary ? value : toBcd(value);
}

/** The reverse of `encode`; wrong BCD digits count for what they weigh. */
export function decode(value: number, { binary }: ClockForm): number {
  return binary ? value : fromBcd(value);
}

/** The hour (0 to 23) as register 4 has it. */
export function encodeHour(hour: number, form: ClockForm): number {
  if (form.hours24) return encode(hour, form);
  return encode(hour % 12 || 12, form) | (hour >= 12 ? PM : 0);
}

/** The reverse of `encodeHour`. */
export function decodeHour(value: number, form: ClockForm): number {
  if (form.hours24) return decode(value, form);
  return decode(value & ~PM, form) % 12 + (value & PM ? 12 : 0);
}

/** The fields of a time in ms since 1970. */
export function fieldsOf(ms: number): ClockFields {
  const date = new Date(ms);
  const year = date.getUTCFullYear();
  return {
    second: date.getUTCSeconds(),
    minute: date.getUTCMinutes(),
    hour: date.getUTCHours(),
    weekday: date.getUTCDay() + 1,
    day: date.getUTCDate(),
    month: date.getUTCMonth() + 1,
    year: year % 100,
    century: Math.floor(year / 100) % 100,
  };
}

/** The time of fields in ms since 1970; days and hours that there are not run over into the next. */
export function msOf(fields: ClockFields): number {
  const date = new Date(0);
  date.setUTCFullYear(fields.century * 100 + fields.year, fields.month - 1, fields.day);
  return date.setUTCHours(fields.hour, fields.minute, fields.second, 0);
}

/** What local time is ahead of UTC at `ms` (since 1970), in ms. */
export function localTimeOffsetMs(ms: number): number {
  return -new Date(ms).getTimezoneOffset() * 60_000;
}
