/**
 * The opcodes that name MMX registers: of MMX, and what SSE, SSE2 and SSSE3 added. The form of the lines
 * is that of opcode_table.ts.
 */

import { INTEGERS } from "./sse_table.ts";
import { SSSE3_OPERATIONS } from "./sse4_table.ts";

const OTHERS = `
NP.0f6e movd_from P,Ey
NP.0f6f movq P,K
NP.0f70 pshufw P,K,Ib
NP.0f71/2r psrlw N,Ib
NP.0f71/4r psraw N,Ib
NP.0f71/6r psllw N,Ib
NP.0f72/2r psrld N,Ib
NP.0f72/4r psrad N,Ib
NP.0f72/6r pslld N,Ib
NP.0f73/2r psrlq N,Ib
NP.0f73/6r psllq N,Ib
NP.0f77 emms
NP.0f7e movd_to Ey,P
NP.0f7f movq K,P
NP.0fc4 pinsrw P,Ed,Ib
NP.0fc5r pextrw Gd,N,Ib
NP.0fd7r pmovmskb Gd,N
NP.0fe7m movq K,P
NP.0ff7r maskmovq P,N
NP.0f2a cvtpi2ps Hx,K
66.0f2a cvtpi2pd Hx,K
NP.0f2c cvttps2pi P,Wx
66.0f2c cvttpd2pi P,Wx
NP.0f2d cvtps2pi P,Wx
66.0f2d cvtpd2pi P,Wx
F3.0fd6r movq2dq Hx,N
F2.0fd6r movdq2q P,Ux
NP.0f3a0f palignr P,K,Ib
`;

/** There is no half of a register to unpack. */
const OF_HALVES = new Set(["punpcklqdq", "punpckhqdq"]);

/** See above; the handlers' names begin with `mmx_`. */
export const MMX_LINES: readonly string[] = [
  ...INTEGERS.filter(([, name]) => !OF_HALVES.has(name))
    .map(([opcode, name]) => `NP.0f${opcode} ${name} P,K`),
  ...SSSE3_OPERATIONS.map(([opcode, name]) => `NP.0f38${opcode} ${name} P,K`),
  ...OTHERS.trim().split("\n"),
].map((line) => `${line.replace(" ", " mmx_")} :32 feature=mmx`);
