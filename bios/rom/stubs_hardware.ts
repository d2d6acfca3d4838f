/**
 * The stubs of the hardware interrupts. The end of interrupt is the guest's to send, for the interrupt
 * controllers may live in the accelerator.
 *
 * Reference: IBM PC/AT Technical Reference, BIOS listing (INT 08h, 09h, 0Eh, 70h-77h).
 */

import { type Assembler, byte, word } from "../assembler/assembler.ts";
import type { Emit } from "./stub_names.ts";

const TICKS_PER_DAY = 0x1800b0;

/** Emits all of them. */
export function emitHardwareInterrupts(a: Assembler, service: Emit): void {
  emitTimer(a);
  emitKeyboard(a, service);
  emitClockAndMouse(a, service);
  emitOtherInterrupts(a);
}

/** A non-specific end of interrupt; changes AL. */
function endOfInterrupt(a: Assembler, slave: boolean): void {
  a.mov("al", 0x20);
  if (slave) a.out(0xa0, "al");
  a.out(0x20, "al");
}

/** IRQ 0: counts in the guest, for an exit would cost more than the whole stub. */
function emitTimer(a: Assembler): void {
  a.label("int08");
  a.push("ds");
  a.push("ax");
  a.push("dx");
  a.mov("ax", 0x40);
  a.mov("ds", "ax");
  a.inc(word(0x6c));
  a.jcc("nz", "timerLow");
  a.inc(word(0x6e));
  a.label("timerLow");
  a.alu("cmp", word(0x6e), TICKS_PER_DAY >>> 16);
  a.jcc("b", "timerMotor");
  a.alu("cmp", word(0x6c), TICKS_PER_DAY & 0xffff);
  a.jcc("b", "timerMotor");
  a.alu("xor", "ax", "ax");
  a.mov(word(0x6c), "ax");
  a.mov(word(0x6e), "ax");
  a.inc(byte(0x70));
  a.label("timerMotor");
  a.alu("cmp", byte(0x40), 0);
  a.jcc("e", "timerHook");
  a.dec(byte(0x40));
  a.jcc("nz", "timerHook");
  a.alu("and", byte(0x3f), 0xf0);
  a.mov("dx", 0x3f2);
  a.mov("al", 0x0c);
  a.out("dx", "al");
  a.label("timerHook");
  a.int(0x1c);
  endOfInterrupt(a, false);
  a.pop("dx");
  a.pop("ax");
  a.pop("ds");
  a.iret();
}

/** IRQ 1: the service fetches the scan code, INT 15h AH=4Fh may change or take it. */
function emitKeyboard(a: Assembler, service: Emit): void {
  a.label("int09");
  a.push("ax");
  service("int09"); // goes to keyHook with the scan code in AL, or to keyNothing
  a.label("keyHook");
  a.mov("ah", 0x4f);
  a.stc();
  a.int(0x15);
  a.jcc("nc", "keyNothing");
  service("int09Key");
  a.label("keyNothing");
  endOfInterrupt(a, false);
  a.pop("ax");
  a.iret();

  for (const [label, vector] of [["keyBreak", 0x1b], ["keyPrint", 0x05]] as const) {
    a.label(label);
    endOfInterrupt(a, false);
    a.sti();
    a.int(vector);
    a.pop("ax");
    a.iret();
  }
  a.label("keyPause"); // until another key clears the flag
  a.push("ds");
  a.mov("ax", 0x40);
  a.mov("ds", "ax");
  endOfInterrupt(a, false);
  a.label("keyPaused");
  a.sti();
  a.hlt();
  a.test(byte(0x18), 0x08);
  a.jcc("nz", "keyPaused");
  a.pop("ds");
  a.pop("ax");
  a.iret();
}

/** IRQ 8 and IRQ 12. */
function emitClockAndMouse(a: Assembler, service: Emit): void {
  a.label("int70");
  a.push("ax");
  service("int70"); // goes to alarm when INT 4Ah is due
  a.label("clockDone");
  endOfInterrupt(a, true);
  a.pop("ax");
  a.iret();
  a.label("alarm");
  a.int(0x4a);
  a.jmpShort("clockDone");

  a.label("int74");
  a.pusha();
  a.push("ds");
  a.push("es");
  a.cld();
  service("int74"); // may push what the mouse handler takes and go to farReturn
  a.label("mouseEnd");
  endOfInterrupt(a, true);
  a.pop("es");
  a.pop("ds");
  a.popa();
  a.iret();
  a.label("mouseDone");
  a.alu("add", "sp", 8);
  a.jmpShort("mouseEnd");
}

/** Diskette, disks, coprocessor, and interrupts that nobody handles: these are masked. */
function emitOtherInterrupts(a: Assembler): void {
  const flag = (label: string, address: number, slave: boolean) => {
    a.label(label);
    a.push("ax");
    a.push("ds");
    a.mov("ax", 0x40);
    a.mov("ds", "ax");
    a.alu("or", byte(address), slave ? 0xff : 0x80);
    endOfInterrupt(a, slave);
    a.pop("ds");
    a.pop("ax");
    a.iret();
  };
  flag("int0e", 0x3e, false);
  flag("int76", 0x8e, true);

  a.label("int75");
  a.push("ax");
  a.alu("xor", "al", "al");
  a.out(0xf0, "al"); // clears the coprocessor's busy latch
  endOfInterrupt(a, true);
  a.pop("ax");
  a.int(0x02);
  a.iret();
  a.label("int71"); // IRQ 9 looks like the IRQ 2 of the first PC
  a.push("ax");
  a.mov("al", 0x20);
  a.out(0xa0, "al");
  a.pop("ax");
  a.int(0x0a);
  a.iret();

  for (const [label, command, keep] of [["irqLow", 0x20, 0xfb], ["irqHigh", 0xa0, 0xff]] as const) {
    a.label(label);
    a.push("ax");
    a.mov("al", 0x0b);
    a.out(command, "al");
    a.in("al", command); // in-service bits
    a.test("al", "al");
    a.jcc("z", `${label}Spurious`);
    a.mov("ah", "al");
    a.neg("ah");
    a.alu("and", "ah", "al"); // the highest priority
    a.in("al", command + 1);
    a.alu("or", "al", "ah");
    a.alu("and", "al", keep); // never mask the cascade
    a.out(command + 1, "al");
    if (command === 0xa0) {
      a.mov("al", 0x20);
      a.out(0xa0, "al");
    }
    a.jmpShort(`${label}End`);
    a.label(`${label}Spurious`);
    if (command === 0x20) a.jmpShort(`${label}Out`);
    a.label(`${label}End`);
    a.mov("al", 0x20);
    a.out(0x20, "al");
    a.label(`${label}Out`);
    a.pop("ax");
    a.iret();
  }
}
