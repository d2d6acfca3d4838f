/**
 * A bench for a hostile driver: guest RAM of 64 KiB that is watched, with memory of the host's behind
 * it that no device may touch, and a PCI bus.
 */

import { PciBus, PciBusState } from "../../../../devices/pci/pci_bus.ts";
import { Arena } from "../../../../hv/core/state/arena.ts";
import { IoBus } from "../../../../hv/core/bus/io_bus.ts";
import {
  type Fields,
  record,
  type RecordType,
  type RecordView,
  words,
} from "../../../../hv/core/state/record.ts";
import { FakeClock, LineState, ProbeLine } from "../../../support/test_bench.ts";
import { CheckedLock, CheckedMemory } from "./checked_memory.ts";

/** Guest RAM, bytes. */
export const RAM_BYTES = 1 << 16;
const BEHIND_BYTES = 1 << 16;
const ARENA_BYTES = 1 << 19;
/** What lies behind guest RAM. */
const CANARY = 0xc5;

const BusState = record("test.buses", 1, { ports: words(1), memory: words(1) });

/** What another thread, or a twin over a copy, is built over. */
export interface HostileBytes {
  readonly arena: SharedArrayBuffer;
  readonly memory: WebAssembly.Memory;
}

/** See above. */
export class HostileBench {
  readonly bytes: HostileBytes;
  readonly arena: Arena;
  readonly memory: CheckedMemory;
  /** All of guest RAM, as the guest sees it. */
  readonly ram: DataView;
  readonly clock = new FakeClock();
  readonly ports: IoBus;
  readonly mmio: IoBus;
  readonly bus: PciBus;
  readonly pciLock: CheckedLock;
  readonly pin: ProbeLine;
  readonly #behind: BigUint64Array;
  readonly #all: Uint8Array;

  /** @param bytes Attach to these; else everything is new. */
  constructor(bytes?: HostileBytes) {
    this.bytes = bytes ?? fresh();
    const { memory } = this.bytes;
    this.arena = new Arena(this.bytes.arena);
    this.memory = new CheckedMemory({ memory, ramBytes: RAM_BYTES });
    this.#all = new Uint8Array(memory.buffer);
    this.ram = new DataView(memory.buffer, 0, RAM_BYTES);
    this.#behind = new BigUint64Array(memory.buffer, RAM_BYTES);
    const generations = this.state(BusState);
    this.ports = new IoBus("port", 0x1_0000, generations.ports);
    this.mmio = new IoBus("memory", 2 ** 36, generations.memory);
    this.pciLock = this.lock("pci");
    const { ports, mmio: memoryBus, pciLock: lock } = this;
    this.bus = new PciBus(this.state(PciBusState), { ports, memory: memoryBus });
    const widths = { max: 4 } as const;
    ports.claim({ name: "pci", base: 0xcf8, length: 4, device: this.bus.address, widths, lock });
    ports.claim({ name: "pci", base: 0xcfc, length: 4, device: this.bus.data, widths, lock });
    this.pin = new ProbeLine(this.state(LineState, "pin"));
  }

  state<F extends Fields>(type: RecordType<F>, name = type.recordName): RecordView<F> {
    return this.arena.allocate(type, name);
  }

  lock(name: string): CheckedLock {
    return new CheckedLock(this.state(LockWord, `${name}.lock`).word);
  }

  /** A copy of all bytes. */
  copy(): HostileBytes {
    const to = fresh();
    new Uint8Array(to.arena).set(new Uint8Array(this.bytes.arena));
    new Uint8Array(to.memory.buffer).set(this.#all);
    return to;
  }

  /** Guest RAM, and each record of state by its name. */
  get images(): Readonly<Record<string, Uint8Array>> {
    const { buffer, sections } = this.arena;
    return {
      "guest memory": this.#all.subarray(0, RAM_BYTES),
      ...Object.fromEntries(
        sections.map(({ name, offset, length }) => [name, new Uint8Array(buffer, offset, length)]),
      ),
    };
  }

  /** Has nobody written behind guest RAM? */
  get behindIsIntact(): boolean {
    for (let i = 0; i < this.#behind.length; i++) {
      if (this.#behind[i] !== CANARY_WORD) return false;
    }
    return true;
  }
}

const LockWord = record("test.lock", 1, { word: words(1) });
const CANARY_WORD = BigInt("0x" + CANARY.toString(16).repeat(8));

function fresh(): HostileBytes {
  const pages = (RAM_BYTES + BEHIND_BYTES) / 65536;
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  new Uint8Array(memory.buffer, RAM_BYTES).fill(CANARY);
  return { arena: new SharedArrayBuffer(ARENA_BYTES), memory };
}
