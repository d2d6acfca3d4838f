/** What the host's disks fail with while the guest goes on: a line for the user, but not thousands. */

/** A guest may try again at once, for ever: a disk has one line in this time, ms. */
const PERIOD_MS = 10_000;

/** See above. */
export class DiskWarnings {
  readonly #tell: (line: string) => void;
  readonly #nowMs: () => number;
  readonly #disks = new Map<string, { untilMs: number; hidden: number }>();

  /** @param tell Has a line shown. */
  constructor(tell: (line: string) => void, nowMs: () => number) {
    this.#tell = tell;
    this.#nowMs = nowMs;
  }

  /** The image `path` has failed; the guest got an I/O error. */
  failed(path: string, { message }: Error): void {
    const now = this.#nowMs();
    const disk = this.#disks.get(path) ?? { untilMs: 0, hidden: 0 };
    this.#disks.set(path, disk);
    if (now < disk.untilMs) {
      disk.hidden++;
      return;
    }
    const more = disk.hidden === 0 ? "" : ` (and ${disk.hidden} times before)`;
    this.#tell(`${path}: ${message}; the guest gets an I/O error${more}`);
    disk.untilMs = now + PERIOD_MS;
    disk.hidden = 0;
  }
}
