/** The opcodes of SSE and SSE2; the form of the lines is that of opcode_table.ts. */

/** Prefix by the last letters of the name: PS, PD, SS, SD. */
const FLOATS: readonly (readonly [string, string])[] = [
  ["51", "sqrt"],
  ["58", "add"],
  ["59", "mul"],
  ["5c", "sub"],
  ["5d", "min"],
  ["5e", "div"],
  ["5f", "max"],
];
const KINDS = [["NP", "ps"], ["66", "pd"], ["F3", "ss"], ["F2", "sd"]] as const;

/** With 66: opcode and name of what has two vector operands; without, most have MMX registers. */
export const INTEGERS: readonly (readonly [opcode: string, name: string])[] =
  `60 punpcklbw,61 punpcklwd,62 punpckldq,63 packsswb,64 pcmpgtb,65 pcmpgtw,66 pcmpgtd,\
67 packuswb,68 punpckhbw,69 punpckhwd,6a punpckhdq,6b packssdw,6c punpcklqdq,6d punpckhqdq,74 pcmpeqb,\
75 pcmpeqw,76 pcmpeqd,d1 psrlw,d2 psrld,d3 psrlq,d4 paddq,d5 pmullw,d8 psubusb,d9 psubusw,da pminub,\
db pand,dc paddusb,dd paddusw,de pmaxub,df pandn,e0 pavgb,e1 psraw,e2 psrad,e3 pavgw,e4 pmulhuw,\
e5 pmulhw,e8 psubsb,e9 psubsw,ea pminsw,eb por,ec paddsb,ed paddsw,ee pmaxsw,ef pxor,f1 psllw,f2 pslld,\
f3 psllq,f4 pmuludq,f5 pmaddwd,f6 psadbw,f8 psubb,f9 psubw,fa psubd,fb psubq,fc paddb,fd paddw,fe paddd`
    .split(",").map((line) => {
      const [opcode, name] = line.split(" ");
      return [opcode, name];
    });

const OTHERS = `
NP.0f10 movups Hx,Wx
66.0f10 movups Hx,Wx
F3.0f10 movss Hx,Wx
F2.0f10 movsd_x Hx,Wx
NP.0f11 movups Wx,Hx
66.0f11 movups Wx,Hx
F3.0f11 movss Wx,Hx
F2.0f11 movsd_x Wx,Hx
NP.0f12r movhlps Hx,Ux
NP.0f12m movlps Hx,Wx
66.0f12m movlps Hx,Wx
NP.0f13m movlps Wx,Hx
66.0f13m movlps Wx,Hx
NP.0f14 punpckldq Hx,Wx
66.0f14 punpcklqdq Hx,Wx
NP.0f15 punpckhdq Hx,Wx
66.0f15 punpckhqdq Hx,Wx
NP.0f16r movlhps Hx,Ux
NP.0f16m movhps Hx,Wx
66.0f16m movhps Hx,Wx
NP.0f17m movhps_store Wx,Hx
66.0f17m movhps_store Wx,Hx
NP.0f28 movaps Hx,Wx
66.0f28 movaps Hx,Wx
NP.0f29 movaps Wx,Hx
66.0f29 movaps Wx,Hx
F3.0f2a cvtsis_s Hx,Ey
F2.0f2a cvtsis_d Hx,Ey
NP.0f2bm movaps Wx,Hx
66.0f2bm movaps Wx,Hx
F3.0f2c cvttsssi Gy,Wx
F2.0f2c cvttsdsi Gy,Wx
F3.0f2d cvtsssi Gy,Wx
F2.0f2d cvtsdsi Gy,Wx
NP.0f2e ucomiss Hx,Wx
66.0f2e ucomisd Hx,Wx
NP.0f2f comiss Hx,Wx
66.0f2f comisd Hx,Wx
NP.0f50r movmskps Gd,Ux
66.0f50r movmskpd Gd,Ux
NP.0f52 rsqrtps Hx,Wx
F3.0f52 rsqrtss Hx,Wx
NP.0f53 rcpps Hx,Wx
F3.0f53 rcpss Hx,Wx
NP.0f54 pand Hx,Wx
66.0f54 pand Hx,Wx
NP.0f55 pandn Hx,Wx
66.0f55 pandn Hx,Wx
NP.0f56 por Hx,Wx
66.0f56 por Hx,Wx
NP.0f57 pxor Hx,Wx
66.0f57 pxor Hx,Wx
NP.0f5a cvtps2pd Hx,Wx
66.0f5a cvtpd2ps Hx,Wx
F3.0f5a cvtss2sd Hx,Wx
F2.0f5a cvtsd2ss Hx,Wx
NP.0f5b cvtdq2ps Hx,Wx
66.0f5b cvtps2dq Hx,Wx
F3.0f5b cvttps2dq Hx,Wx
66.0f6e movd_from Hx,Ey
66.0f6f movaps Hx,Wx
F3.0f6f movups Hx,Wx
66.0f70 pshufd Hx,Wx,Ib
F3.0f70 pshufhw Hx,Wx,Ib
F2.0f70 pshuflw Hx,Wx,Ib
66.0f71/2r psrlw Ux,Ib
66.0f71/4r psraw Ux,Ib
66.0f71/6r psllw Ux,Ib
66.0f72/2r psrld Ux,Ib
66.0f72/4r psrad Ux,Ib
66.0f72/6r pslld Ux,Ib
66.0f73/2r psrlq Ux,Ib
66.0f73/3r psrldq Ux,Ib
66.0f73/6r psllq Ux,Ib
66.0f73/7r pslldq Ux,Ib
66.0f7e movd_to Ey,Hx
F3.0f7e movq_x Hx,Wx
66.0f7f movaps Wx,Hx
F3.0f7f movups Wx,Hx
NP.0fae/0m fxsave Mv
NP.0fae/1m fxrstor Mv
NP.0fae/2m ldmxcsr Md
NP.0fae/3m stmxcsr Md
NP.0fc2 cmpps Hx,Wx,Ib
66.0fc2 cmppd Hx,Wx,Ib
F3.0fc2 cmpss_x Hx,Wx,Ib
F2.0fc2 cmpsd_x Hx,Wx,Ib
66.0fc4 pinsrw Hx,Ed,Ib
66.0fc5r pextrw Gd,Ux,Ib
NP.0fc6 shufps Hx,Wx,Ib
66.0fc6 shufpd Hx,Wx,Ib
66.0fd6 movq_store Wx,Hx
66.0fd7r pmovmskb Gd,Ux
66.0fe6 cvttpd2dq Hx,Wx
F3.0fe6 cvtdq2pd Hx,Wx
F2.0fe6 cvtpd2dq Hx,Wx
66.0fe7m movaps Wx,Hx
66.0ff7r maskmovdqu Hx,Ux
`;

const SIZE = ":32 feature=sse2";

/** See above. */
export const SSE_LINES: readonly string[] = [
  ...FLOATS.flatMap(([opcode, name]) =>
    KINDS.map(([prefix, kind]) => `${prefix}.0f${opcode} ${name}${kind} Hx,Wx ${SIZE}`)
  ),
  ...INTEGERS.map(([opcode, name]) => `66.0f${opcode} ${name} Hx,Wx ${SIZE}`),
  ...OTHERS.trim().split("\n").map((line) => `${line} ${SIZE}`),
];
