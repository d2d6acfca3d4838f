/** The host's side of a character device: what it queues, holds back and forgets. */

import assert from "node:assert/strict";
import { Arena } from "../../hv/core/state/arena.ts";
import { ByteStream, StreamState } from "../../hv/core/state/stream.ts";
import { CharacterPort, type Receiver } from "../../hv/pc/character_port.ts";

/** A chip that has room for so many bytes. */
class Chip implements Receiver {
  room = 0;
  ready = 0;
  forgotten = 0;
  readonly got: number[] = [];
  receive(byte: number): boolean {
    if (this.room === 0) return false;
    this.room--;
    this.got.push(byte);
    return true;
  }
  transmitReady(): void {
    this.ready++;
  }
  forget(): void {
    this.forgotten++;
  }
}

/** One that takes as many as it has room for at once. */
class WideChip extends Chip {
  receiveAll(bytes: Uint8Array): number {
    const refused = bytes.findIndex((byte) => !this.receive(byte));
    return refused < 0 ? bytes.length : refused;
  }
}

function port(chip: Chip) {
  const arena = new Arena(new SharedArrayBuffer(1 << 18));
  let rings = 0;
  const stream = new ByteStream(arena.allocate(StreamState, "output"), () => rings++);
  return {
    chip,
    stream,
    port: new CharacterPort("port", stream, arena.lock("port"), chip),
    rings: () => rings,
  };
}

Deno.test("bytes for the guest wait in order until its chip has room", () => {
  for (const chip of [new Chip(), new WideChip()]) {
    const made = port(chip);
    made.port.send(Uint8Array.of(1, 2, 3));
    made.port.send(Uint8Array.of(4, 5));
    assert.equal(made.port.pending, 5);
    for (const room of [2, 2, 9]) {
      chip.room = room;
      made.port.take();
    }
    assert.deepEqual(chip.got, [1, 2, 3, 4, 5]);
    assert.equal(made.port.pending, 0);
  }
});

Deno.test("while it is held the guest's bytes stay in the stream, and input goes on", () => {
  const { chip, port: held, stream, rings } = port(new Chip());
  stream.put(Uint8Array.of(1, 2));
  held.hold(true);
  held.send(Uint8Array.of(9));
  chip.room = 1;
  assert.equal(held.take().length, 0);
  assert.deepEqual(chip.got, [9]);
  const before = rings();
  held.hold(false);
  held.hold(false);
  assert.equal(rings() - before, 1, "main is woken for what is there, once");
  assert.deepEqual([...held.take()], [1, 2]);
});

Deno.test("a guest that found the stream full hears when it has been taken, not while it is held", () => {
  const { chip, port: held, stream } = port(new Chip());
  stream.put(new Uint8Array(70_000));
  held.hold(true);
  held.take();
  assert.equal(chip.ready, 0);
  held.hold(false);
  assert.equal(held.take().length, 65536);
  assert.equal(chip.ready, 1);
});

Deno.test("a reset forgets what the guest has not taken, in the chip's hands, too", () => {
  const { chip, port: cleared } = port(new Chip());
  cleared.send(Uint8Array.of(1, 2));
  cleared.clear();
  chip.room = 2;
  cleared.take();
  assert.deepEqual([chip.got, cleared.pending, chip.forgotten], [[], 0, 1]);
});
