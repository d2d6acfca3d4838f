/** Random instructions with random operands for the comparison with the real processor. */

import {
  type Entry,
  OpcodeMap,
  OPCODES,
  type Variant,
} from "../../../../hv/accel/soft/decoder/opcode_map.ts";
import { FEATURES } from "../../../../hv/accel/soft/model/cpuid.ts";
import type { Random } from "../../../support/random.ts";
import { type Case, DATA } from "../support/user_machine.ts";

/** What shows the host's own state, takes time, or is not of this level. */
const LEFT_OUT = new Set([
  "cpuid",
  "rdtsc",
  "rdtscp",
  "rdpid",
  "rdpmc",
  "rdrand",
  "rdseed",
  "syscall",
  "vmcall",
  "sysenter",
  "sysret",
  "sysexit",
  "int",
  "int1",
  "iret",
  "sgdt",
  "sidt",
  "sldt",
  "str",
  "smsw",
  "lar",
  "lsl",
  "verr",
  "verw",
  "movToSegment",
  "movFromSegment",
  "pushSegment",
  "popSegment",
  "loadFarPointer",
  "callFarMemory",
  "jmpFarMemory",
  "retFar",
  "retFarImmediate",
  "xgetbv",
  "xsetbv",
  "xsave",
  "xsaveopt",
  "xsavec",
  "xrstor",
  "rdfsbase",
  "rdgsbase",
  "wrfsbase",
  "wrgsbase",
  "ud",
  "ud0",
  "ud1",
  "fwait",
  "rsm",
  "ldmxcsr",
  "stmxcsr",
  "fxsave",
  "fxrstor",
  "movFromControl", // registers that do not exist: #GP or #UD, as the emulator likes
  "movToControl",
  "movFromDebug",
  "movToDebug",
  "rcpps", // approximations, which processors make differently
  "rcpss",
  "rsqrtps",
  "rsqrtss",
  "invd", // the host's emulator answers for some of the privileged ones
]);

/** Does the instruction have to do with XMM registers? */
const isVector = (entry: Entry): boolean =>
  entry.operands.some(({ kind }) => kind === "H" || kind === "W" || kind === "U");

/** Does it have to do with MMX registers? */
const isMmx = (entry: Entry): boolean => entry.feature === "mmx";

/** An instruction, and where it is in the opcode map. */
export interface Choice {
  readonly map: number;
  readonly opcode: number;
  readonly variant: Variant;
}

/** Everything that the comparison covers. */
export const CHOICES: readonly Choice[] = OPCODES.flatMap((opcode, index) =>
  (opcode?.variants ?? [])
    .filter(({ entry }) =>
      !LEFT_OUT.has(entry.name) && !entry.invalid64 && entry.feature !== "smap" &&
      (entry.feature === undefined || FEATURES.has(entry.feature))
    )
    .map((variant) => ({ map: index >> 8, opcode: index & 255, variant }))
);

const BOUNDARIES = [
  0n,
  1n,
  2n,
  0x7fn,
  0x80n,
  0xffn,
  0x100n,
  0x7fffn,
  0x8000n,
  0xffffn,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  0x1_0000_0000n,
  0x7fff_ffff_ffff_ffffn,
  0x8000_0000_0000_0000n,
  0xffff_ffff_ffff_ffffn,
  0xffff_ffff_8000_0000n,
];

const random64 = (random: Random): bigint => BigInt(random.u32()) << 32n | BigInt(random.u32());

function randomRegister(random: Random): bigint {
  const kind = random.below(10);
  if (kind < 5) return BigInt(DATA + random.below(0x4000)) & (kind < 3 ? ~7n : ~0n);
  if (kind < 7) return BigInt(random.below(70));
  return kind < 9 ? random.pick(BOUNDARIES) : random64(random);
}

/** A case of `choice`, with what it is for messages. */
export function makeCase(random: Random, choice: Choice): Case & { readonly entry: Entry } {
  const registers = Array.from({ length: 16 }, () => randomRegister(random));
  // A pointer that makes pushes and pops reach memory most of the time.
  if (random.chance(90)) registers[4] = BigInt(DATA + 0x800 + random.below(0x1000));
  const { entry } = choice.variant;
  if (/^(movs|stos|lods|scas|cmps|ins|outs)$/.test(entry.name) && random.chance(90)) {
    registers[1] = BigInt(random.below(20));
    for (const n of [6, 7]) registers[n] = BigInt(DATA + random.below(0x3100));
  }
  const plain = (random.u32() & 0xcd5 & ~(random.chance(80) ? 0x400 : 0)) | 2;
  // AC: level 3 has CR0.AM here, so that what is not aligned gives #AC.
  const flags = random.chance(10) ? plain | 1 << 18 : plain;
  const vectors = isVector(entry) ? randomVectors(random) : undefined;
  const x87 = entry.name === "x87" || isMmx(entry) ? randomX87(random) : undefined;
  // An exception that waits: #MF.
  if (isMmx(entry) && random.chance(10)) x87![2] |= random.below(0x40);
  const mxcsr = vectors === undefined ? undefined : randomMxcsr(random);
  return { bytes: encode(random, choice), registers, flags, entry, vectors, mxcsr, x87 };
}

/** An FXSAVE image's x87 part: any stack, mostly default control, special values among the rest. */
function randomX87(random: Random): Uint8Array {
  const bytes = new Uint8Array(160);
  const view = new DataView(bytes.buffer);
  const control = random.chance(60) ? 0x37f : 0x40 | random.u32() & 0xf3f;
  view.setUint16(0, random.chance(80) ? control | 0x3f : control, true);
  view.setUint16(2, random.below(8) << 11 | random.u32() & 0x4700, true);
  bytes[4] = random.chance(60) ? 0xff >> random.below(8) : random.u32();
  bytes.set([0x80, 0x1f], 24);
  const exponents = [0, 0x7fff, 0x3fff, 0x3ffe, 0x4000, 0x401e, 0x403e, 1, 0x43ff];
  for (let i = 0; i < 8; i++) {
    const at = 32 + i * 16;
    const kind = random.below(4);
    const significand = kind === 0 ? 0n : kind === 1 ? 1n << 63n : random64(random);
    view.setBigUint64(at, random.chance(90) ? significand | 1n << 63n : significand, true);
    if (kind === 0 && random.chance(50)) view.setBigUint64(at, 0n, true);
    const exponent = kind === 0 && random.chance(50)
      ? 0
      : random.chance(50)
      ? random.pick(exponents)
      : 0x3fc0 + random.below(0x80);
    view.setUint16(at + 8, exponent | random.below(2) << 15, true);
  }
  return bytes;
}

const SPECIAL_DOUBLES = [0, -0, 1, -1, 0.5, 1.5, 2.5, Infinity, -Infinity, NaN, 1e-310, 1e308]
  .concat(2 ** 31, -(2 ** 31), 2 ** 31 - 1, 2 ** 63, -(2 ** 63), 1e-45, 3e38, 0x7fff_fffe + 0.5);

/** Mostly everything masked, as programs have it, with and without the flag of inexact results. */
function randomMxcsr(random: Random): number {
  const kind = random.below(10);
  if (kind < 3) return 0x1f80;
  if (kind < 6) return 0x1fa0;
  return kind < 8 ? random.u32() & 0xffc0 | 0x1f80 : random.u32() & 0xffff;
}

/** All XMM registers: doubles, floats, integers, anything. */
function randomVectors(random: Random): Uint8Array {
  const bytes = new Uint8Array(256);
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < 256; at += 16) {
    const kind = random.below(5);
    // Strings of a few letters, which may end.
    if (kind === 4) {
      for (let i = 0; i < 16; i++) bytes[at + i] = random.below(5) || random.below(4);
    }
    for (let i = 0; i < 16; i += 4) {
      if (kind === 0) view.setUint32(at + i, random.u32(), true);
      else if (kind === 1) view.setFloat32(at + i, random.pick(SPECIAL_DOUBLES), true);
      else if (kind === 2 && i % 8 === 0) {
        const value = random.chance(50)
          ? random.pick(SPECIAL_DOUBLES)
          : (random.u32() - 2 ** 31) / 2 ** random.below(40);
        view.setFloat64(at + i, value, true);
      } else if (kind === 3) view.setUint32(at + i, random.below(40), true);
    }
    // A signalling NaN, now and then.
    if (random.chance(5)) view.setUint32(at + 4, 0x7ff0_0001, true);
  }
  return bytes;
}

/** The bytes of an instruction: random prefixes, operands and immediate. */
export function encode(random: Random, { map, opcode, variant }: Choice): number[] {
  const { entry, prefix } = variant;
  const bytes: number[] = [];
  const vex = map > OpcodeMap.vex;
  if (random.chance(3)) bytes.push(random.pick([0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65]));
  if (!vex) {
    const canRepeat = /^(movs|stos|lods|scas|cmps)$/.test(entry.name);
    if (prefix > 0) bytes.push(prefix);
    else if (canRepeat && random.chance(60)) bytes.push(random.pick([0xf2, 0xf3]));
    // Near branches of 16 bits differ between makers.
    if (
      !isVector(entry) && !isMmx(entry) && prefix <= 0 && prefix !== 0 && !entry.forced64 &&
      random.chance(25)
    ) {
      bytes.unshift(0x66);
    }
    if (random.chance(4)) bytes.unshift(0x67);
    if (entry.lockable && random.chance(20)) bytes.push(0xf0);
    if (random.chance(60)) bytes.push(0x40 + random.below(16));
    if (map === OpcodeMap.map0F) bytes.push(0x0f);
    else if (map === OpcodeMap.map0F38) bytes.push(0x0f, 0x38);
    else if (map === OpcodeMap.map0F3A) bytes.push(0x0f, 0x3a);
  } else {
    const wide = random.below(2) << 7;
    const pp = prefix === 0x66 ? 1 : prefix === 0xf3 ? 2 : prefix === 0xf2 ? 3 : 0;
    bytes.push(0xc4, random.below(8) << 5 | map - OpcodeMap.vex);
    bytes.push(wide | random.below(16) << 3 | pp);
    // Registers that are not operands must be 1111.
    if (!entry.operands.some(({ kind }) => kind === "V")) bytes[bytes.length - 1] |= 0x78;
  }
  bytes.push(opcode);
  const operands = entry.operands;
  if (entry.name === "x87") {
    // Not what leaves the host's own pointers behind, nor what is approximate on the processor.
    const length = bytes.length;
    do {
      bytes.length = length;
      addModrm(random, variant, bytes);
    } while (isHostsOwn(opcode, bytes[length]));
    return bytes;
  }
  const needsModrm = OPCODES[map * 256 + opcode]!.hasModrm;
  if (needsModrm) addModrm(random, variant, bytes);
  for (const { kind, size } of operands) {
    if (kind === "I" || kind === "J") addImmediate(random, kind, size, bytes);
    if (kind === "O") {
      const low = random.chance(80) ? DATA + random.below(0x3000) : random.u32();
      for (let i = 0; i < 8; i++) bytes.push(i < 4 ? low >>> (8 * i) & 0xff : 0);
    }
    if (kind === "Q") bytes.push(random.below(64), 0, random.chance(70) ? 0 : random.below(4));
  }
  return bytes;
}

/** FNSTENV, FNSAVE, FLDENV and FRSTOR; transcendental instructions. */
function isHostsOwn(opcode: number, modrm: number): boolean {
  const operation = modrm >> 3 & 7;
  if (modrm < 0xc0) {
    return opcode === 0xd9 && (operation === 4 || operation === 6) ||
      opcode === 0xdd && (operation === 4 || operation === 6);
  }
  if (opcode !== 0xd9) return false;
  if (operation === 3) return true; // an alias of FSTP with its own ways
  return [0xf0, 0xf1, 0xf2, 0xf3, 0xf9, 0xfb, 0xfe, 0xff].includes(modrm);
}

function addModrm(random: Random, { reg, mod, modrm }: Variant, bytes: number[]): void {
  if (modrm >= 0) {
    bytes.push(modrm);
    return;
  }
  let value = random.below(256);
  const inMemory = mod === "m" || mod === "" && random.chance(55);
  value = inMemory ? random.below(3) << 6 | value & 0x3f : value | 0xc0;
  if (reg >= 0) value = value & 0xc7 | reg << 3;
  bytes.push(value);
  if (!inMemory) return;
  let displacement = value >> 6 === 1 ? 1 : value >> 6 === 2 ? 4 : 0;
  let absolute = false;
  if ((value & 7) === 4) {
    const sib = random.below(256);
    bytes.push(sib);
    if ((sib & 7) === 5 && value >> 6 === 0) {
      displacement = 4;
      absolute = true;
    }
  } else if ((value & 7) === 5 && value >> 6 === 0) displacement = 4;
  if (displacement === 1) bytes.push(random.below(256));
  if (displacement === 4) {
    const near = absolute ? DATA + random.below(0x3000) : random.below(0x4000) - 0x2000;
    const far = value >> 6 === 0 && !absolute ? 0xe800 + random.below(0x3000) : near;
    for (let i = 0; i < 4; i++) bytes.push(far >> (8 * i) & 0xff);
  }
}

function addImmediate(random: Random, kind: string, size: string, bytes: number[]): void {
  const has66 = bytes.includes(0x66);
  const wide = bytes.some((byte) => (byte & 0xf8) === 0x48);
  const count = size === "b" || size === "s"
    ? 1
    : size === "w"
    ? 2
    : size === "v" && wide
    ? 8
    : size === "d" || !has66
    ? 4
    : 2;
  // Targets stay in the page of INT3s, mostly; what is too many bytes here is the next instruction.
  const value = kind === "J" && count === 4
    ? (random.chance(50) ? random.below(0x700) : -0x40 - random.below(0x780))
    : random.chance(30)
    ? Number(random.pick(BOUNDARIES) & 0xffff_ffffn)
    : random.u32();
  if (kind === "J" && count === 1) {
    bytes.push(random.below(0x80)); // forwards: a loop to itself would never end
    return;
  }
  for (let i = 0; i < count; i++) bytes.push(i < 4 ? value >>> (8 * i) & 0xff : random.below(256));
}

/** What KVM's emulator has not, has in its own way, or what would leave the code page. */
const LEGACY_LEFT_OUT =
  /^(cpuid|rdtsc.*|rdpmc|rdrand|rdseed|vmcall|syscall|sysenter|sysexit|int|int1|int3|into|iret|hlt|ud.*)$|Far|Control|Debug|[Ss]egment|^(lgdt|lidt|sgdt|sidt|lldt|ltr|lar|lsl|ver.|lmsw|smsw|str|sldt|arpl|clts|invd|invlpg|rdmsr|wrmsr|rsm|sti|cli|popf|in.*|out.*|fwait|crc32.*|clflush|rdpid|cmpxchg16b|cmpxchg8b|aam|aad|enter|adcx|adox|popcnt|movbe|tzcnt|lzcnt|mulx|bound|loadAbsolute|jmp|call|ret)$/;

/** See `CHOICES`. */
export const LEGACY_CHOICES: readonly Choice[] = OPCODES.flatMap((opcode, index) =>
  (opcode?.variants ?? [])
    .filter(({ entry }) =>
      !LEGACY_LEFT_OUT.test(entry.name) && !entry.only64 && !isVector(entry) &&
      entry.feature !== "sse2" &&
      entry.name !== "x87" && (entry.name !== "nop" || (index & 255) === 0x1f) &&
      index >> 8 < OpcodeMap.vex &&
      (entry.feature === undefined || FEATURES.has(entry.feature))
    )
    .map((variant) => ({ map: index >> 8, opcode: index & 255, variant }))
);

/**
 * What is compared in compatibility mode. Some of it KVM's emulator does, which has its own ways with
 * AAM, AAD and ENTER and does not know BOUND and CRC32.
 */
export const COMPATIBILITY_CHOICES: readonly Choice[] = OPCODES.flatMap((opcode, index) =>
  (opcode?.variants ?? [])
    .filter(({ entry }) =>
      !LEFT_OUT.has(entry.name) && !entry.only64 && index >> 8 < OpcodeMap.vex &&
      !/Far|egment|^(aam|aad|enter|bound|crc32.*|into|x87|in.*|out.*|arpl|jmp|call|ret|hlt|cli|sti|popf)$/
        .test(entry.name) &&
      entry.feature === undefined && (entry.name !== "nop" || (index & 255) === 0x1f)
    )
    .map((variant) => ({ map: index >> 8, opcode: index & 255, variant }))
);

/** A case of `choice` for compatibility mode: registers of 32 bits. */
export function makeCompatibilityCase(
  random: Random,
  choice: Choice,
): Case & { readonly entry: Entry } {
  const whole = makeCase(random, choice);
  const registers = whole.registers.map((value) => value & 0xffff_ffffn);
  // KVM carries out some of these itself, where AC does nothing.
  const flags = whole.flags & ~(1 << 18);
  return { ...whole, registers, flags, bytes: encodeLegacy(random, choice, 32) };
}

/** The bytes of an instruction for 16- or 32-bit code. */
export function encodeLegacy(random: Random, { map, opcode, variant }: Choice, bits: 16 | 32) {
  const { entry, prefix } = variant;
  const bytes: number[] = [];
  const operandPrefix = prefix <= 0 && random.chance(40) && !entry.forced64;
  const addressPrefix = random.chance(20);
  if (prefix > 0) bytes.push(prefix);
  else if (operandPrefix) bytes.push(0x66);
  if (addressPrefix) bytes.push(0x67);
  if (/^(movs|stos|lods|scas|cmps)$/.test(entry.name) && random.chance(60)) {
    bytes.push(random.pick([0xf2, 0xf3]));
  }
  if (random.chance(5)) bytes.push(random.pick([0x2e, 0x36, 0x3e, 0x26]));
  if (entry.lockable && random.chance(10)) bytes.push(0xf0);
  if (map === OpcodeMap.map0F) bytes.push(0x0f);
  else if (map === OpcodeMap.map0F38) bytes.push(0x0f, 0x38);
  bytes.push(opcode);
  const operandBits = (bits === 32) !== operandPrefix ? 32 : 16;
  const addressBits = (bits === 32) !== addressPrefix ? 32 : 16;
  if (OPCODES[map * 256 + opcode]!.hasModrm) {
    if (addressBits === 32) addModrm(random, variant, bytes);
    else addModrm16(random, variant, bytes);
  }
  for (const { kind, size } of entry.operands) {
    if (kind === "Q") bytes.push(random.below(64), 0, random.chance(70) ? 0 : random.below(4));
    if (kind === "O") {
      for (let i = 0; i < addressBits / 8; i++) {
        bytes.push(i === 1 ? 0x90 : i > 1 ? 0 : random.below(256));
      }
    }
    if (kind !== "I" && kind !== "J") continue;
    if (kind === "J" && size === "b") {
      bytes.push(random.below(16));
      continue;
    }
    const count = size === "b" || size === "s" ? 1 : size === "w" ? 2 : operandBits / 8;
    const value = kind === "J" ? random.below(0x700) : random.u32();
    for (let i = 0; i < count; i++) bytes.push(value >>> (8 * i) & 0xff);
  }
  return bytes;
}

function addModrm16(random: Random, { reg, mod, modrm }: Variant, bytes: number[]): void {
  if (modrm >= 0) return void bytes.push(modrm);
  const inMemory = mod === "m" || mod === "" && random.chance(55);
  let value = random.below(256);
  value = inMemory ? random.below(3) << 6 | value & 0x3f : value | 0xc0;
  if (reg >= 0) value = value & 0xc7 | reg << 3;
  bytes.push(value);
  if (!inMemory) return;
  const count = value >> 6 === 1 ? 1 : value >> 6 === 2 || (value & 7) === 6 ? 2 : 0;
  const near = value >> 6 === 0 ? 0x8000 + random.below(0x4000) : random.below(0x2000);
  for (let i = 0; i < count; i++) bytes.push(near >> (8 * i) & 0xff);
}
