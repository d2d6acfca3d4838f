/** Values of options that have parts. */

/** The parts of `value` between commas; a comma that belongs to one is written twice. */
export function splitAtCommas(value: string): string[] {
  return value.replaceAll(",,", "\0").split(",").map((part) => part.replaceAll("\0", ","));
}
