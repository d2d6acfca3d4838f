/** Lines for the user on the standard error, which may be closed or full: that is no reason to fail. */

/** Writes a line, or several. */
export function say(text: string): void {
  try {
    console.error(text);
  } catch {
    // Nobody can be told.
  }
}
