/**
 * Crashes of the host in the middle of writing to an image: a file that records everything, from which
 * the states are made that a crash at any moment may leave.
 *
 * What was written before the last `sync` is there. Of what came later, a crash keeps any part:
 * whole writes, or single sectors of 512 bytes; each sector has one of its versions.
 */

import assert from "node:assert/strict";
import type { DiskImage } from "../../../../devices/disk/disk_image.ts";
import type { ImageFile } from "../../../../devices/disk/image_file.ts";
import { checkQcow2 } from "../../../../devices/disk/qcow2/check.ts";
import { readHeader } from "../../../../devices/disk/qcow2/header.ts";
import { Qcow2Image } from "../../../../devices/disk/qcow2/qcow2_image.ts";
import { openDisk } from "../../../../devices/disk/open_disk.ts";
import { FileHandle } from "../../../../hv/sys/file/file.ts";
import { qemuCheck, qemuImg } from "../../../support/guest/qemu_img.ts";
import type { Random } from "../../../support/random.ts";
import { assertSameBytes } from "../../../support/same_bytes.ts";

const SECTOR = 512;

type Event =
  | { readonly kind: "write"; readonly position: number; readonly bytes: Uint8Array }
  | { readonly kind: "punch"; readonly position: number; readonly length: number }
  | { readonly kind: "sync" }
  /** The guest has begun something that may be there after a crash, or not. */
  | { readonly kind: "guest"; readonly offset: number; readonly bytes: Uint8Array }
  /** The guest has been told that everything before event `from` is on the medium. */
  | { readonly kind: "flushed"; readonly from: number };

/** A file in memory that remembers how it came to be. */
export class RecordedFile implements ImageFile {
  readonly path = "recorded";
  readonly writable = true;
  readonly fd = -1;
  readonly events: Event[] = [];
  readonly #original: Uint8Array;
  #bytes: Uint8Array;
  #size: number;

  constructor(original: Uint8Array) {
    this.#original = original;
    this.#bytes = new Uint8Array(original.length * 2 + (1 << 20));
    this.#bytes.set(original);
    this.#size = original.length;
  }
  get size(): number {
    return this.#size;
  }
  read(into: Uint8Array, position: number): number {
    const part = this.#bytes.subarray(position, Math.min(this.#size, position + into.length));
    into.set(part);
    return part.length;
  }
  write(from: Uint8Array, position: number): void {
    this.#room(position + from.length);
    this.events.push({ kind: "write", position, bytes: from.slice() });
    this.#bytes.set(from, position);
  }
  sync(): void {
    this.events.push({ kind: "sync" });
  }
  resize(): void {
    assert.fail("nothing cuts an image while it is written");
  }
  punchHole(position: number, length: number): boolean {
    this.events.push({ kind: "punch", position, length });
    this.#bytes.fill(0, position, Math.min(this.#size, position + length));
    return true;
  }
  zeroRange(): boolean {
    return false;
  }
  holeAt(): number {
    return 0;
  }
  [Symbol.dispose](): void {}

  #room(size: number): void {
    if (size > this.#bytes.length) {
      const grown = new Uint8Array(size * 2);
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    this.#size = Math.max(this.#size, size);
  }

  /** What may be on the medium after a crash before event `at`. */
  crash(at: number, random: Random): Uint8Array {
    const lastSync = this.events.slice(0, at).findLastIndex(({ kind }) => kind === "sync");
    const bytes = new Uint8Array(this.#bytes.length);
    bytes.set(this.#original);
    let size = this.#original.length;
    const mode = random.pick(["all", "writes", "sectors"]);
    const keep = random.pick([20, 50, 80]);
    for (const [i, event] of this.events.slice(0, at).entries()) {
      if (event.kind !== "write" && event.kind !== "punch") continue;
      const { position } = event;
      const data = event.kind === "write" ? event.bytes : new Uint8Array(event.length);
      const isSure = i < lastSync || mode === "all";
      if (!isSure && mode === "writes" && !random.chance(keep)) continue;
      for (let done = 0; done < data.length;) {
        const next = Math.min(data.length, done + SECTOR - (position + done) % SECTOR);
        if (isSure || mode === "writes" || random.chance(keep)) {
          const end = position + next;
          if (event.kind === "write") size = Math.max(size, end);
          if (position + done < size) bytes.set(data.subarray(done, next), position + done);
        }
        done = next;
      }
    }
    return bytes.subarray(0, size);
  }
}

/** What the disk may hold after a crash before event `at`: for each sector, one of these. */
function allowedAt(events: readonly Event[], at: number, start: Uint8Array): Uint8Array[][] {
  const flush = events.slice(0, at).findLast((event) => event.kind === "flushed");
  const flushed = flush?.from ?? 0;
  const sectors = Array.from({ length: start.length / SECTOR }, (_, i) => [
    start.subarray(i * SECTOR, (i + 1) * SECTOR),
  ]);
  for (const [i, event] of events.slice(0, at).entries()) {
    if (event.kind !== "guest") continue;
    for (let done = 0; done < event.bytes.length; done += SECTOR) {
      const sector = (event.offset + done) / SECTOR;
      const version = event.bytes.subarray(done, done + SECTOR);
      if (i < flushed) sectors[sector] = [version];
      else sectors[sector].push(version);
    }
  }
  return sectors;
}

const same = (a: Uint8Array, b: Uint8Array) => a.every((byte, i) => byte === b[i]);

/** An image to crash: its file, what its disk holds, what is behind it. */
export interface CrashSubject {
  readonly path: string;
  readonly content: Uint8Array;
  /** Opens what is behind it, for the image to take over. */
  readonly backing?: () => DiskImage;
  /** An internal snapshot that has to keep `content`. */
  readonly snapshot?: string;
}

/** Lets a guest work on the image, with everything recorded. */
export function record(subject: CrashSubject, random: Random, steps: number): RecordedFile {
  const file = new RecordedFile(Deno.readFileSync(subject.path));
  const header = readHeader(file);
  using image = new Qcow2Image(file, header, header.sizeBytes, subject.backing?.());
  const sectors = image.sizeBytes / SECTOR;
  // As a file system: most of it happens in a few places.
  const places = Array.from({ length: 4 }, () => random.below(sectors));
  let version = 0;
  for (let i = 0; i < steps; i++) {
    const first = random.chance(70)
      ? (random.pick(places) + random.below(40)) % sectors
      : random.below(sectors);
    const most = random.pick([1, 8, 8, 130, 300]);
    const count = Math.min(sectors - first, 1 + random.below(most));
    const offset = first * SECTOR;
    const bytes = new Uint8Array(count * SECTOR);
    const dice = random.below(100);
    if (dice < 55) {
      version++;
      const words = new Uint32Array(bytes.buffer);
      for (let w = 0; w < words.length; w++) words[w] = version * 0x10001 + (w >> 7);
      file.events.push({ kind: "guest", offset, bytes });
      image.write(offset, bytes);
    } else if (dice < 70) {
      file.events.push({ kind: "guest", offset, bytes });
      image.writeZeroes(offset, bytes.length, random.chance(50));
    } else if (dice < 80) {
      // What a discard leaves is not known until it is looked at.
      const before = new Uint8Array(bytes.length);
      image.read(offset, before);
      file.events.push({ kind: "guest", offset, bytes });
      image.discard(offset, bytes.length);
      image.read(offset, bytes);
    } else {
      const from = file.events.length;
      if (random.chance(50)) image.flush();
      else flushStepwise(image, file, random, { offset, bytes });
      file.events.push({ kind: "flushed", from });
    }
  }
  return file;
}

/** A flush as an engine has it done, with a guest that goes on writing, and once in a while a firmware. */
function flushStepwise(
  image: Qcow2Image,
  file: RecordedFile,
  random: Random,
  { offset, bytes }: { offset: number; bytes: Uint8Array },
): void {
  const write = () => {
    bytes.fill(random.below(256));
    const range = image.extent(offset, bytes.length, true);
    if (range !== undefined) {
      const part = bytes.slice(0, range.length);
      file.events.push({ kind: "guest", offset, bytes: part });
      file.write(part, range.position);
    } else if (random.chance(20)) {
      file.events.push({ kind: "guest", offset, bytes: bytes.slice() });
      image.write(offset, bytes);
    }
  };
  for (const _ of image.flushSteps()) {
    if (random.chance(30)) write();
    file.sync();
    if (random.chance(30)) write();
  }
}

/** One crash of a recorded run: no error in the image, nothing lost that had been flushed. */
export function crashOnce(
  subject: CrashSubject,
  file: RecordedFile,
  random: Random,
  directory: string,
): void {
  // Half of them when most is under way.
  const syncs = [...file.events.keys()].filter((i) => file.events[i].kind === "sync");
  const at = random.chance(50) && syncs.length > 0
    ? random.pick(syncs)
    : random.below(file.events.length + 1);
  const path = `${directory}/crashed.qcow2`;
  Deno.writeFileSync(path, file.crash(at, random));
  qemuCheck(path, { leaks: true });
  {
    using crashed = FileHandle.open(path);
    assert.deepEqual(checkQcow2(crashed).errors, []);
  }
  const sectors = allowedAt(file.events, at, subject.content);
  const image = openDisk({ path });
  const disk = new Uint8Array(image.sizeBytes);
  image.read(0, disk);
  for (const [i, versions] of sectors.entries()) {
    const now = disk.subarray(i * SECTOR, (i + 1) * SECTOR);
    if (versions.some((version) => same(now, version))) continue;
    assert.fail(`crash at event ${at}: sector ${i} is none of its ${versions.length} versions`);
  }
  if (random.chance(20)) {
    // It goes on being an image that is written.
    for (let i = 0; i < 10; i++) {
      image.write(random.below(sectors.length) * SECTOR, new Uint8Array(SECTOR).fill(i));
    }
    image.flush();
    image[Symbol.dispose]();
    qemuCheck(path, { leaks: true });
  } else {
    image[Symbol.dispose]();
  }
  if (subject.snapshot !== undefined && random.chance(30)) {
    const raw = `${directory}/snapshot.raw`;
    qemuImg("convert", "-l", `snapshot.name=${subject.snapshot}`, "-O", "raw", path, raw);
    assertSameBytes(Deno.readFileSync(raw), subject.content, "the snapshot");
  }
}

/** An image in `directory` of one of the kinds that matter. */
export function crashSubject(random: Random, directory: string): CrashSubject {
  const path = `${directory}/subject.qcow2`;
  const content = new Uint8Array(1 << 20);
  const words = new Uint32Array(content.buffer);
  for (let w = 0; w < words.length; w++) if ((w >> 10) % 3 !== 0) words[w] = w >> 7;
  const raw = `${directory}/base.raw`;
  Deno.writeFileSync(raw, content);
  const cluster = random.pick(["512", "1024", "4096", "65536"]);
  const bits = random.pick(["8", "16", "64"]);
  const options = ["-o", `cluster_size=${cluster},refcount_bits=${bits}`];
  const kind = random.pick(["plain", "compressed", "snapshot", "backing", "empty", "old"]);
  for (const name of ["subject.qcow2"]) {
    try {
      Deno.removeSync(`${directory}/${name}`);
    } catch {
      // The first one.
    }
  }
  switch (kind) {
    case "empty":
      qemuImg("create", "-f", "qcow2", ...options, path, `${content.length}`);
      return { path, content: new Uint8Array(content.length) };
    case "backing":
      qemuImg("create", "-f", "qcow2", ...options, "-F", "raw", "-b", "base.raw", path);
      return { path, content, backing: () => openDisk({ path: raw, readOnly: true }) };
    case "compressed":
      qemuImg("convert", "-c", "-O", "qcow2", ...options, raw, path);
      return { path, content };
    case "old":
      qemuImg("convert", "-O", "qcow2", "-o", `compat=0.10,cluster_size=${cluster}`, raw, path);
      return { path, content };
    case "snapshot":
      qemuImg("convert", "-O", "qcow2", ...options, raw, path);
      qemuImg("snapshot", "-c", "before", path);
      return { path, content, snapshot: "before" };
    default:
      qemuImg("convert", "-O", "qcow2", ...options, raw, path);
      return { path, content };
  }
}

/** Crashes `count` times, in runs of a few crashes each. */
export function crashMany(random: Random, count: number, directory: string): void {
  for (let done = 0; done < count;) {
    const subject = crashSubject(random, directory);
    const file = record(subject, random, 40 + random.below(100));
    for (let i = 0; i < 10 && done < count; i++, done++) {
      crashOnce(subject, file, random, directory);
    }
  }
}
