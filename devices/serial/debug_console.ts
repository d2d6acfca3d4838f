/**
 * Debug console: a port to which firmware and payloads write characters, with no speed, no state and
 * no interrupt. Bochs and QEMU have it at E9h, SeaBIOS writes its log to 402h. A read gives E9h, by
 * which a payload finds out that it is there.
 */

import type { Device, IoHandler } from "../../hv/core/bus/device.ts";
import type { ByteSink } from "../../hv/core/state/stream.ts";

const PRESENT = 0xe9;

/** See above. Access width 1. */
export class DebugConsole implements Device, IoHandler {
  readonly #sink: ByteSink;

  /** @param sink Takes the characters; those that it has no room for are lost. */
  constructor(sink: ByteSink) {
    this.#sink = sink;
  }

  reset(): void {}

  read(_offset: number, _size: number): number {
    return PRESENT;
  }

  write(_offset: number, _size: number, value: number): void {
    this.#sink.write(value);
  }
}
