/**
 * Text that grows at its end and is looked at there: in pieces, so that a look at a long history costs
 * as much as one at a short one (a single string would be copied whole by every look after a change).
 */

/** Characters a piece, about. */
const PIECE = 65536;

/** See above. Positions are UTF-16 code units since the first that was ever added. */
export class TextHistory {
  #pieces: string[] = [];
  #last = "";
  /** Where the first piece that is kept begins, and where `#last` does. */
  #start = 0;
  #before = 0;

  /** The position of the first character that is kept. */
  get start(): number {
    return this.#start;
  }

  /** The position after the last character. */
  get end(): number {
    return this.#before + this.#last.length;
  }

  /** Adds `text` at the end. */
  append(text: string): void {
    this.#last += text;
    if (this.#last.length < PIECE) return;
    this.#pieces.push(this.#last);
    this.#before += this.#last.length;
    this.#last = "";
  }

  /** The text from position `start` on, as far as it is kept. */
  from(start: number): string {
    if (start >= this.#before) return this.#last.slice(start - this.#before);
    let text = this.#last;
    let at = this.#before;
    for (let i = this.#pieces.length - 1; i >= 0 && at > start; i--) {
      text = this.#pieces[i] + text;
      at -= this.#pieces[i].length;
    }
    return start > at ? text.slice(start - at) : text;
  }

  /** Drops about `count` characters from the start; positions stay what they are. */
  drop(count: number): void {
    let dropped = 0;
    let pieces = 0;
    while (pieces < this.#pieces.length && dropped < count) {
      dropped += this.#pieces[pieces++].length;
    }
    this.#pieces = this.#pieces.slice(pieces);
    this.#start += dropped;
  }
}
