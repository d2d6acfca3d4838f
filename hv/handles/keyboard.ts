/** The guest's keyboard, from the host's side: keys pressed at a pace that the guest can follow. */

import { type KeyCode, KEYS } from "../../devices/input/keymap.ts";
import { pressesOf } from "../../devices/input/keymap_us.ts";
import { nearestName } from "../core/edit_distance.ts";
import type { Lock } from "../core/state/lock.ts";
import { UsageError } from "../errors.ts";
import type { Waiter, WaitOptions } from "./waiter.ts";

/** Pause after each key has been taken by the guest, ms. */
const PACE_MS = 8;
const POLL_MS = 4;

/** The controller that keys go to. */
export interface KeyboardPort {
  readonly lock: Lock;
  /** A key goes down or up, under the lock; false when the guest has switched the keyboard off. */
  key(code: KeyCode, down: boolean): boolean;
  /** Has the guest fetched all keys? */
  readonly idle: boolean;
}

/** How to type. */
export interface TypeOptions extends WaitOptions {
  /** Pause after each key, ms; default 8. */
  readonly paceMs?: number;
}

/** The guest's keyboard. Keys are pressed at a pace that the guest can follow. */
export class Keyboard {
  readonly #port: KeyboardPort;
  readonly #waiter: Waiter;

  /** Made by the machine. */
  constructor(port: KeyboardPort, waiter: Waiter) {
    this.#port = port;
    this.#waiter = waiter;
  }

  /**
   * Presses or releases a key at once, by its name as in QEMU's `sendkey`: `a`, `ret`, `f1`…
   *
   * @returns False when the guest does not hear of it: its keyboard is off, or it fetches nothing.
   */
  key(code: KeyCode, down: boolean): boolean {
    return this.#port.lock.with(() => this.#port.key(code, down));
  }

  /**
   * Presses keys together and releases them, e.g. `press("ctrl", "alt", "delete")`.
   *
   * @throws {UsageError} When there is no such key.
   * @throws {WaitError} When the guest does not fetch them, the signal aborts, or the guest ends.
   */
  async press(...keys: KeyCode[]): Promise<void> {
    const unknown = keys.find((key) => !Object.hasOwn(KEYS, key));
    if (unknown !== undefined) {
      const nearest = nearestName(unknown, Object.keys(KEYS));
      const hint = nearest === undefined ? "names are as in QEMU's sendkey" : `"${nearest}"?`;
      throw new UsageError(`Cannot press "${unknown}": there is no such key; ${hint}`);
    }
    await this.#stroke(keys, {});
  }

  /**
   * Types text on a US keyboard; `\n` is Enter, `\t` Tab, `\x1b` Escape, `\x03` Ctrl-C.
   *
   * @throws {UsageError} When the keyboard has no key for a character.
   * @throws {WaitError} When the guest does not fetch the keys, the signal aborts, or the guest ends.
   */
  async type(text: string, options: TypeOptions = {}): Promise<void> {
    const { presses, unknown } = pressesOf(text);
    if (unknown.length > 0) {
      throw new UsageError(`Cannot type "${unknown.join("")}": a US keyboard has no such key`);
    }
    for (const keys of presses) await this.#stroke(keys, options);
  }

  async #stroke(keys: readonly KeyCode[], options: TypeOptions): Promise<void> {
    const what = `the guest to fetch the key ${keys.join("+")}`;
    // A keyboard that is off, as while a driver sets it up, hears nothing: press again later.
    await this.#wait(() => this.key(keys[0], true), what, options);
    for (const key of keys.slice(1)) this.key(key, true);
    for (const key of [...keys].reverse()) this.key(key, false);
    await this.#wait(() => this.#port.idle, what, options);
    await new Promise((resolve) => setTimeout(resolve, options.paceMs ?? PACE_MS));
  }

  async #wait(condition: () => boolean, what: string, options: TypeOptions): Promise<void> {
    await this.#waiter.until(() => condition() || undefined, what, options, POLL_MS);
  }
}
