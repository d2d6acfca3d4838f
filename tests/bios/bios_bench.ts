/**
 * The firmware on a bench: real memory, VGA, clock chip and keyboard controller, drives in memory, and
 * registers that a test sets by hand, so that a service can be called without a processor.
 */

import { Firmware } from "../../bios/firmware.ts";
import type { FirmwareDrive, FirmwareHost } from "../../bios/host.ts";
import { ROM_BYTES, romCode, romImage } from "../../bios/rom/rom.ts";
import type { ServiceName } from "../../bios/rom/stub_names.ts";
import { I8042, I8042State } from "../../devices/input/i8042.ts";
import { Mc146818, Mc146818State } from "../../devices/timers/mc146818.ts";
import { Ps2Keyboard, Ps2KeyboardState } from "../../devices/input/ps2_keyboard.ts";
import { Ps2Mouse, Ps2MouseState } from "../../devices/input/ps2_mouse.ts";
import { Vga } from "../../devices/vga/vga.ts";
import { VGA_MEMORY_BYTES, VGA_WINDOW_BASE } from "../../devices/vga/memory.ts";
import { VgaState } from "../../devices/vga/registers.ts";
import type { RegisterFile } from "../../hv/accel/accelerator.ts";
import { PlainRegisters } from "../../hv/accel/plain_registers.ts";
import { BlockOp, BlockPort, BlockPortState, BlockResult } from "../../hv/core/media/block.ts";
import type { Geometry } from "../../hv/core/media/disk_geometry.ts";
import type { BootDevice } from "../../hv/core/media/drive_kind.ts";
import { BootReport } from "../../hv/core/boot_report.ts";
import { Arena } from "../../hv/core/state/arena.ts";
import { type DeviceMemory, GuestMemory } from "../../hv/core/memory/guest_memory.ts";
import { IoBus } from "../../hv/core/bus/io_bus.ts";
import { TestBench } from "../support/test_bench.ts";

const MIB = 1 << 20;
/** Where calls come from: their interrupt frame lies at 3000:FF00. */
const STACK_SEGMENT = 0x3000;
const STACK_POINTER = 0xff00;
/** Guest time that passes with each look at the clock. */
const STEP_NS = 10_000;

/** Registers to set before a call; 32 bits wide, `ds` and `es` are selectors. */
export type Call = Partial<
  Record<"eax" | "ebx" | "ecx" | "edx" | "esi" | "edi" | "ebp" | "ds" | "es", number>
>;

/** What a call left behind. */
export interface Result {
  readonly ax: number;
  readonly bx: number;
  readonly cx: number;
  readonly dx: number;
  readonly ah: number;
  readonly al: number;
  readonly carry: boolean;
  readonly zero: boolean;
  /** The stub's label to which the service sent its caller, or undefined. */
  readonly next: string | undefined;
}

/** What a bench is made of. */
export interface BiosBenchOptions {
  readonly ramBytes?: number;
  readonly floppy?: Uint8Array;
  readonly disk?: Uint8Array;
  readonly diskGeometry?: Geometry;
  readonly cdrom?: Uint8Array;
  readonly readOnly?: boolean;
  readonly bootOrder?: readonly BootDevice[];
  readonly serialConsole?: boolean;
  readonly registers?: RegisterFile;
}

/** Labels to which services send their callers. */
const LABELS = [
  "coldStart",
  "warmJump",
  "warmJumpEoi",
  "retry13",
  "retry19",
  "wait14",
  "wait15",
  "spin15",
  "wait16",
  "keyNothing",
  "keyBreak",
  "keyPause",
  "keyPrint",
  "reboot",
  "powerOff",
  "alarm",
  "farReturn",
  "startMonitor",
  "bootAgain",
  "monitorWait",
  "monitorCpuid",
] as const;

/** See above. */
export class BiosBench {
  readonly bench = new TestBench();
  readonly memory: GuestMemory;
  readonly fake = new PlainRegisters();
  readonly ports: IoBus;
  readonly mmio: IoBus;
  readonly rom: DeviceMemory;
  readonly vga: Vga;
  readonly rtc: Mc146818;
  readonly keyboard: Ps2Keyboard;
  readonly mouse: Ps2Mouse;
  readonly drives: FirmwareDrive[] = [];
  readonly host: FirmwareHost;
  readonly firmware: Firmware;
  readonly log: string[] = [];
  /** What the firmware sent to COM1. */
  serial = "";
  /** What it will read there. */
  serialInput = "";
  /** Set by a write of FEh to port 64h. */
  resetRequested = false;
  stopped = false;
  readonly boot: BootReport = new BootReport(new Arena(new SharedArrayBuffer(4096)));
  /** How often the monitor has ended the machine. */
  gaveUp = 0;
  readonly #media = new Map<BlockPort, Uint8Array>();

  constructor(options: BiosBenchOptions = {}) {
    const { ramBytes = 16 * MIB, serialConsole = false, bootOrder } = options;
    const b = this.bench;
    this.memory = GuestMemory.allocate(ramBytes, 1 << 19);
    this.ports = new IoBus("port", 0x10000, new Int32Array(new SharedArrayBuffer(4)));
    this.mmio = new IoBus("memory", 2 ** 52, new Int32Array(new SharedArrayBuffer(4)));
    this.rom = this.memory.allocateDeviceMemory(ROM_BYTES);
    this.rom.bytes.set(romImage());
    this.vga = this.#addVga();
    this.rtc = new Mc146818(b.state(Mc146818State), {
      irq: b.irq("rtc"),
      clock: b.clock,
      secondTimer: b.timer("second"),
      periodTimer: b.timer("period"),
    });
    this.rtc.reset();
    this.ports.claim({ name: "rtc", base: 0x70, length: 2, device: this.rtc });
    this.keyboard = new Ps2Keyboard(b.state(Ps2KeyboardState));
    this.mouse = new Ps2Mouse(b.state(Ps2MouseState));
    this.#addKeyboardController();
    this.#addSerial();
    this.#addDrive("floppy", 0, 512, options.floppy, options.readOnly);
    this.#addDrive("disk", 0x80, 512, options.disk, options.readOnly, options.diskGeometry);
    this.#addDrive("cdrom", 0xe0, 2048, options.cdrom, true);
    this.host = {
      memory: this.memory,
      registers: options.registers ?? this.fake,
      ports: this.ports,
      bus: this.mmio,
      rom: this.rom.bytes,
      clock: {
        // Whoever asks for the time in a loop sees it pass.
        nowNs: () => {
          b.advance(STEP_NS);
          return b.clock.nowNs();
        },
        wallMs: () => b.clock.wallMs(),
      },
      drives: this.drives,
      config: {
        memoryMap: [
          { base: 0, length: 0x9fc00, type: 1 },
          { base: 0x9fc00, length: 0x400, type: 2 },
          { base: 0xf0000, length: 0x10000, type: 2 },
          { base: MIB, length: ramBytes - MIB, type: 1 },
        ],
        bootOrder: bootOrder ?? ["floppy", "disk", "cdrom"],
        cpus: 1,
        serialPorts: [0x3f8],
        mouse: true,
        vga: true,
        accelerator: "test",
        name: "hv test",
        serialConsole,
      },
      stopped: () => this.stopped,
      log: (line) => this.log.push(line),
      boot: this.boot,
      giveUp: () => this.gaveUp++,
    };
    this.firmware = new Firmware(this.host);
    this.fake.eflags = 0x202;
  }

  /** Runs POST, so that the data areas and the screen are as programs find them. */
  post(): this {
    this.call("post");
    return this;
  }

  /** Calls a service as a program with `int` would. */
  call(service: ServiceName, registers: Call = {}): Result {
    const r = this.fake;
    Object.assign(r, { eax: 0, ebx: 0, ecx: 0, edx: 0, esi: 0, edi: 0, ebp: 0 });
    const { ds = 0x2000, es = 0x2000, ...general } = registers;
    Object.assign(r, general);
    r.ds.selector = ds;
    r.es.selector = es;
    r.ss.selector = STACK_SEGMENT;
    r.esp = STACK_POINTER;
    r.cs.selector = 0xf000;
    r.ip = 0;
    const frame = STACK_SEGMENT * 16 + STACK_POINTER;
    this.memory.writeU16(frame, 0x1234);
    this.memory.writeU16(frame + 2, 0x5678);
    this.memory.writeU16(frame + 4, 0x0202);
    this.firmware.serve(service);
    return this.result(frame);
  }

  /** Register values, and the flags in the frame at a linear address. */
  result(frame = STACK_SEGMENT * 16 + STACK_POINTER): Result {
    const r = this.fake;
    const flags = this.memory.readU16(frame + 4);
    return {
      ax: r.eax & 0xffff,
      bx: r.ebx & 0xffff,
      cx: r.ecx & 0xffff,
      dx: r.edx & 0xffff,
      ah: (r.eax >>> 8) & 0xff,
      al: r.eax & 0xff,
      carry: (flags & 1) !== 0,
      zero: (flags & 0x40) !== 0,
      next: r.ip === 0 ? undefined : LABELS.find((name) => romCode().label(name) === r.ip),
    };
  }

  /** A row of the text screen, without blanks at its end. */
  row(row: number): string {
    let text = "";
    for (let column = 0; column < 80; column++) {
      text += String.fromCharCode(this.mmio.read(0xb8000 + (row * 80 + column) * 2, 1));
    }
    return text.trimEnd();
  }

  /** The whole text screen. */
  get screen(): string {
    return Array.from({ length: 25 }, (_, row) => this.row(row)).join("\n").trimEnd();
  }

  /** Writes bytes to guest memory. */
  poke(address: number, bytes: ArrayLike<number>): void {
    this.memory.view(address, bytes.length)!.set(bytes);
  }

  /** Bytes of guest memory. */
  peek(address: number, length: number): number[] {
    return [...this.memory.view(address, length)!];
  }

  #addVga(): Vga {
    const b = this.bench;
    const vga = new Vga({
      state: b.state(VgaState),
      memory: this.memory.allocateDeviceMemory(VGA_MEMORY_BYTES).bytes,
      clock: b.clock,
      mapWindow: () => {},
    });
    vga.reset();
    for (const { base, length, device } of vga.portClaims) {
      this.ports.claim({ name: "vga", base, length, device, widths: { max: 2 } });
    }
    const claim = { base: VGA_WINDOW_BASE, length: 0x20000, widths: { max: 4 } } as const;
    this.mmio.claim({ name: "vga", device: vga.window, ...claim });
    return vga;
  }

  #addKeyboardController(): void {
    const b = this.bench;
    const i8042 = new I8042(b.state(I8042State), {
      keyboard: this.keyboard,
      mouse: this.mouse,
      keyboardIrq: b.irq("keyboard"),
      mouseIrq: b.irq("mouse"),
      clock: b.clock,
      timer: b.timer("keyboard"),
      a20: () => {},
      requestReset: () => {
        this.resetRequested = true;
      },
    });
    this.keyboard.reset();
    this.mouse.reset();
    i8042.reset();
    this.ports.claim({ name: "keyboard data", base: 0x60, length: 1, device: i8042.data });
    this.ports.claim({ name: "keyboard command", base: 0x64, length: 1, device: i8042.command });
  }

  /** A COM1 whose transmitter is always empty. */
  #addSerial(): void {
    const read = (offset: number) => {
      if (offset === 5) return 0x60 | (this.serialInput === "" ? 0 : 1);
      if (offset !== 0 || this.serialInput === "") return 0;
      const code = this.serialInput.charCodeAt(0);
      this.serialInput = this.serialInput.slice(1);
      return code;
    };
    const write = (offset: number, _size: number, value: number) => {
      if (offset === 0) this.serial += String.fromCharCode(value);
    };
    this.ports.claim({ name: "com1", base: 0x3f8, length: 8, device: { read, write } });
  }

  #addDrive(
    kind: FirmwareDrive["kind"],
    number: number,
    sectorBytes: number,
    data: Uint8Array | undefined,
    readOnly = false,
    geometry?: Geometry,
  ): void {
    if (data === undefined) return;
    const state = this.bench.state(BlockPortState, `${kind}.firmware`);
    const port: BlockPort = new BlockPort(state, () => port.finish(this.#transfer(port)));
    port.setMedium({ sizeBytes: data.length, readOnly });
    port.state.changed = false;
    this.#media.set(port, data);
    this.drives.push({ kind, number, port, sectorBytes, geometry });
  }

  #transfer(port: BlockPort): BlockResult {
    const { op, offset, length, guestAddress } = port.state;
    const data = this.#media.get(port)!;
    if (!(offset >= 0 && offset + length <= data.length)) return BlockResult.outOfRange;
    const memory = guestAddress < 0
      ? port.buffer.subarray(0, length)
      : this.memory.view(guestAddress, length)!;
    if (op === BlockOp.read) memory.set(data.subarray(offset, offset + length));
    if (op === BlockOp.write) data.set(memory, offset);
    return BlockResult.ok;
  }
}
