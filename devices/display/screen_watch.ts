/** Cheap news of the screen, for whoever looks many times a second. */

import { presentWindow } from "../vga/memory.ts";
import type { VgaView } from "./scanout.ts";

/** Remembers what the screen was made of when it was last asked. */
export class ScreenWatch {
  readonly #view: VgaView;
  #changes = -1;
  #seen = new Int32Array();

  /** @param view What to watch; `changed` looks at it, nothing else does. */
  constructor(view: VgaView) {
    this.#view = view;
  }

  /**
   * May the picture have changed since this was last asked? The first time: yes. Costs a comparison
   * of numbers, and of 32 to 128 KiB while the guest writes to the memory without an exit.
   */
  changed(): boolean {
    const { state, memory } = this.#view;
    const { changes, mapped } = state;
    let isNew = changes !== this.#changes;
    this.#changes = changes;
    if (!mapped) return isNew;
    const { memoryOffset, length } = presentWindow(state);
    const words = new Int32Array(memory.buffer, memory.byteOffset + memoryOffset, length / 4);
    if (this.#seen.length !== words.length) {
      this.#seen = new Int32Array(words.length);
      isNew = true;
    }
    const seen = this.#seen;
    let first = 0;
    while (first < words.length && words[first] === seen[first]) first++;
    if (first === words.length) return isNew;
    seen.set(words);
    return true;
  }
}
