/**
 * What a service sees of its caller: the registers by their names, the flags that the stub's IRET will
 * restore, memory by segment and offset, and where the stub goes next.
 */

import type { RegisterFile, Segment } from "../hv/accel/accelerator.ts";
import { CallerMemory } from "./caller_memory.ts";
import type { FirmwareHost } from "./host.ts";
import { GuestSpace } from "./guest_space.ts";
import { romCode } from "./rom/rom.ts";
import type { StubLabel } from "./rom/stub_names.ts";

const CF = 0x01;
const ZF = 0x40;
/** Offset of FLAGS in an interrupt's frame. */
const FRAME_FLAGS = 4;

/** See above. One object a thread, used by one call at a time. */
export class Guest {
  /** The machine; words and bytes of its memory are the caller's (see caller_memory.ts). */
  readonly host: FirmwareHost;
  readonly registers: RegisterFile;
  readonly space: GuestSpace;

  constructor(host: FirmwareHost) {
    this.registers = host.registers;
    this.space = new GuestSpace(host);
    this.host = { ...host, memory: new CallerMemory(host.memory, this.space) };
  }

  get ax(): number {
    return this.registers.eax & 0xffff;
  }
  set ax(value: number) {
    this.registers.eax = low16(this.registers.eax, value);
  }
  get bx(): number {
    return this.registers.ebx & 0xffff;
  }
  set bx(value: number) {
    this.registers.ebx = low16(this.registers.ebx, value);
  }
  get cx(): number {
    return this.registers.ecx & 0xffff;
  }
  set cx(value: number) {
    this.registers.ecx = low16(this.registers.ecx, value);
  }
  get dx(): number {
    return this.registers.edx & 0xffff;
  }
  set dx(value: number) {
    this.registers.edx = low16(this.registers.edx, value);
  }
  get si(): number {
    return this.registers.esi & 0xffff;
  }
  set si(value: number) {
    this.registers.esi = low16(this.registers.esi, value);
  }
  get di(): number {
    return this.registers.edi & 0xffff;
  }
  set di(value: number) {
    this.registers.edi = low16(this.registers.edi, value);
  }
  get bp(): number {
    return this.registers.ebp & 0xffff;
  }
  set bp(value: number) {
    this.registers.ebp = low16(this.registers.ebp, value);
  }
  get sp(): number {
    return this.registers.esp & 0xffff;
  }
  set sp(value: number) {
    this.registers.esp = low16(this.registers.esp, value);
  }
  get al(): number {
    return this.registers.eax & 0xff;
  }
  set al(value: number) {
    this.registers.eax = low8(this.registers.eax, value);
  }
  get ah(): number {
    return (this.registers.eax >>> 8) & 0xff;
  }
  set ah(value: number) {
    this.registers.eax = high8(this.registers.eax, value);
  }
  get bl(): number {
    return this.registers.ebx & 0xff;
  }
  set bl(value: number) {
    this.registers.ebx = low8(this.registers.ebx, value);
  }
  get bh(): number {
    return (this.registers.ebx >>> 8) & 0xff;
  }
  set bh(value: number) {
    this.registers.ebx = high8(this.registers.ebx, value);
  }
  get cl(): number {
    return this.registers.ecx & 0xff;
  }
  set cl(value: number) {
    this.registers.ecx = low8(this.registers.ecx, value);
  }
  get ch(): number {
    return (this.registers.ecx >>> 8) & 0xff;
  }
  set ch(value: number) {
    this.registers.ecx = high8(this.registers.ecx, value);
  }
  get dl(): number {
    return this.registers.edx & 0xff;
  }
  set dl(value: number) {
    this.registers.edx = low8(this.registers.edx, value);
  }
  get dh(): number {
    return (this.registers.edx >>> 8) & 0xff;
  }
  set dh(value: number) {
    this.registers.edx = high8(this.registers.edx, value);
  }

  /** The carry flag that the caller will find. */
  get carry(): boolean {
    return (this.#frameFlags & CF) !== 0;
  }
  set carry(value: boolean) {
    this.#setFrameFlag(CF, value);
  }
  /** The zero flag that the caller will find. */
  set zero(value: boolean) {
    this.#setFrameFlag(ZF, value);
  }

  /** The linear address of `offset` (taken modulo 64 KiB) in a segment. */
  linear(segment: Segment, offset: number): number {
    return segment.base + (offset & 0xffff);
  }

  /** Sets a segment register to a real-mode selector. */
  setSegment(segment: Segment, selector: number): void {
    segment.selector = selector & 0xffff;
  }

  /** Pushes a word on the caller's stack. */
  push(value: number): void {
    this.sp = this.sp - 2;
    this.space.write16(this.linear(this.registers.ss, this.sp), value);
  }

  /** Sends the caller to a stub's label when it goes on. */
  goTo(label: StubLabel): void {
    this.registers.ip = romCode().label(label);
  }

  get #frameFlagsAddress(): number {
    return this.linear(this.registers.ss, this.sp + FRAME_FLAGS);
  }

  get #frameFlags(): number {
    return this.space.read16(this.#frameFlagsAddress);
  }

  #setFrameFlag(bit: number, value: boolean): void {
    const address = this.#frameFlagsAddress;
    const flags = this.space.read8(address);
    this.space.write8(address, value ? flags | bit : flags & ~bit);
  }
}

const low16 = (value: number, part: number): number =>
  ((value & 0xffff_0000) | (part & 0xffff)) >>> 0;
const low8 = (value: number, part: number): number => ((value & 0xffff_ff00) | (part & 0xff)) >>> 0;
const high8 = (value: number, part: number): number =>
  ((value & 0xffff_00ff) | (part & 0xff) << 8) >>> 0;
