/**
 * The opcode maps as text (Intel SDM volume 2, appendix A; AMD APM volume 3, appendix A).
 *
 * A line is: where, name, operands, flags.
 *
 * Where: `[prefix.]opcode[/reg][m|r][=modrm]`. The prefix (66, F3, F2, or NP for none) makes the line
 * count for that mandatory prefix alone; /reg selects by ModRM.reg, m and r by a memory or a register
 * operand, =modrm by the whole byte. `50+` stands for eight opcodes with a register in the low bits.
 * The first line that fits counts.
 *
 * Operands: E register or memory by ModRM, M memory, R register by ModRM.rm, G register by ModRM.reg,
 * H vector register by ModRM.reg, W vector register or memory, U vector register by ModRM.rm,
 * P MMX register by ModRM.reg, K MMX register or memory, N MMX register by ModRM.rm,
 * Z register in the opcode, V register in VEX.vvvv, I immediate, J branch target, O offset, A far
 * pointer, S segment register, C control or debug register, X and Y string operands, 1 the number;
 * lower-case names are registers. Sizes: b, w, d, q are 8 to 64 bits; v the operand size; y 32 or 64;
 * z 16 or 32 (an immediate); s a sign-extended byte.
 *
 * Flags: d64 64-bit operands are the default in 64-bit mode; f64 no others exist there; i64 invalid
 * there; o64 only there; lock may have LOCK with memory; end the block ends; :n a size for lines
 * without operands; feature=name needs the CPUID feature.
 */

import { MMX_LINES } from "./mmx_table.ts";
import { SSE_LINES } from "./sse_table.ts";
import { SSE4_LINES } from "./sse4_table.ts";

const CONDITIONS = ["o", "no", "b", "nb", "z", "nz", "be", "nbe", "s", "ns", "p", "np", "l", "nl"]
  .concat("le", "nle");

const hex = (value: number): string => value.toString(16).padStart(2, "0");

/** The eight operations whose opcodes are laid out alike. */
const ALU = ["add", "or", "adc", "sbb", "and", "sub", "xor", "cmp"].flatMap((name, i) => {
  const lock = name === "cmp" ? "" : " lock";
  const at = (low: number) => hex(i * 8 + low);
  return [
    `${at(0)} ${name} Eb,Gb${lock}`,
    `${at(1)} ${name} Ev,Gv${lock}`,
    `${at(2)} ${name} Gb,Eb`,
    `${at(3)} ${name} Gv,Ev`,
    `${at(4)} ${name} al,Ib`,
    `${at(5)} ${name} ax,Iz`,
    `80/${i} ${name} Eb,Ib${lock}`,
    `81/${i} ${name} Ev,Iz${lock}`,
    `82/${i} ${name} Eb,Ib i64${lock}`,
    `83/${i} ${name} Ev,Is${lock}`,
  ];
});

const SHIFT = ["rol", "ror", "rcl", "rcr", "shl", "shr", "shl", "sar"].flatMap((name, i) => [
  `c0/${i} ${name} Eb,Ib`,
  `c1/${i} ${name} Ev,Ib`,
  `d0/${i} ${name} Eb,1`,
  `d1/${i} ${name} Ev,1`,
  `d2/${i} ${name} Eb,cl`,
  `d3/${i} ${name} Ev,cl`,
]);

const CONDITIONAL = CONDITIONS.flatMap((name, i) => [
  `${hex(0x70 + i)} j${name} Jb f64 end`,
  `0f${hex(0x80 + i)} j${name} Jz f64 end`,
  `0f${hex(0x90 + i)} set${name} Eb`,
  `0f${hex(0x40 + i)} cmov${name} Gv,Ev`,
]);

const BIT_TESTS = ["bt", "bts", "btr", "btc"].flatMap((name, i) => {
  const lock = name === "bt" ? "" : " lock";
  return [`0f${hex(0xa3 + i * 8)} ${name} Ev,Gv${lock}`, `0fba/${4 + i} ${name} Ev,Ib${lock}`];
});

const ONE_BYTE = `
06 pushSegment S0 i64
07 popSegment S0 i64 end
0e pushSegment S1 i64
16 pushSegment S2 i64
17 popSegment S2 i64 end
1e pushSegment S3 i64
1f popSegment S3 i64 end
27 daa i64
2f das i64
37 aaa i64
3f aas i64
40+ inc Zv i64
48+ dec Zv i64
50+ push Zv d64
58+ pop Zv d64
60 pusha i64
61 popa i64
62m bound Gv,Mv i64
63 arpl Ew,Gw i64
63 movsxd Gv,Ed o64
68 push Iz d64
69 imul3 Gv,Ev,Iz
6a push Is d64
6b imul3 Gv,Ev,Is
6c ins Yb
6d ins Yz
6e outs Xb
6f outs Xz
84 test Eb,Gb
85 test Ev,Gv
86 xchg Eb,Gb lock
87 xchg Ev,Gv lock
88 mov Eb,Gb
89 mov Ev,Gv
8a mov Gb,Eb
8b mov Gv,Ev
8cm movFromSegment Ew,S
8cr movFromSegment Ev,S
8dm lea Gv,Mv
8e movToSegment Ew,S end
8f/0 pop Ev d64
90+ xchg Zv,ax
98 cbw :v
99 cwd :v
9a callFar A i64 end
9b fwait :32
9c pushf :v d64
9d popf :v d64 end
9e sahf :32
9f lahf :32
a0 mov al,Ob
a1 mov ax,Ov
a2 mov Ob,al
a3 mov Ov,ax
a4 movs Xb
a5 movs Xv
a6 cmps Xb
a7 cmps Xv
a8 test al,Ib
a9 test ax,Iz
aa stos Xb
ab stos Xv
ac lods Xb
ad lods Xv
ae scas Xb
af scas Xv
b0+ mov Zb,Ib
b8+ mov Zv,Iv
c2 ret Iw f64 end
c3 ret :v f64 end
c4m loadFarPointer Gv,Mv,S0 i64 end
c5m loadFarPointer Gv,Mv,S3 i64 end
c6/0 mov Eb,Ib
c7/0 mov Ev,Iz
c8 enter Q :v d64
c9 leave :v d64
ca retFarImmediate Iw :v end
cb retFar :v end
cc int3 :32 end
cd int Ib :32 end
ce into i64 end
cf iret :v end
d4 aam Ib :32 i64
d5 aad Ib :32 i64
d6 salc :32 i64
d7 xlat Xb
d8m x87 Mv :v
d9m x87 Mv :v
dam x87 Mv :v
dbm x87 Mv :v
dcm x87 Mv :v
ddm x87 Mv :v
dem x87 Mv :v
dfm x87 Mv :v
d8r x87 T :v
d9r x87 T :v
dar x87 T :v
dbr x87 T :v
dcr x87 T :v
ddr x87 T :v
der x87 T :v
dfr x87 T :v
e0 loopne Jb f64 end
e1 loope Jb f64 end
e2 loop Jb f64 end
e3 jcxz Jb f64 end
e4 inImmediate al,Ib
e5 inImmediate eax,Ib
e6 outImmediate al,Ib
e7 outImmediate eax,Ib
e8 call Jz f64 end
e9 jmp Jz f64 end
ea jmpFar A i64 end
eb jmp Jb f64 end
ec in al
ed in eax
ee out al
ef out eax
f1 int1 :32 end
f4 hlt :32 end
f5 cmc :32
f6/0 test Eb,Ib
f6/1 test Eb,Ib
f6/2 not Eb lock
f6/3 neg Eb lock
f6/4 mul Eb
f6/5 imul Eb
f6/6 div Eb
f6/7 idiv Eb
f7/0 test Ev,Iz
f7/1 test Ev,Iz
f7/2 not Ev lock
f7/3 neg Ev lock
f7/4 mul Ev
f7/5 imul Ev
f7/6 div Ev
f7/7 idiv Ev
f8 clc :32
f9 stc :32
fa cli :32
fb sti :32
fc cld :32
fd std :32
fe/0 inc Eb lock
fe/1 dec Eb lock
ff/0 inc Ev lock
ff/1 dec Ev lock
ff/2 call Ev f64 end
ff/3m callFarMemory Mv end
ff/4 jmp Ev f64 end
ff/5m jmpFarMemory Mv end
ff/6 push Ev d64
`;

const TWO_BYTE = `
0f00/0m sldt Ew
0f00/0r sldt Ev
0f00/1m str Ew
0f00/1r str Ev
0f00/2 lldt Ew
0f00/3 ltr Ew
0f00/4 verr Ew
0f00/5 verw Ew
NP.0f01=c1 vmcall :32 feature=hypervisor
NP.0f01=d9 vmcall :32 feature=hypervisor
NP.0f01=ca clac :32 feature=smap
NP.0f01=cb stac :32 feature=smap
NP.0f01=d0 xgetbv :32 feature=xsave
NP.0f01=d1 xsetbv :32 feature=xsave end
0f01=f8 swapgs :32 o64
0f01=f9 rdtscp :32
0f01/0m sgdt Mv
0f01/1m sidt Mv
0f01/2m lgdt Mv
0f01/3m lidt Mv
0f01/4m smsw Ew
0f01/4r smsw Ev
0f01/6 lmsw Ew end
0f01/7m invlpg Mv end
0f02 lar Gv,Ew
0f03 lsl Gv,Ew
0f05 syscall :32 o64 end
0f06 clts :32 end
0f07 sysret :v o64 end
0f08 invd :32
0f09 invd :32
0f0b ud
0f0dm nop Ev
0f18 nop Ev
0f19 nop Ev
0f1a nop Ev
0f1b nop Ev
0f1c nop Ev
0f1d nop Ev
0f1e nop Ev
0f1f nop Ev
0f20 movFromControl Ry,C
0f21 movFromDebug Ry,C
0f22 movToControl Ry,C end
0f23 movToDebug Ry,C end
0f30 wrmsr :32 end
0f31 rdtsc :32
0f32 rdmsr :32
0f33 rdpmc :32
0f34 sysenter :32 end
0f35 sysexit :v end
0fa0 pushSegment S4 d64
0fa1 popSegment S4 d64 end
0fa2 cpuid :32
0fa4 shld Ev,Gv,Ib
0fa5 shld Ev,Gv,cl
0fa8 pushSegment S5 d64
0fa9 popSegment S5 d64 end
0faa rsm :32 end
0fac shrd Ev,Gv,Ib
0fad shrd Ev,Gv,cl
F3.0fae/0r rdfsbase Ry o64 feature=fsgsbase
F3.0fae/1r rdgsbase Ry o64 feature=fsgsbase
F3.0fae/2r wrfsbase Ry o64 feature=fsgsbase
F3.0fae/3r wrgsbase Ry o64 feature=fsgsbase
NP.0fae/4m xsave Mv feature=xsave
NP.0fae/5m xrstor Mv feature=xsave
NP.0fae/6m xsaveopt Mv feature=xsaveopt
NP.0fc7/4m xsavec Mv feature=xsavec
NP.0fae/7m clflush Eb feature=clflush
66.0fae/7m clflush Eb feature=clflushopt
66.0fae/6m clflush Eb feature=clwb
NP.0fae/5r nop Ed feature=sse2
NP.0fae/6r mfence Ed feature=sse2
NP.0fae/7r nop Ed feature=sse
0faf imul2 Gv,Ev
0fb0 cmpxchg Eb,Gb lock
0fb1 cmpxchg Ev,Gv lock
0fb2m loadFarPointer Gv,Mv,S2 end
0fb4m loadFarPointer Gv,Mv,S4 end
0fb5m loadFarPointer Gv,Mv,S5 end
0fb6 movzx8 Gv,Eb
0fb7 movzx16 Gv,Ew
F3.0fb8 popcnt Gv,Ev feature=popcnt
0fb9 ud1 Gv,Ev
F3.0fbc tzcnt Gv,Ev feature=bmi1
0fbc bsf Gv,Ev
F3.0fbd lzcnt Gv,Ev feature=abm
0fbd bsr Gv,Ev
0fbe movsx8 Gv,Eb
0fbf movsx16 Gv,Ew
0fc0 xadd Eb,Gb lock
0fc1 xadd Ev,Gv lock
NP.0fc3m mov Ey,Gy feature=sse2
0fc7/1m cmpxchg8b My lock
NP.0fc7/6r rdrand Rv feature=rdrand
66.0fc7/6r rdrand Rv feature=rdrand
NP.0fc7/7r rdseed Rv feature=rdseed
66.0fc7/7r rdseed Rv feature=rdseed
F3.0fc7/7r rdpid Ry feature=rdpid
0fc8+ bswap Zv
0fff ud0 Gv,Ev
`;

const THREE_BYTE = `
66.0f3882m invpcid Gy,Mv feature=invpcid
F2.0f38f0 crc32_8 Gy,Eb feature=sse4-2
F2.0f38f1 crc32 Gy,Ev feature=sse4-2
NP.0f38f0m movbe Gv,Mv feature=movbe
66.0f38f0m movbe Gv,Mv feature=movbe
NP.0f38f1m movbe Mv,Gv feature=movbe
66.0f38f1m movbe Mv,Gv feature=movbe
66.0f38f6 adcx Gy,Ey feature=adx
F3.0f38f6 adox Gy,Ey feature=adx
`;

/** With a VEX prefix: `vex` and the map instead of 0f, 0f38 and 0f3a. */
const VEX = `
NP.vex2f2 andn Gy,Vy,Ey feature=bmi1
NP.vex2f3/1 blsr Vy,Ey feature=bmi1
NP.vex2f3/2 blsmsk Vy,Ey feature=bmi1
NP.vex2f3/3 blsi Vy,Ey feature=bmi1
NP.vex2f5 bzhi Gy,Ey,Vy feature=bmi2
F3.vex2f5 pext Gy,Vy,Ey feature=bmi2
F2.vex2f5 pdep Gy,Vy,Ey feature=bmi2
F2.vex2f6 mulx Gy,Vy,Ey feature=bmi2
NP.vex2f7 bextr Gy,Ey,Vy feature=bmi1
66.vex2f7 shlx Gy,Ey,Vy feature=bmi2
F3.vex2f7 sarx Gy,Ey,Vy feature=bmi2
F2.vex2f7 shrx Gy,Ey,Vy feature=bmi2
F2.vex3f0 rorx Gy,Ey,Ib feature=bmi2
`;

/** Every line of every map. */
export const OPCODE_LINES: readonly string[] = [
  ...ALU,
  ...SHIFT,
  ...CONDITIONAL,
  ...BIT_TESTS,
  ...SSE_LINES,
  ...MMX_LINES,
  ...SSE4_LINES,
  ...[ONE_BYTE, TWO_BYTE, THREE_BYTE, VEX].flatMap((text) => text.trim().split("\n")),
];
