/** The board's AT devices: clock, keyboard and mouse, serial ports, debug ports. */

import { DebugConsole } from "../../devices/serial/debug_console.ts";
import { I8042, I8042State } from "../../devices/input/i8042.ts";
import { IsaDebugExit } from "../../devices/system/isa_debug_exit.ts";
import { Mc146818, Mc146818State } from "../../devices/timers/mc146818.ts";
import { cmosLayout } from "../../devices/timers/mc146818_layout.ts";
import {
  PcTestdev,
  PcTestdevState,
  TESTDEV_IRQS,
  TESTDEV_MEMORY_BYTES,
} from "../../devices/system/pc_testdev.ts";
import { Port92, Port92State } from "../../devices/system/port92.ts";
import { Ps2Keyboard, Ps2KeyboardState } from "../../devices/input/ps2_keyboard.ts";
import { Ps2Mouse, Ps2MouseState } from "../../devices/input/ps2_mouse.ts";
import { Uart16550, Uart16550State } from "../../devices/serial/uart16550.ts";
import { ataGeometry } from "../core/media/disk_geometry.ts";
import { floppyDriveType } from "../core/media/floppy_formats.ts";
import { CharacterPort } from "./character_port.ts";
import { EndKind, Event } from "../core/control.ts";
import type { Lock } from "../core/state/lock.ts";
import { ByteStream, StreamState } from "../core/state/stream.ts";
import type { PcBuilder, ResetKind } from "./builder.ts";
import { FIRMWARE_LOG_PORT, SERIAL_PORTS } from "./layout.ts";

const KEYBOARD_IRQ = 1;
const MOUSE_IRQ = 12;
const RTC_IRQ = 8;
const DEBUG_PORT = 0xe9;
const DEBUG_EXIT_PORT = 0xf4;
const CMOS_SHUTDOWN = 0x0f;

/** What the legacy devices ask of the machine. */
export interface PcLegacyRequests {
  /** The processor alone, as the AT's RC line does it. */
  cpuReset(): void;
}

/** See above. */
export class PcLegacy {
  readonly rtc: Mc146818;
  readonly keyboard: Ps2Keyboard;
  readonly mouse: Ps2Mouse;
  /** Guards the keyboard controller, the keyboard and the mouse. */
  readonly keyboardLock: Lock;
  /** The serial ports, the debug console, the firmware's debug console. */
  readonly streams: CharacterPort[] = [];
  readonly #builder: PcBuilder;

  constructor(builder: PcBuilder, requests: PcLegacyRequests) {
    this.#builder = builder;
    this.rtc = this.#addClock();
    const b = builder;
    const lock = this.keyboardLock = b.lock("keyboard");
    this.keyboard = new Ps2Keyboard(b.state(Ps2KeyboardState));
    this.mouse = new Ps2Mouse(b.state(Ps2MouseState));
    this.#addKeyboardController(lock, requests);
    for (let i = 0; i < b.config.serialPorts; i++) this.#addSerialPort(i);
    this.#addDebugPorts();
    if (b.config.testDevices) this.#addTestDevices();
  }

  /** The reason for a processor reset that a 286-style program left in CMOS (IBM AT, port 70h). */
  get shutdownCode(): number {
    return this.rtc.peek(CMOS_SHUTDOWN);
  }

  /** The clock runs on a battery: at a reset it keeps its time and the CMOS its contents. */
  resetClock(kind: ResetKind): void {
    if (kind === "reset") this.rtc.resetPin();
    else this.#powerOnClock();
  }

  #powerOnClock(): void {
    this.rtc.reset();
    const { config, memory } = this.#builder;
    const floppies = config.drives.filter(({ kind }) => kind === "floppy");
    const disk = (unit: number) =>
      config.drives.find((d) => d.kind === "disk" && d.unit === unit && d.interface !== "virtio");
    this.rtc.setCmos(cmosLayout({
      ramBelow4G: memory.lowBytes,
      ramAbove4G: memory.highBytes,
      floppies: floppies.map(({ sizeBytes }) => floppyDriveType(sizeBytes)),
      disks: [0, 1].map((unit) => {
        const size = disk(unit)?.sizeBytes;
        return size === undefined ? undefined : ataGeometry(size);
      }),
      bootOrder: config.bootOrder.filter((device) => device !== "kernel"),
      cpus: config.cpus,
    }));
  }

  #addClock(): Mc146818 {
    const b = this.#builder;
    const lock = b.lock("rtc");
    const rtc = new Mc146818(b.state(Mc146818State), {
      irq: b.irq(RTC_IRQ),
      clock: b.clock,
      secondTimer: b.timers.create("rtc.second", lock),
      periodTimer: b.timers.create("rtc.period", lock),
    });
    b.ports.claim({ name: "rtc", base: 0x70, length: 2, device: rtc, lock });
    return rtc;
  }

  #addKeyboardController(lock: Lock, { cpuReset }: PcLegacyRequests): void {
    const b = this.#builder;
    // KVM has no A20 line; that the guest closed it is remembered, and it stays open.
    const a20 = () => {};
    const i8042 = b.device(
      new I8042(b.state(I8042State), {
        keyboard: this.keyboard,
        mouse: this.mouse,
        keyboardIrq: b.irq(KEYBOARD_IRQ),
        mouseIrq: b.irq(MOUSE_IRQ),
        clock: b.clock,
        timer: b.timers.create("keyboard", lock),
        a20,
        requestReset: cpuReset,
      }),
    );
    b.ports.claim({ name: "keyboard data", base: 0x60, length: 1, device: i8042.data, lock });
    b.ports.claim({ name: "keyboard command", base: 0x64, length: 1, device: i8042.command, lock });
    const port92 = b.device(new Port92(b.state(Port92State), { a20, requestReset: cpuReset }));
    b.ports.claim({ name: "port 92h", base: 0x92, length: 1, device: port92, lock });
  }

  #addSerialPort(index: number): void {
    const b = this.#builder;
    const name = `com${index + 1}`;
    const { port, irq } = SERIAL_PORTS[index];
    const lock = b.lock(name);
    const ring = () => b.control.notify(Event.stream);
    const sink = new ByteStream(b.state(StreamState, `${name}.output`), ring);
    const uart = b.device(
      new Uart16550(b.state(Uart16550State, name), {
        irq: b.irq(irq),
        clock: b.clock,
        timer: b.timers.create(name, lock),
        sink,
        onRoom: ring,
      }),
    );
    b.ports.claim({ name, base: port, length: 8, device: uart, lock });
    this.streams.push(new CharacterPort(name, sink, lock, uart));
  }

  #addDebugPorts(): void {
    const b = this.#builder;
    const { control, ports } = b;
    for (
      const [name, base] of [["debugcon", DEBUG_PORT], [
        "firmware log",
        FIRMWARE_LOG_PORT,
      ]] as const
    ) {
      const lock = b.lock(name);
      const ring = () => control.notify(Event.stream);
      const sink = new ByteStream(b.state(StreamState, `${name}.output`), ring);
      // pc-testdev has E8h-EBh, and its users have no debug console.
      if (base !== DEBUG_PORT || !b.config.testDevices) {
        ports.claim({ name, base, length: 1, device: new DebugConsole(sink), lock });
      }
      this.streams.push(new CharacterPort(name, sink, lock));
    }
    const exit = new IsaDebugExit((code) => control.end(EndKind.debugExit, code));
    const widths = { max: 4 } as const;
    ports.claim({ name: "isa-debug-exit", base: DEBUG_EXIT_PORT, length: 4, device: exit, widths });
  }

  #addTestDevices(): void {
    const b = this.#builder;
    const lock = b.lock("testdev");
    const lines = Array.from({ length: TESTDEV_IRQS }, (_, gsi) => b.irq(gsi));
    // KVM finds out by itself what is mapped; there is nothing to drop.
    const testdev = b.device(new PcTestdev(b.state(PcTestdevState), lines, () => {}));
    const widths = { max: 4 } as const;
    const name = "pc-testdev";
    b.ports.claim({ name, base: 0xe0, length: 4, device: testdev.echo, widths, lock });
    b.ports.claim({ name, base: 0xe4, length: 4, device: testdev.flush, widths, lock });
    b.ports.claim({ name, base: 0xe8, length: 4, device: testdev.echoBytes, lock });
    b.ports.claim({ name, base: 0x2000, length: TESTDEV_IRQS, device: testdev.irqs, lock });
    b.mmio.claim({
      name,
      base: 0xff00_0000,
      length: TESTDEV_MEMORY_BYTES,
      device: testdev.memory,
      widths,
      lock,
    });
  }
}
