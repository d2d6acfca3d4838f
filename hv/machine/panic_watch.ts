/** Looks on a console for text by which a guest says that it is dead, such as a kernel's panic. */

import type { GuestConsole } from "../handles/console.ts";

/** A panic's text may come in two parts: this many characters are looked at again. */
const OVERLAP = 1024;

/** See above. */
export class PanicWatch {
  readonly #console: GuestConsole;
  readonly #patterns: readonly RegExp[];
  #found: string | undefined;
  /** Characters that have been looked at, and where the guest's present life begins. */
  #lookedTo = 0;
  #from = 0;

  constructor(console: GuestConsole, patterns: readonly RegExp[]) {
    this.#console = console;
    this.#patterns = patterns;
  }

  /** What was found, for a person; undefined while there is nothing. */
  get found(): string | undefined {
    return this.#found;
  }

  /** Looks at what is new; true when this has found the first panic. */
  look(): boolean {
    if (this.#found !== undefined) return false;
    const news = this.#console.textFrom(Math.max(this.#lookedTo - OVERLAP, this.#from));
    this.#lookedTo = this.#console.textEnd;
    for (const pattern of this.#patterns) {
      const match = pattern.exec(news);
      if (match !== null) this.#found = `the guest died: ${match[0].trim()}`;
    }
    return this.#found !== undefined;
  }

  /** The guest has been reset: what its last life has said is no sign of this one's death. */
  reset(): void {
    this.#found = undefined;
    this.#from = this.#lookedTo = this.#console.textEnd;
  }
}
