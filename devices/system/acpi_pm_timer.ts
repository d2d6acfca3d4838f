/**
 * The ACPI power management timer: a counter at 3.579545 MHz that follows guest time, and whose top
 * bit, whenever it changes, is an event.
 *
 * References: ACPI 6.4, 4.8.3.3; 82371AB (290562-001), PMTMR and PMSTS (TMROF_STS).
 */

/** Rate of the counter, Hz: the PC's 14.31818 MHz crystal divided by 4. */
export const PM_TIMER_HZ = 3_579_545;

/** Counts since guest time 0 at guest time `ns`; not wrapped. */
export const pmTicks = (ns: number): number => Math.floor(ns * (PM_TIMER_HZ / 1e9));

/** A guest time in ns at which `ticks` counts are reached or nearly so. */
export const pmDeadlineNs = (ticks: number): number => Math.ceil(ticks / (PM_TIMER_HZ / 1e9));

/** The next count after `ticks` at which the top bit of a counter of `bits` bits changes. */
export function nextOverflow(ticks: number, bits: 24 | 32): number {
  const half = 2 ** (bits - 1);
  return (Math.floor(ticks / half) + 1) * half;
}
