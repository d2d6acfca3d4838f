/**
 * What a hostile driver of virtio devices writes, taken down on a board on the bench and played again by
 * a program on a real machine: with its threads, its doorbells and its interrupt messages.
 */

import { romFile } from "../../support/payload.ts";
import { Payload, type RomFile } from "../../support/payload.ts";
import type { Random } from "../../support/random.ts";
import { TestBoard } from "../../support/test_board.ts";
import type { BoardConfig } from "../../../hv/pc/board_config.ts";
import { IoBus } from "../../../hv/core/bus/io_bus.ts";
import { AREA, AREAS_BYTES, HostileVirtio, isInRing } from "./hostile_virtio.ts";

/** An entry: address or port (4), value (4), kind (2): a bit for its space and width; 0: the end. */
const ENTRY_BYTES = 10;
const MEMORY = 0;
const PORTS = 3;
/** The program waits for a value in memory, for a while: what the device on the bench has written. */
const WAIT = 6;
/** Looks, each with an access to a port. */
const LOOKS = 3000;
const ROM_ALIGNMENT = 0x1_0000;
/** MSI-X table entries' data, where PciGuest puts the tables, in slots from 3 on. */
const TABLE = { base: 0xd001_0000, stride: 0x10_0000, length: 0x1000 };
/** Delivery modes that leave the program alone: fixed, lowest priority. */
const HARMLESS_DATA = 0xffff_f9ff;

/** A bus that takes down what is written. */
class RecordingBus extends IoBus {
  readonly #bus: IoBus;
  readonly #record: (address: number, size: number, value: number) => void;
  constructor(bus: IoBus, record: (address: number, size: number, value: number) => void) {
    super("recording", 2 ** 36, new Int32Array(1));
    this.#bus = bus;
    this.#record = record;
  }
  override read(address: number, size: number): number {
    return this.#bus.read(address, size);
  }
  override write(address: number, size: number, value: number): void {
    this.#record(address, size, value);
    this.#bus.write(address, size, value);
  }
}

/** Entries of `steps` steps of a hostile driver on a board. */
function trace(config: BoardConfig, steps: number, random: Random): Uint8Array {
  const board = new TestBoard(config);
  const { memory, pc } = board;
  const entries: number[] = [];
  const add = (space: number, address: number, size: number, value: number) => {
    const isData = (address - TABLE.base) % TABLE.stride < TABLE.length && address % 16 === 8;
    entries.push(address, space === MEMORY && isData ? value & HARMLESS_DATA : value);
    entries.push(1 << (space + Math.log2(size)));
  };
  const ram = new Uint32Array(memory.memory.buffer, AREA, AREAS_BYTES / 4);
  const known = ram.slice();
  /** Tells what has been written into memory since. */
  const written = (tell: (address: number, value: number) => void) => {
    for (let i = 0; i < ram.length; i++) {
      if (ram[i] === known[i]) continue;
      known[i] = ram[i];
      tell(AREA + i * 4, ram[i]);
    }
  };
  const addMemory = () => written((address, value) => add(MEMORY, address, 4, value));
  const recording = (bus: IoBus, space: number) =>
    new RecordingBus(bus, (address, size, value) => {
      if (space === MEMORY || address !== 0xcf8) addMemory();
      add(space, address, size, value);
    });
  const hostile = new HostileVirtio({
    pc: { ports: recording(pc.ports, PORTS), mmio: recording(pc.mmio, MEMORY) },
    memory,
    serveIo() {
      addMemory();
      board.serveIo();
      let last: [address: number, value: number] | undefined;
      // Of what the device writes, that which is the same every time.
      written((address, value) => last = isInRing(address) ? [address, value] : last);
      if (last !== undefined) entries.push(...last, 1 << WAIT);
    },
  });
  for (let i = 0; i < steps; i++) hostile.step(random);
  const image = new DataView(new ArrayBuffer((entries.length / 3 + 1) * ENTRY_BYTES));
  for (let i = 0; i < entries.length; i += 3) {
    const at = i / 3 * ENTRY_BYTES;
    image.setUint32(at, entries[i], true);
    image.setUint32(at + 4, entries[i + 1], true);
    image.setUint16(at + 8, entries[i + 2], true);
  }
  return new Uint8Array(image.buffer);
}

/** A ROM whose program plays such a trace, and then ends the machine with 10h. */
export function hostileRom(config: BoardConfig, steps: number, random: Random): RomFile {
  const entries = trace(config, steps, random);
  const before = Math.ceil(entries.length / ROM_ALIGNMENT) * ROM_ALIGNMENT;
  const payload = new Payload();
  play(payload, 2 ** 32 - ROM_ALIGNMENT - before);
  payload.link();
  const image = new Uint8Array(before + ROM_ALIGNMENT);
  image.set(entries);
  image.set(payload.image, before);
  return romFile(image);
}

function play(p: Payload, table: number): void {
  p.realMode();
  p.unreal();
  p.mov("al", 2);
  p.out(0x92, "al"); // A20
  p.db(0x66, 0xbe); // mov esi, table
  p.dd(table);
  p.forever(() => {
    const [isPort, done] = [p.fresh(), p.fresh()];
    p.db(0x64, 0x67, 0x66, 0x8b, 0x1e); // mov ebx, [fs:esi]
    p.db(0x64, 0x67, 0x66, 0x8b, 0x46, 4); // mov eax, [fs:esi+4]
    p.db(0x64, 0x67, 0x8b, 0x4e, 8); // mov cx, [fs:esi+8]
    p.db(0x66, 0x83, 0xc6, ENTRY_BYTES); // add esi, 10
    p.test("cl", 7);
    p.jcc("z", isPort);
    // mov [fs:ebx], al, ax or eax
    choose(p, 1, () => p.db(0x64, 0x67, 0x88, 0x03));
    choose(p, 2, () => p.db(0x64, 0x67, 0x89, 0x03));
    choose(p, 4, () => p.db(0x64, 0x67, 0x66, 0x89, 0x03));
    p.jmp(done);
    p.label(isPort);
    p.mov("dx", "bx");
    choose(p, 8, () => p.out("dx", "al"));
    choose(p, 16, () => p.out("dx", "ax"));
    choose(p, 32, () => p.out("dx", "eax"));
    choose(p, 64, () => wait(p));
    p.alu("cmp", "cl", 0);
    p.jcc("nz", done);
    p.exit(0x10);
    p.label(done);
  });
}

/** Looks whether EAX is at [FS:EBX]. */
function wait(p: Payload): void {
  const [again, there] = [p.fresh(), p.fresh()];
  p.mov("dx", LOOKS);
  p.label(again);
  p.db(0x64, 0x67, 0x66, 0x39, 0x03); // cmp [fs:ebx], eax
  p.jcc("z", there);
  p.out(0x80, "al");
  p.dec("dx");
  p.jcc("nz", again);
  p.label(there);
}

function choose(p: Payload, bit: number, body: () => void): void {
  const skip = p.fresh();
  p.test("cl", bit);
  p.jcc("z", skip);
  body();
  p.label(skip);
}
