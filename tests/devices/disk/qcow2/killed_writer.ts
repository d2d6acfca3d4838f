/**
 * A process that writes to a qcow2 image and kills itself at a write of its file:
 * `killed_writer.ts IMAGE SEED WRITES`. It says on its standard output what has been flushed.
 */

import { readHeader } from "../../../../devices/disk/qcow2/header.ts";
import { GrowingFile } from "../../../../devices/disk/qcow2/growing_file.ts";
import { Qcow2Image } from "../../../../devices/disk/qcow2/qcow2_image.ts";
import { FileHandle } from "../../../../hv/sys/file/file.ts";
import { Random } from "../../../support/random.ts";

/** What the process does, one after the other, for whoever wants to know what should be there. */
export function* work(
  seed: number,
  sizeBytes: number,
): Generator<{ offset: number; bytes: Uint8Array } | "flush"> {
  const random = new Random(seed);
  for (let version = 1;; version++) {
    if (random.chance(25)) {
      yield "flush";
      continue;
    }
    const length = 512 * (1 + random.below(200));
    const offset = 512 * random.below((sizeBytes - length) / 512 + 1);
    const bytes = new Uint8Array(length).fill(version);
    if (random.chance(20)) bytes.fill(0);
    yield { offset, bytes };
  }
}

/** Lets the process end, as by the host's out-of-memory killer, before one of its writes. */
class DeadlyFile extends GrowingFile {
  left: number;

  constructor(file: FileHandle, writes: number) {
    super(file);
    this.left = writes;
  }
  override write(from: Uint8Array, position: number): void {
    if (this.left-- === 0) Deno.kill(Deno.pid, "SIGKILL");
    super.write(from, position);
  }
}

if (import.meta.main) {
  const [path, seed, writes] = Deno.args;
  const handle = FileHandle.open(path, { write: true });
  const file = new DeadlyFile(handle, Number(writes));
  const header = readHeader(file);
  const image = new Qcow2Image(file, header, header.sizeBytes);
  let flushes = 0;
  for (const step of work(Number(seed), header.sizeBytes)) {
    if (step === "flush") {
      image.flush();
      Deno.stdout.writeSync(new TextEncoder().encode(`${++flushes}\n`));
    } else if (step.bytes[0] === 0) {
      image.writeZeroes(step.offset, step.bytes.length, true);
    } else {
      image.write(step.offset, step.bytes);
    }
  }
}
