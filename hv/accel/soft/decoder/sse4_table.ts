/** The opcodes of SSE3, SSSE3, SSE4.1 and SSE4.2; the form of the lines is that of opcode_table.ts. */

const SSE3 = `
F2.0f12 movddup Hx,Wx
F3.0f12 movsldup Hx,Wx
F3.0f16 movshdup Hx,Wx
66.0f7c haddpd Hx,Wx
F2.0f7c haddps Hx,Wx
66.0f7d hsubpd Hx,Wx
F2.0f7d hsubps Hx,Wx
66.0fd0 addsubpd Hx,Wx
F2.0fd0 addsubps Hx,Wx
F2.0ff0m movups Hx,Wx
`;

const SSSE3 = `
66.0f3800 pshufb Hx,Wx
66.0f3801 phaddw Hx,Wx
66.0f3802 phaddd Hx,Wx
66.0f3803 phaddsw Hx,Wx
66.0f3804 pmaddubsw Hx,Wx
66.0f3805 phsubw Hx,Wx
66.0f3806 phsubd Hx,Wx
66.0f3807 phsubsw Hx,Wx
66.0f3808 psignb Hx,Wx
66.0f3809 psignw Hx,Wx
66.0f380a psignd Hx,Wx
66.0f380b pmulhrsw Hx,Wx
66.0f381c pabsb Hx,Wx
66.0f381d pabsw Hx,Wx
66.0f381e pabsd Hx,Wx
66.0f3a0f palignr Hx,Wx,Ib
`;

const lines = (feature: string, text: string): string[] =>
  text.trim().split("\n").map((line) => `${line} :32 feature=${feature}`);

/** See above. */
export const SSE4_LINES: readonly string[] = [
  ...lines("sse3", SSE3),
  ...lines("ssse3", SSSE3),
];
