/** A thread of its own for tests of what threads share: it does one job after the other. */

/** See above. The worker's module answers each message with one. */
export class TestThread<Job, Answer> implements Disposable {
  readonly #worker: Worker;

  /** @param module `new URL("./…_worker.ts", import.meta.url)` */
  constructor(module: URL) {
    this.#worker = new Worker(module, { type: "module" });
  }

  /** Has the thread do `job`; an error there is one here. */
  do(job: Job): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#worker.onmessage = ({ data }) => resolve(data);
      this.#worker.onerror = (event) => reject(new Error(event.message));
      this.#worker.postMessage(job);
    });
  }

  [Symbol.dispose](): void {
    this.#worker.terminate();
  }
}
