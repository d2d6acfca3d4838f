/**
 * Short guest programs for whole machines: 64 KiB ROMs (`bios: path`) that start at the reset vector in
 * real mode, and mostly end through isa-debug-exit.
 */

import assert from "node:assert/strict";
import { Assembler, dword, offset, word } from "../../bios/assembler/assembler.ts";
import type { ExitStatus, Machine } from "../../hv/mod.ts";
import { kvmTest } from "../accel/kvm/test_machine.ts";

export { kvmTest };

/** A test on each accelerator, which `body` is told. */
export function onEach(
  name: string,
  body: (accelerator: "kvm" | "soft") => Promise<void>,
): void {
  kvmTest(`${name} (kvm)`, () => body("kvm"));
  Deno.test(`${name} (soft)`, () => body("soft"));
}

const ROM_BYTES = 0x1_0000;
const RESET_VECTOR = 0xfff0;
/** Segment in which the ROM stands below 1 MiB. */
export const ROM_SEGMENT = 0xf000;
const ENTRY = 0x100;
/** Two descriptors: none, and data from 0 to 4 GiB. */
const GDT = 0x10;
const GDTR = 0x20;

/** The assembler, with what guest programs of tests often do. */
export class Payload extends Assembler {
  #labels = 0;

  constructor() {
    super(ROM_BYTES);
    this.org(GDT);
    this.dd(0, 0, 0x0000_ffff, 0x00cf_9300);
    this.org(GDTR);
    this.dw(15);
    this.dd(ROM_SEGMENT * 16 + GDT);
    this.org(RESET_VECTOR);
    this.jmpFar(ROM_SEGMENT, ENTRY);
    this.org(ENTRY);
  }

  /** A name that no other label has. */
  fresh(): string {
    return `fresh ${this.#labels++}`;
  }

  /** DS, ES and SS 0, stack below 7000h, direction up, interrupts off. */
  realMode(stack = 0x7000): void {
    this.cli();
    this.cld();
    this.alu("xor", "ax", "ax");
    this.mov("ds", "ax");
    this.mov("es", "ax");
    this.mov("ss", "ax");
    this.mov("sp", stack);
  }

  /** FS with base 0 and a limit of 4 GiB ("unreal mode"), for `storeFar` and `loadFar`. Uses EAX, BX. */
  unreal(): void {
    this.lgdt(dword(GDTR, undefined, "cs"));
    this.movEaxCr0();
    this.db(0x0c, 1); // or al, 1
    this.movCr0Eax();
    this.mov("bx", 8);
    this.mov("fs", "bx");
    this.db(0x24, 0xfe); // and al, FEh
    this.movCr0Eax();
  }

  /** MOV [FS:address], EAX with a 32-bit address. */
  storeFar(address: number): void {
    this.db(0x64, 0x67, 0x66, 0xa3);
    this.dd(address);
  }

  /** MOV EAX, [FS:address] with a 32-bit address. */
  loadFar(address: number): void {
    this.db(0x64, 0x67, 0x66, 0xa1);
    this.dd(address);
  }

  /** Writes `size` bytes of `value` to a 32-bit address, after `unreal`. Uses EAX. */
  poke(address: number, size: 1 | 2 | 4, value: number): void {
    const bytes = Array.from({ length: size }, (_, i) => (value >>> (i * 8)) & 0xff);
    this.db(...(size === 4 ? [0x66] : []), size === 1 ? 0xb0 : 0xb8, ...bytes);
    this.db(0x64, 0x67, ...(size === 4 ? [0x66] : []), size === 1 ? 0xa2 : 0xa3);
    this.dd(address);
  }

  /** Reads the byte at a 32-bit address into AL, after `unreal`. */
  peekByte(address: number): void {
    this.db(0x64, 0x67, 0xa0);
    this.dd(address);
  }

  /** Writes a register of a PCI function on bus 0. Uses EAX and DX. */
  pciWrite(slot: number, register: number, size: 2 | 4, value: number): void {
    const load = (value: number) => {
      this.db(0x66, 0xb8);
      this.dd(value);
    };
    load((0x8000_0000 + (slot << 11) + (register & 0xfc)) >>> 0);
    this.mov("dx", 0xcf8);
    this.out("dx", "eax");
    load(value);
    this.mov("dx", 0xcfc + (register & 3));
    this.out("dx", size === 2 ? "ax" : "eax");
  }

  /** The handler of interrupt `vector` is at `label`, in this ROM. */
  vector(vector: number, label: string): void {
    this.mov(word(vector * 4), offset(label));
    this.mov(word(vector * 4 + 2), ROM_SEGMENT);
  }

  /** Ends the machine with `value * 2 + 1` as exit code. */
  exit(value: number): void {
    this.mov("al", value);
    this.out(0xf4, "al");
    this.stop();
  }

  /** Halts for ever. */
  stop(): void {
    this.cli();
    const here = this.fresh();
    this.label(here);
    this.hlt();
    this.jmpShort(here);
  }

  /** Does `turn` for ever. */
  forever(turn: () => void): void {
    const here = this.fresh();
    this.label(here);
    turn();
    this.jmp(here);
  }

  /** Does `turn` 1 to 65536 times; it keeps CX. */
  times(count: number, turn: () => void): void {
    const here = this.fresh();
    this.mov("cx", count & 0xffff);
    this.label(here);
    turn();
    this.loop(here);
  }

  /** Waits until `condition` (of a Jcc) holds after `look`. */
  until(condition: string, look: () => void): void {
    const [here, done] = [this.fresh(), this.fresh()];
    this.label(here);
    look();
    this.jcc(condition, done);
    this.jmp(here);
    this.label(done);
  }

  /** Sends text to COM1 without looking whether it is ready: the machine's always is. */
  print(text: string): void {
    this.mov("dx", 0x3f8);
    for (const char of text) {
      this.mov("al", char.charCodeAt(0));
      this.out("dx", "al");
    }
  }
}

/** A ROM in a file that goes with this object. */
export interface RomFile extends Disposable {
  readonly path: string;
}

/** Assembles a program into a ROM file. */
export function rom(program: (p: Payload) => void): RomFile {
  const payload = new Payload();
  program(payload);
  payload.link();
  return romFile(payload.image);
}

/** A file with `image` in it. */
export function romFile(image: Uint8Array): RomFile {
  const path = Deno.makeTempFileSync({ prefix: "hv-test-", suffix: ".rom" });
  Deno.writeFileSync(path, image);
  return { path, [Symbol.dispose]: () => Deno.removeSync(path) };
}

/** A guest that takes longer hangs, on the slowest and busiest host, ms. */
const LIMIT_MS = 300_000;

/** How the guest ends; what there is to see of it when it does not within the time limit. */
export async function ending(machine: Machine, timeoutMs = LIMIT_MS): Promise<ExitStatus> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(async () => {
    late.reject(new Error(`the guest has not ended in time\n${await machine.describe()}`));
  }, timeoutMs);
  try {
    return await Promise.race([machine.exited, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** The exit code of a guest that is to end by isa-debug-exit. */
export async function exitCode(machine: Machine, timeoutMs?: number): Promise<number> {
  const { reason, code, message } = await ending(machine, timeoutMs);
  assert.equal(reason, "debug-exit", message);
  return code;
}
