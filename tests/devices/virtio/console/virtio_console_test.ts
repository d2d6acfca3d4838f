import assert from "node:assert/strict";
import { BUFFERS, consoleBench } from "./console_bench.ts";
import { NEEDS_RESET } from "../support.ts";

const SIZE = 0;
const MULTIPORT = 1;
const EMERG_WRITE = 2;
const INDIRECT_DESC = 28;

const DEVICE_READY = 0;
const DEVICE_ADD = 1;
const PORT_READY = 3;
const PORT_OPEN = 6;
const PORT_NAME = 7;

const STREAM_BYTES = 65536;
const TURN_BYTES = 256 << 10;
const QUEUE_SIZE = 64;
const ascii = (text: string) => new TextEncoder().encode(text);
const console1 = () => consoleBench([], [SIZE, EMERG_WRITE]);
const ports = (...names: string[]) => consoleBench(names, [MULTIPORT]);

/** Ports of which the driver has all, and a program `open` ones. */
function readyPorts(names: string[], open: number[] = []) {
  const made = ports(...names);
  made.control(0, DEVICE_READY, 1);
  for (const id of names.keys()) made.control(id, PORT_READY, 1);
  for (const id of open) made.control(id, PORT_OPEN, 1);
  return made;
}

/** The messages that the driver has got in its 64-byte buffers. */
function messages(made: ReturnType<typeof ports>, offered: readonly number[]) {
  return made.drivers[2].takeUsed().map(({ length }, i) => {
    const { memory } = made;
    const at = offered[i];
    return [
      memory.readU32(at),
      memory.readU16(at + 4),
      memory.readU16(at + 6),
      made.text(at + 8, length - 8),
    ];
  });
}

// --- a console -------------------------------------------------------------------------------

Deno.test("a console has two queues, a size and an emergency write (5.3.2 to 5.3.4)", () => {
  const { core } = console1();
  assert.equal(core.device.id, 3);
  assert.equal(core.queueMaxSize(2), 0, "no control queues without MULTIPORT");
  assert.equal(core.deviceFeatures(0) & 7, 1 << SIZE | 1 << EMERG_WRITE);
  assert.deepEqual([core.readConfig(0, 2), core.readConfig(2, 2)], [80, 25]);
});

Deno.test("what the driver transmits comes out at the host's end, in order (5.3.6)", () => {
  const made = console1();
  made.send(1, ascii("Linux "));
  made.send(1, ascii("version"));
  made.serve(1);
  assert.equal(new TextDecoder().decode(made.ends[0].output.take()), "Linux version");
  assert.deepEqual(made.drivers[1].takeUsed(), [{ id: 0, length: 0 }, { id: 1, length: 0 }]);
  assert.equal(made.transport.take(1), 1);
});

Deno.test("what the host sends fills the driver's buffers, of a console without any opening", () => {
  const made = console1();
  const [first, second] = [made.offer(0, 4), made.offer(0, 4)];
  assert.equal(made.ports[0].receiveAll(ascii("login")), 5);
  made.serve();
  assert.deepEqual(made.drivers[0].takeUsed(), [{ id: 0, length: 4 }, { id: 1, length: 1 }]);
  assert.deepEqual([made.text(first, 4), made.text(second, 1)], ["logi", "n"]);
  assert.equal(made.transport.take(0), 1);
});

Deno.test("input waits for buffers, and comes with the driver's notification", () => {
  const made = console1();
  made.ports[0].receiveAll(ascii("early"));
  made.serve();
  const at = made.offer(0, 64);
  made.serve(0);
  assert.deepEqual(made.drivers[0].takeUsed(), [{ id: 0, length: 5 }]);
  assert.equal(made.text(at, 5), "early");
});

Deno.test("an emergency write comes out at once, before the driver is ready, too (5.3.5.1)", () => {
  const made = console1();
  made.core.status = 0;
  for (const byte of ascii("panic")) made.core.writeConfig(8, 4, byte);
  made.core.writeConfig(8, 1, 0x21);
  made.core.writeConfig(0, 4, 0x1234);
  made.core.writeConfig(4, 4, 0x1234);
  assert.equal(new TextDecoder().decode(made.ends[0].output.take()), "panic!");
  assert.equal(made.core.readConfig(0, 2), 80, "the size cannot be written");
});

Deno.test("a new size is in the configuration space, and the driver is told (5.3.5, SIZE)", () => {
  const made = console1();
  const generation = made.core.configGeneration;
  const before = made.transport.configInterrupts;
  made.device.resize({ columns: 132, rows: 43 });
  assert.deepEqual([made.core.readConfig(0, 2), made.core.readConfig(2, 2)], [132, 43]);
  assert.notEqual(made.core.configGeneration, generation);
  assert.equal(made.transport.configInterrupts, before + 1);
  made.core.reset();
  assert.equal(made.core.readConfig(0, 2), 132, "the terminal is the host's: a reset leaves it");
});

Deno.test("the driver is told of the size with the first output and the first input: Linux asks not", () => {
  const made = console1();
  const told = () => made.transport.configInterrupts;
  const before = told();
  made.offer(0, 16);
  for (let i = 0; i < 3; i++) made.send(1, ascii("x"));
  made.serve(1);
  assert.equal(told() - before, 1);
  made.ports[0].receiveAll(ascii("y"));
  made.serve();
  made.ports[0].receiveAll(ascii("z"));
  made.serve();
  assert.equal(told() - before, 2);
});

// --- back pressure ---------------------------------------------------------------------------

Deno.test("output that nobody takes stays with the driver, and goes on where it was", () => {
  const made = console1();
  const data = new Uint8Array(50_000).map((_, i) => i * 31 >> 3);
  for (let i = 0; i < 2; i++) made.send(1, data);
  made.serve(1);
  const [first] = made.drivers[1].takeUsed();
  assert.deepEqual(first, { id: 0, length: 0 });
  assert.deepEqual(made.drivers[1].takeUsed(), [], "the second is only begun");
  const { output } = made.ends[0];
  const begun = output.take();
  assert.equal(begun.length, STREAM_BYTES);
  assert.equal(output.takeStalled(), true);
  made.ports[0].transmitReady();
  made.serve();
  assert.deepEqual(made.drivers[1].takeUsed(), [{ id: 1, length: 0 }]);
  assert.deepEqual([...begun, ...output.take()], [...data, ...data]);
});

Deno.test("a buffer longer than the stream goes through in parts", () => {
  const made = console1();
  const data = new Uint8Array(100_000).map((_, i) => i * 7 >> 2);
  made.send(1, data);
  made.serve(1);
  const { output } = made.ends[0];
  const parts: number[] = [];
  for (let i = 0; i < 2; i++) {
    parts.push(...output.take());
    made.ports[0].transmitReady();
    made.serve();
  }
  assert.deepEqual(parts, [...data]);
  assert.deepEqual(made.drivers[1].takeUsed(), [{ id: 0, length: 0 }]);
});

Deno.test("input beyond the stream is refused, and its end is told when there is room", () => {
  const made = console1();
  assert.equal(made.ports[0].receiveAll(new Uint8Array(STREAM_BYTES + 10)), STREAM_BYTES);
  assert.equal(made.ports[0].receive(1), false);
  made.offer(0, 100);
  made.serve(0);
  assert.deepEqual(made.drivers[0].takeUsed(), [{ id: 0, length: 100 }]);
  assert.equal(made.ports[0].receiveAll(new Uint8Array(1000)), 100);
});

Deno.test("a driver's reset in the middle of a buffer leaves the host's bytes, and begins anew", () => {
  const made = console1();
  made.ports[0].receiveAll(ascii("kept"));
  made.send(1, new Uint8Array(100_000));
  made.serve(1);
  assert.ok(made.ports[0].state.sent > 0);
  made.core.status = 0;
  assert.equal(made.core.status, 0, "no buffer is held: the reset is at once");
  assert.equal(made.ports[0].state.sent, 0);
  assert.equal(made.ends[0].input.waiting, 4);
});

// --- ports -----------------------------------------------------------------------------------

Deno.test("n ports have a pair of queues each and a pair for control (5.3.2)", () => {
  const { core } = ports("a", "b", "c");
  assert.equal(core.deviceFeatures(0) & 7, 1 << MULTIPORT);
  assert.equal(core.device.queueSizes.length, 8);
  assert.equal(core.readConfig(4, 4), 3, "max_nr_ports");
});

Deno.test("a driver that is ready is told of the ports, then each one's name and that it is open", () => {
  const made = ports("agent", "log");
  const offered = Array.from({ length: 6 }, () => made.offer(2, 64));
  made.control(0, DEVICE_READY, 1);
  assert.deepEqual(messages(made, offered), [[0, DEVICE_ADD, 1, ""], [1, DEVICE_ADD, 1, ""]]);
  made.control(1, PORT_READY, 1);
  assert.deepEqual(messages(made, offered.slice(2)), [
    [1, PORT_NAME, 1, "log"],
    [1, PORT_OPEN, 1, ""],
  ]);
  made.control(0, PORT_READY, 1);
  assert.deepEqual(messages(made, offered.slice(4)), [
    [0, PORT_NAME, 1, "agent"],
    [0, PORT_OPEN, 1, ""],
  ]);
});

Deno.test("messages wait for the driver's buffers, and none is lost", () => {
  const made = ports("a", "b");
  made.control(0, DEVICE_READY, 1);
  const offered = [made.offer(2, 64)];
  made.serve(2);
  assert.deepEqual(messages(made, offered), [[0, DEVICE_ADD, 1, ""]]);
  const second = [made.offer(2, 64)];
  made.serve(2);
  assert.deepEqual(messages(made, second), [[1, DEVICE_ADD, 1, ""]]);
});

Deno.test("ports are apart: each one's queues carry its bytes alone (5.3.6)", () => {
  const made = readyPorts(["a", "b", "c"], [0, 1, 2]);
  const receive = [0, 4, 6];
  for (const [id, queue] of receive.entries()) {
    made.send(queue + 1, ascii(`from ${id}`));
    made.serve(queue + 1);
    const at = made.offer(queue, 16);
    made.ports[id].receiveAll(ascii(`to ${id}`));
    made.serve();
    assert.equal(made.text(at, 4), `to ${id}`);
  }
  const out = made.ends.map(({ output }) => new TextDecoder().decode(output.take()));
  assert.deepEqual(out, ["from 0", "from 1", "from 2"]);
});

Deno.test("a port that no program has open gets nothing until one has, and then everything", () => {
  const made = readyPorts(["a"]);
  const at = made.offer(0, 16);
  made.ports[0].receiveAll(ascii("early"));
  made.serve(0);
  assert.deepEqual(made.drivers[0].takeUsed(), []);
  assert.equal(made.ports[0].isGuestOpen, false);
  made.control(0, PORT_OPEN, 1);
  assert.equal(made.ports[0].isGuestOpen, true);
  assert.deepEqual(made.drivers[0].takeUsed(), [{ id: 0, length: 5 }]);
  assert.equal(made.text(at, 5), "early");
  made.control(0, PORT_OPEN, 0);
  assert.equal(made.ports[0].isGuestOpen, false);
});

Deno.test("the host's end opens and closes, and the driver hears the last of it", () => {
  const made = readyPorts(["a"]);
  const before = Array.from({ length: 3 }, () => made.offer(2, 64));
  made.serve(2);
  assert.equal(messages(made, before).length, 3);
  made.ports[0].isHostOpen = false;
  const closed = [made.offer(2, 64)];
  made.serve(2);
  assert.deepEqual(messages(made, closed), [[0, PORT_OPEN, 0, ""]]);
  for (const open of [true, false, true]) made.ports[0].isHostOpen = open;
  const last = [made.offer(2, 64), made.offer(2, 64)];
  made.serve(2);
  assert.deepEqual(messages(made, last), [[0, PORT_OPEN, 1, ""]]);
});

Deno.test("a port whose host end is closed from the start is only named", () => {
  const made = ports("a");
  made.ports[0].isHostOpen = false;
  const offered = Array.from({ length: 3 }, () => made.offer(2, 64));
  made.control(0, DEVICE_READY, 1);
  made.control(0, PORT_READY, 1);
  assert.deepEqual(messages(made, offered), [[0, DEVICE_ADD, 1, ""], [0, PORT_NAME, 1, "a"]]);
});

Deno.test("a driver without MULTIPORT has the first port as its console (5.3.5)", () => {
  const made = consoleBench(["a", "b"], []);
  const at = made.offer(0, 16);
  made.ports[0].receiveAll(ascii("hello"));
  made.serve();
  assert.equal(made.text(at, 5), "hello");
});

// --- threats ---------------------------------------------------------------------------------

Deno.test("messages of no sense are heard and forgotten: ports that are not, events, lengths", () => {
  const made = ports("a");
  for (const [id, event] of [[1, PORT_READY], [0xffff_ffff, PORT_OPEN], [0, 99], [7, 0], [0, 1]]) {
    made.control(id, event, 1);
  }
  made.send(3, new Uint8Array(7));
  made.send(3, new Uint8Array(0));
  made.serve(3);
  made.control(0, PORT_READY, 0);
  assert.equal(made.core.status & NEEDS_RESET, 0);
  assert.equal(made.ports[0].isGuestOpen, false);
});

Deno.test("a driver that says the same a thousand times costs nothing: what it is told are bits", () => {
  const made = ports("a");
  for (let i = 0; i < 1000; i++) made.control(0, i % 2 === 0 ? DEVICE_READY : PORT_READY, 1);
  const offered = Array.from({ length: 8 }, () => made.offer(2, 64));
  made.serve(2);
  assert.equal(messages(made, offered).length, 3);
});

Deno.test("a message goes into a buffer that is too small as far as it fits", () => {
  const made = ports("a-long-name");
  made.control(0, DEVICE_READY, 1);
  const offered = [made.offer(2, 3), made.offer(2, 10)];
  made.serve(2);
  made.control(0, PORT_READY, 1);
  assert.deepEqual(made.drivers[2].takeUsed().map(({ length }) => length), [3, 10]);
  assert.equal(made.text(offered[1] + 8, 2), "a-");
});

Deno.test("input into a buffer that cannot be written has no answer: the device needs a reset", () => {
  const made = console1();
  made.drivers[0].add({ address: BUFFERS, length: 16 });
  made.ports[0].receiveAll(ascii("x"));
  made.serve(0);
  assert.equal(made.core.status & NEEDS_RESET, NEEDS_RESET);
});

Deno.test("a buffer of 8 MiB keeps the I/O worker for 256 KiB at most, however fast main is", () => {
  const made = consoleBench([], [INDIRECT_DESC]);
  let taken = 0;
  made.ends[0].onOutput = () => taken += made.ends[0].output.take().length;
  const same = { address: 0, length: 0x2_0000 };
  made.drivers[1].add(made.drivers[1].indirect(BUFFERS, new Array(QUEUE_SIZE).fill(same)));
  const whole = QUEUE_SIZE * same.length;
  made.core.notify(1);
  for (let turn = 1; taken < whole; turn++) {
    made.core.serve(false);
    assert.equal(taken, Math.min(whole, turn * TURN_BYTES));
  }
  assert.deepEqual(made.drivers[1].takeUsed(), [{ id: 0, length: 0 }]);
});
