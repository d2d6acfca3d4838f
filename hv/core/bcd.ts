/** Binary-coded decimal numbers of up to four digits, as timers and clocks have them. */

/** A number of 0 to 9999 as BCD. */
export const toBcd = (value: number): number =>
  (Math.floor(value / 1000) % 10 << 12) | (Math.floor(value / 100) % 10 << 8) |
  (Math.floor(value / 10) % 10 << 4) | (value % 10);

/** The reverse; digits above 9 count for what they weigh. */
export const fromBcd = (value: number): number =>
  (value >> 12) * 1000 + ((value >> 8) & 15) * 100 + ((value >> 4) & 15) * 10 + (value & 15);
