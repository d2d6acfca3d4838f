/**
 * A whole board without an accelerator: every device, its timers and disks, on one thread and in
 * hand-moved time, for tests that do to it what a guest could.
 */

import assert from "node:assert/strict";
import { romCode } from "../../bios/rom/rom.ts";
import { SerialEngine } from "../../devices/disk/engine/serial_engine.ts";
import { serveBlockPort } from "../../devices/disk/engine/serve_block_port.ts";
import type { AcceleratedVm, Doorbell, MemorySlot, Vcpu } from "../../hv/accel/accelerator.ts";
import { PlainRegisters } from "../../hv/accel/plain_registers.ts";
import { Control, Request } from "../../hv/core/control.ts";
import { Arena } from "../../hv/core/state/arena.ts";
import { GuestMemory } from "../../hv/core/memory/guest_memory.ts";
import { Pc } from "../../hv/pc/pc.ts";
import type { BoardConfig } from "../../hv/pc/board_config.ts";
import { addNetworks } from "../../hv/pc/networks.ts";
import { BuiltinFirmware } from "../../hv/pc/firmware/builtin_firmware.ts";
import { MemoryImage } from "./memory_image.ts";
import { PcVirtio } from "../../hv/pc/virtio/virtio.ts";
import type { Random } from "./random.ts";
import { FakeClock } from "./test_bench.ts";

const ARENA_BYTES = 16 << 20;
const DEVICE_BYTES = 8 << 20;
const ROM_ADDRESS = 0xf_0000;

/** An accelerator without processors that checks what the board asks of it. */
class BoardVm implements AcceleratedVm {
  readonly handle;
  readonly #slots = new Map<number, MemorySlot>();
  readonly #doorbells: Set<number>;
  constructor(memory: WebAssembly.Memory, cpus: number, doorbells: Set<number>) {
    this.#doorbells = doorbells;
    this.handle = { accelerator: "kvm" as const, cpus, memory, detail: undefined };
  }
  mapMemory(slot: MemorySlot): void {
    const { length, guestAddress, memoryOffset } = slot;
    this.#slots.delete(slot.slot);
    if (length === 0) return;
    for (const number of [length, guestAddress, memoryOffset]) {
      assert.equal(number % 4096, 0, `slot ${slot.slot} is not of whole pages`);
    }
    assert.ok(memoryOffset + length <= this.handle.memory.buffer.byteLength);
    for (const other of this.#slots.values()) {
      const apart = guestAddress + length <= other.guestAddress ||
        other.guestAddress + other.length <= guestAddress;
      assert.ok(apart, `slot ${slot.slot} overlaps slot ${other.slot}`);
    }
    this.#slots.set(slot.slot, slot);
  }
  takeDirtyPages(): Uint8Array {
    return new Uint8Array(0);
  }
  setIrq(gsi: number): void {
    assert.ok(Number.isInteger(gsi) && gsi >= 0 && gsi < 24, `no interrupt line ${gsi}`);
  }
  sendMsi(): void {}
  attachDoorbell({ address }: Doorbell): boolean {
    if (this.#doorbells.has(address)) return false;
    this.#doorbells.add(address);
    return true;
  }
  detachDoorbell({ address }: Doorbell): void {
    this.#doorbells.delete(address);
  }
  openVcpu(): Vcpu {
    throw new Error("a board on the bench has no processors");
  }
  kick(): void {}
  saveChips(): Map<string, Uint8Array> {
    return new Map();
  }
  restoreChips(): void {}
  resetChips(): void {}
  [Symbol.dispose](): void {}
}

const GENERAL = ["eax", "ebx", "ecx", "edx", "esi", "edi", "ebp", "esp"] as const;

/** Registers as a guest may leave them. */
export class BoardRegisters extends PlainRegisters {
  /** Anything anywhere, small numbers more often than others. */
  shuffle(random: Random): void {
    for (const name of GENERAL) {
      const value = random.u32();
      this[name] = random.chance(30) ? value & 0xff : random.chance(50) ? value & 0xffff : value;
    }
    for (const segment of [this.cs, this.ds, this.es, this.ss]) segment.selector = random.u32();
    this.eflags = random.u32();
    this.cr0 = random.chance(70) ? 0x10 : random.u32();
    this.cr3 = random.u32();
    this.cr4 = random.u32();
  }

  /** CS:IP at the `out` of one of the firmware's services. */
  atService(random: Random): void {
    const offset = random.pick([...romCode().services.keys()]);
    this.cs.selector = ROM_ADDRESS >> 4;
    this.ip = offset;
  }
}

/** See above. */
export class TestBoard {
  readonly clock = new FakeClock();
  readonly memory: GuestMemory;
  readonly control: Control;
  readonly pc: Pc;
  readonly registers = new BoardRegisters();
  /** Where the guest rings the I/O worker without an exit. */
  readonly doorbells = new Set<number>();
  /** The descriptor that it raises: a number for the bench. */
  readonly doorbell = 99;
  readonly #arena = new Arena(new SharedArrayBuffer(ARENA_BYTES));
  /** The media, in the order of the configuration's drives. */
  readonly images: readonly MemoryImage[];

  constructor(config: BoardConfig) {
    this.memory = GuestMemory.allocate(config.ramBytes, DEVICE_BYTES);
    this.control = new Control(this.#arena, () => this.#rung());
    this.images = config.drives.map(({ sizeBytes = 0, readOnly }) =>
      new MemoryImage(sizeBytes, readOnly)
    );
    this.pc = new Pc(config, {
      chipArena: new Arena(new SharedArrayBuffer(1 << 20)),
      arena: this.#arena,
      memory: this.memory,
      vm: new BoardVm(this.memory.memory, config.cpus, this.doorbells),
      clock: this.clock,
      control: this.control,
      doorbell: this.doorbell,
      BuiltinFirmware,
      PcVirtio,
      addNetworks,
    });
    for (const { blk, medium } of this.pc.virtio?.disks ?? []) {
      blk.engine = new SerialEngine(this.images[medium], this.memory, () => {});
    }
    for (const share of this.pc.virtio?.shares ?? []) share.server = ECHO;
    this.pc.insertMedia();
    const { registers } = this;
    this.pc.attachVcpu({ index: 0, registers } as unknown as Vcpu);
    this.pc.reset("powerOn");
    this.control.ioSleeps(Infinity);
    this.control.requestIo(Request.run);
  }

  /** Bytes of state; they cannot grow. */
  get stateBytes(): number {
    return this.#arena.usedBytes;
  }

  /** What the I/O worker does when it wakes: disks, then timers. */
  serveIo(): void {
    for (const { ports, medium } of this.pc.drives) {
      for (const { port, lock } of ports) {
        serveBlockPort(port, { image: this.images[medium], memory: this.memory, lock });
      }
    }
    this.pc.virtio?.serve();
    this.pc.timers.run();
  }

  /** The firmware waits for its disks on the only thread there is: they are served at once. */
  #rung(): void {
    this.control.ioSleeps(Infinity);
    for (const { firmwarePort, ports, medium } of this.pc?.drives ?? []) {
      const { lock } = ports.find(({ port }) => port === firmwarePort)!;
      serveBlockPort(firmwarePort, { image: this.images[medium], memory: this.memory, lock });
    }
  }
}

/** In place of a 9P server: it gives messages back. */
const ECHO = {
  serve(request: Uint8Array, reply: Uint8Array): number {
    reply.set(request.subarray(0, reply.length));
    return Math.min(request.length, reply.length);
  },
};

/** A board with everything on it. */
export const FULL_BOARD: BoardConfig = {
  ramBytes: 4 << 20,
  cpus: 2,
  romBytes: 0x1_0000,
  firmware: "builtin",
  drives: [
    { kind: "floppy", unit: 0, sizeBytes: 1440 * 1024, readOnly: false },
    { kind: "floppy", unit: 1, sizeBytes: 360 * 1024, readOnly: true },
    { kind: "disk", unit: 0, sizeBytes: 64 << 20, readOnly: false },
    { kind: "disk", unit: 1, sizeBytes: 1 << 20, readOnly: true },
    { kind: "cdrom", unit: 2, sizeBytes: 1 << 20, readOnly: true },
    { kind: "disk", interface: "virtio", unit: 0, sizeBytes: 1 << 20, readOnly: false },
  ],
  networks: [
    { model: "e1000", mac: Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56) },
    { model: "virtio", mac: Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x57) },
  ],
  bootOrder: ["floppy", "disk", "cdrom"],
  serialPorts: 4,
  rng: true,
  virtioConsole: true,
  ports: ["org.one", "org.two"],
  shares: [{ tag: "src" }],
  vsock: { cid: 3 },
  balloon: true,
  testDevices: false,
  accelerator: "kvm",
};
