/** The guest's display, from the host's side: its text, pictures of it, waiting for text on it. */

import { renderFrame } from "../../devices/display/frame.ts";
import { encodePng } from "../../devices/display/png.ts";
import type { VgaView } from "../../devices/display/scanout.ts";
import { ScreenWatch } from "../../devices/display/screen_watch.ts";
import { textLines, type TextScreen, textScreen } from "../../devices/display/text_screen.ts";
import { searchFor, type Waiter, type WaitOptions } from "./waiter.ts";

/** How often a wait looks at the screen, ms: nobody tells when the guest has drawn something. */
const POLL_MS = 25;

/** The guest's display: its text, pictures of it, waiting for text on it. */
export class Screen {
  readonly #view: VgaView;
  readonly #waiter: Waiter;

  /** Made by the machine. */
  constructor(view: VgaView, waiter: Waiter) {
    this.#view = view;
    this.#waiter = waiter;
  }

  /** The characters, attributes, colours and cursor now; undefined in a graphics mode. */
  frame(): TextScreen | undefined {
    return textScreen(this.#view);
  }

  /** A function that tells cheaply whether the picture may have changed since it was last called. */
  watch(): () => boolean {
    const watch = new ScreenWatch(this.#view);
    return () => watch.changed();
  }

  /** The text now: lines without trailing blanks, without empty lines at the end. */
  text(): string {
    const frame = this.frame();
    return frame === undefined ? "" : textLines(frame).join("\n").trimEnd();
  }

  /** A picture of the screen now, as a PNG file. */
  async png(): Promise<Uint8Array> {
    return await encodePng(renderFrame(this.#view));
  }

  /**
   * Waits until the text matches; gives what matched.
   *
   * @throws {WaitError} When time is up, the signal aborts, or the guest ends.
   */
  waitFor(pattern: RegExp | string, options: WaitOptions = {}): Promise<RegExpExecArray> {
    const regexp = searchFor(pattern);
    const changed = this.watch();
    return this.#waiter.until(
      () => changed() ? regexp.exec(this.text()) ?? undefined : undefined,
      `the screen to show ${pattern}`,
      options,
      POLL_MS,
    );
  }
}
