/**
 * What an instruction needs of the processor beyond general, segment and control registers, and which
 * instructions only KVM can execute. Told by opcode bytes, and generously: to transfer what is not
 * needed costs time, to leave out what is needed is wrong.
 *
 * Reference: Intel SDM volume 2, appendix A, tables.
 */

/** Registers that an instruction may read or write. */
export interface Needs {
  /** x87, MMX, SSE: the XSAVE area. */
  readonly floating: boolean;
  /** XCR0. */
  readonly xcr0: boolean;
  /** SYSCALL's and SYSENTER's registers, KERNEL_GS_BASE, TSC_AUX, XSS. */
  readonly msrs: boolean;
  /** The time-stamp counter. */
  readonly tsc: boolean;
  /** Debug registers. */
  readonly debug: boolean;
  /** Translations that KVM may have cached are to be forgotten afterwards. */
  readonly flush: boolean;
}

/** Nothing beyond. */
export const NO_NEEDS: Needs = {
  floating: false,
  xcr0: false,
  msrs: false,
  tsc: false,
  debug: false,
  flush: false,
};
const NOTHING = NO_NEEDS;

/** What two instructions need together. */
export const unite = (a: Needs, b: Needs): Needs => ({
  floating: a.floating || b.floating,
  xcr0: a.xcr0 || b.xcr0,
  msrs: a.msrs || b.msrs,
  tsc: a.tsc || b.tsc,
  debug: a.debug || b.debug,
  flush: a.flush || b.flush,
});

const FLOATING: Needs = { ...NOTHING, floating: true };
const EXTENDED_STATE: Needs = { ...FLOATING, xcr0: true, msrs: true };
const XCR0: Needs = { ...NOTHING, xcr0: true };
const MSRS: Needs = { ...NOTHING, msrs: true };
const COUNTER: Needs = { ...MSRS, tsc: true };
const DEBUG: Needs = { ...NOTHING, debug: true };
const FLUSH: Needs = { ...NOTHING, flush: true };

/**
 * Instructions by the decoder's names that KVM always executes itself, and whose answers or effects
 * the software CPU does not know: KVM's CPUID, MSRs, local APIC.
 */
export const KVM_ONLY: ReadonlySet<string> = new Set(
  ["cpuid", "rdmsr", "wrmsr", "rdtsc", "rdpmc", "hlt", "rsm", "monitor", "mwait"],
);

const PREFIXES: ReadonlySet<number> = new Set(
  [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3],
);

/** What the instruction that `code` begins with needs; `bits` is the size of the code. */
export function needsOf(code: Uint8Array, bits: number): Needs {
  let at = 0;
  while (PREFIXES.has(code[at])) at++;
  if (bits === 64 && (code[at] & 0xf0) === 0x40) at++;
  const opcode = code[at];
  if (opcode === 0x0f) return needsOf0F(code[at + 1], code[at + 2]);
  // x87 and WAIT; VEX and EVEX, which in 16- and 32-bit code are LES, LDS and BOUND.
  const floating = opcode === 0x9b || (opcode & 0xf8) === 0xd8 ||
    opcode === 0xc4 || opcode === 0xc5 || opcode === 0x62;
  if (floating) return FLOATING;
  // INT1 sets DR6.
  return opcode === 0xf1 ? DEBUG : NOTHING;
}

/** `next` is the third opcode byte, or ModRM. */
function needsOf0F(opcode: number, next: number): Needs {
  switch (opcode) {
    case 0x01:
      if (next === 0xf9) return COUNTER; // RDTSCP
      if (next === 0xf8) return MSRS; // SWAPGS
      if (next === 0xd0 || next === 0xd1) return XCR0;
      return next >= 0xc0 && next < 0xf0 ? NOTHING : FLUSH; // LMSW, INVLPG
    case 0x05: // SYSCALL
    case 0x07: // SYSRET
    case 0x34: // SYSENTER
    case 0x35: // SYSEXIT
      return MSRS;
    case 0x20: // from and to control registers
    case 0x22:
      return FLUSH;
    case 0x21: // from and to debug registers
    case 0x23:
      return DEBUG;
    case 0x38:
      return next === 0x82 ? FLUSH : next < 0xf0 ? FLOATING : NOTHING; // INVPCID; MOVBE and on
    case 0x3a:
      return FLOATING;
    case 0xae: // FXSAVE, FXRSTOR, LDMXCSR, STMXCSR; XSAVE, XRSTOR, XSAVEOPT; CLFLUSH
      if (next >= 0xc0) return NOTHING; // fences, RDFSBASE and its like
      return (next >> 3 & 7) < 4 ? FLOATING : (next >> 3 & 7) < 7 ? EXTENDED_STATE : NOTHING;
    case 0xc7: // CMPXCHG8B, CMPXCHG16B, RDRAND, RDSEED; RDPID; XRSTORS, XSAVEC, XSAVES
      return (next >> 3 & 7) === 1 || (next >> 3 & 7) === 6
        ? NOTHING
        : next >= 0xc0
        ? MSRS
        : EXTENDED_STATE;
  }
  const floating = opcode >= 0x10 && opcode <= 0x17 || opcode >= 0x28 && opcode <= 0x2f ||
    opcode >= 0x50 && opcode <= 0x7f || opcode === 0xc2 || opcode >= 0xc4 && opcode <= 0xc6 ||
    opcode >= 0xd0 && opcode <= 0xfe;
  return floating ? FLOATING : NOTHING;
}
