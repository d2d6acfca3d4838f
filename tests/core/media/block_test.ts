import assert from "node:assert/strict";
import { BlockOp, BlockPort, BlockPortState, BlockResult } from "../../../hv/core/media/block.ts";

function port(buffer = new SharedArrayBuffer(BlockPortState.byteLength)) {
  let rings = 0;
  const block = new BlockPort(new BlockPortState(buffer), () => rings++);
  return { block, buffer, rings: () => rings };
}

Deno.test("a request is posted for the thread that holds the medium, which finishes it", () => {
  const { block, buffer, rings } = port();
  const holder = port(buffer).block;
  const results: BlockResult[] = [];
  holder.onDone = (result) => results.push(result);
  assert.deepEqual([block.busy, holder.posted], [false, false]);
  block.start(BlockOp.write, 0x1_2345_6000, 512, 0x2000);
  assert.deepEqual([block.busy, holder.posted, rings()], [true, true, 1]);
  const { op, offset, length, guestAddress } = holder.state;
  assert.deepEqual([op, offset, length, guestAddress], [
    BlockOp.write,
    0x1_2345_6000,
    512,
    0x2000,
  ]);
  holder.finish(BlockResult.readOnly);
  assert.deepEqual(results, [BlockResult.readOnly]);
  assert.deepEqual([block.busy, block.wait(() => true)], [false, BlockResult.readOnly]);
});

Deno.test("a request without a guest address uses the port's buffer", () => {
  const { block, buffer } = port();
  block.start(BlockOp.read, 0, 4);
  const holder = port(buffer).block;
  assert.equal(holder.state.guestAddress, -1);
  holder.buffer.set([1, 2, 3, 4]);
  holder.finish(BlockResult.ok);
  assert.deepEqual([...block.buffer.subarray(0, 4)], [1, 2, 3, 4]);
});

Deno.test("the next request may be posted while the last one is being finished", () => {
  const { block } = port();
  let count = 0;
  block.onDone = () => {
    if (++count < 3) block.start(BlockOp.flush, 0, 0);
  };
  block.start(BlockOp.flush, 0, 0);
  while (block.posted) block.finish(BlockResult.ok);
  assert.deepEqual([count, block.busy], [3, false]);
});

Deno.test("waiting can be given up", () => {
  const { block } = port();
  block.start(BlockOp.read, 0, 512);
  assert.equal(block.wait(() => true), undefined);
});

Deno.test("a drive is empty until a medium is put in, and tells when that changes", () => {
  const { block } = port();
  assert.deepEqual([block.present, block.sizeBytes, block.readOnly], [false, 0, false]);
  block.setMedium({ sizeBytes: 1_474_560, readOnly: true });
  assert.deepEqual([block.present, block.sizeBytes, block.readOnly], [true, 1_474_560, true]);
  assert.equal(block.state.changed, true);
  block.state.changed = false;
  block.setMedium(undefined);
  assert.deepEqual([block.present, block.sizeBytes, block.state.changed], [false, 0, true]);
});
