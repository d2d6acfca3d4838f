/**
 * The guest's end of the firmware: short 16-bit stubs in ROM, each of which does `out` to the firmware
 * port and returns. The port is one; which service is meant follows from the address of the `out`.
 *
 * Three things must be done by guest instructions, and are done here: programming the interrupt
 * controllers and the timer, which may live in the accelerator; waiting (`sti; hlt` and ask again); and
 * calling code of the guest (INT 1Ch, 4Ah, option ROMs, mouse handlers). A service that wants any of
 * that sets IP to one of the labels.
 */

import { type Assembler, word } from "../assembler/assembler.ts";
import { PM_PORTS } from "../pci_setup.ts";
import { type Emit, FIRMWARE_PORT, type ServiceName } from "./stub_names.ts";
import { emitHardwareInterrupts } from "./stubs_hardware.ts";

/** Offset in the ROM where the stubs lie. */
export const STUBS_START = 0xa000;

/** Ports and values with which POST starts the interrupt controllers and the timer. */
const CHIP_SETUP: readonly (readonly [port: number, value: number])[] = [
  [0x20, 0x11], // ICW1: edge-triggered, cascaded, ICW4 follows
  [0x21, 0x08], // ICW2: vectors 08h-0Fh
  [0x21, 0x04], // ICW3: the slave is on IR2
  [0x21, 0x01], // ICW4: 8086 mode
  [0x21, 0xb8], // mask: timer, keyboard, slave, diskette open
  [0xa0, 0x11],
  [0xa1, 0x70], // vectors 70h-77h
  [0xa1, 0x02],
  [0xa1, 0x01],
  [0xa1, 0x0e], // mask: clock, mouse, coprocessor, disks open
  [0x43, 0x36], // counter 0: low and high byte, mode 3
  [0x40, 0x00], // 65536: 18.2 Hz
  [0x40, 0x00],
  [0x43, 0x54], // counter 1: low byte, mode 2: memory refresh
  [0x41, 0x12],
];
const ELCR2 = 0x4d1;
/** IRQ 10 and 11, to which PCI interrupts are routed, are level-triggered. */
const ELCR2_PCI = 0x0c;

/** Emits the stubs at `a.here` and returns the services by the offset of their `out`. */
export function emitStubs(a: Assembler): Map<number, ServiceName> {
  const services = new Map<number, ServiceName>();
  const service = (name: ServiceName) => {
    services.set(a.here, name);
    a.out(FIRMWARE_PORT, "al");
  };
  emitStart(a, service);
  emitSoftwareInterrupts(a, service);
  emitHardwareInterrupts(a, service);
  emitMonitor(a, service);
  for (const name of ["bios32", "pciBios32"] as const) {
    a.label(name); // called by 32-bit code; these two instructions are the same there
    service(name);
    a.retf();
  }
  return services;
}

/** Reset, cold start, warm restarts of programs that left protected mode by a reset. */
function emitStart(a: Assembler, service: Emit): void {
  a.label("reset");
  a.cli();
  service("reset"); // goes to coldStart or one of the warm jumps; no stack is touched before that
  a.label("coldStart");
  a.cld();
  a.alu("xor", "ax", "ax");
  a.mov("ds", "ax");
  a.mov("es", "ax");
  a.mov("ss", "ax");
  a.mov("sp", 0x7c00);
  for (const [port, value] of CHIP_SETUP) {
    a.mov("al", value);
    a.out(port, "al");
  }
  a.mov("dx", ELCR2);
  a.mov("al", ELCR2_PCI);
  a.out("dx", "al");
  service("post");
  a.sti();
  a.label("optionRomNext");
  service("optionRom"); // sends the guest into the next option ROM, whose return is optionRomNext
  a.label("bootAgain");
  a.int(0x19);
  a.label("startMonitor");
  a.int(0x18);
  a.jmpShort("startMonitor");

  a.label("warmJumpEoi");
  a.mov("al", 0x20);
  a.out(0xa0, "al");
  a.out(0x20, "al");
  a.label("warmJump");
  a.alu("xor", "ax", "ax");
  a.mov("ds", "ax");
  a.jmpFarThrough(word(0x467));

  a.label("reboot");
  a.cli();
  a.mov("al", 0xfe);
  a.out(0x64, "al"); // the keyboard controller pulls the reset line
  a.label("stop");
  a.cli();
  a.hlt();
  a.jmpShort("stop");

  a.label("powerOff");
  a.mov("dx", PM_PORTS + 4); // PM1a control of the PIIX4: sleep type 0, sleep enable
  a.mov("ax", 0x2000);
  a.out("dx", "ax");
  a.jmpShort("stop");

  a.label("farReturn");
  a.retf();
}

function emitSoftwareInterrupts(a: Assembler, service: Emit): void {
  for (const name of ["int10", "int13", "int14", "int16", "int17", "int1a"] as const) {
    a.label(name);
    service(name);
    a.iret();
  }
  a.label("retry13");
  a.jmpShort("int13");
  a.label("idle16"); // nothing typed, and the program does nothing but ask
  a.sti();
  a.hlt();
  a.iret();
  for (const name of ["14", "16"] as const) {
    a.label(`wait${name}`);
    a.sti();
    a.hlt();
    a.jmpShort(`int${name}`);
  }

  a.label("int15");
  a.alu("cmp", "ah", 0x4f); // the keyboard's hook: nobody home, CF as it was set
  a.jcc("e", "int15Return");
  service("int15");
  a.label("int15Return");
  a.iret();
  a.label("wait15");
  a.sti();
  a.hlt();
  a.label("spin15");
  a.pause();
  service("int15Wait");
  a.iret();

  a.label("int11");
  emitReadBda(a, 0x10);
  a.label("int12");
  emitReadBda(a, 0x13);

  a.label("int18");
  a.sti();
  a.jmp("monitor");
  a.label("int19");
  a.cli();
  a.cld();
  service("int19");
  a.label("bootNow"); // the service has left a frame with the boot sector's address
  a.iret();
  a.label("retry19");
  a.jmpShort("int19");

  a.label("int05");
  a.iret();
}

/** AX from a word of the BIOS data area. */
function emitReadBda(a: Assembler, address: number): void {
  a.push("ds");
  a.mov("ax", 0x40);
  a.mov("ds", "ax");
  a.mov("ax", word(address));
  a.pop("ds");
  a.iret();
}

/** The ROM monitor: a service that does what there is to do and says when to wait. */
function emitMonitor(a: Assembler, service: Emit): void {
  a.label("monitorWait");
  a.sti();
  a.hlt();
  a.label("monitor");
  service("monitor");
  a.jmpShort("monitorWait");
  a.label("monitorCpuid"); // EAX and ECX set; the monitor prints what comes of it
  a.cpuid();
  a.jmpShort("monitor");
}
