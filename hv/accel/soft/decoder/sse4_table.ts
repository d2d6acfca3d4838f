/** The opcodes from SSE3 to SSE4.2, and of AES-NI and PCLMULQDQ; their form is that of opcode_table.ts. */

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

/** Opcode in map 0F38 and name; with 66 for XMM registers, without for MMX. */
export const SSSE3_OPERATIONS: readonly (readonly [opcode: string, name: string])[] = [
  ["00", "pshufb"],
  ["01", "phaddw"],
  ["02", "phaddd"],
  ["03", "phaddsw"],
  ["04", "pmaddubsw"],
  ["05", "phsubw"],
  ["06", "phsubd"],
  ["07", "phsubsw"],
  ["08", "psignb"],
  ["09", "psignw"],
  ["0a", "psignd"],
  ["0b", "pmulhrsw"],
  ["1c", "pabsb"],
  ["1d", "pabsw"],
  ["1e", "pabsd"],
];

const SSSE3 =
  SSSE3_OPERATIONS.map(([opcode, name]) => `66.0f38${opcode} ${name} Hx,Wx\n`).join("") +
  "66.0f3a0f palignr Hx,Wx,Ib";

const SSE41 = `
66.0f3810 pblendvb Hx,Wx
66.0f3814 blendvps Hx,Wx
66.0f3815 blendvpd Hx,Wx
66.0f3817 ptest Hx,Wx
66.0f3820 pmovsxbw Hx,Wx
66.0f3821 pmovsxbd Hx,Wx
66.0f3822 pmovsxbq Hx,Wx
66.0f3823 pmovsxwd Hx,Wx
66.0f3824 pmovsxwq Hx,Wx
66.0f3825 pmovsxdq Hx,Wx
66.0f3828 pmuldq Hx,Wx
66.0f3829 pcmpeqq Hx,Wx
66.0f382am movaps Hx,Wx
66.0f382b packusdw Hx,Wx
66.0f3830 pmovzxbw Hx,Wx
66.0f3831 pmovzxbd Hx,Wx
66.0f3832 pmovzxbq Hx,Wx
66.0f3833 pmovzxwd Hx,Wx
66.0f3834 pmovzxwq Hx,Wx
66.0f3835 pmovzxdq Hx,Wx
66.0f3838 pminsb Hx,Wx
66.0f3839 pminsd Hx,Wx
66.0f383a pminuw Hx,Wx
66.0f383b pminud Hx,Wx
66.0f383c pmaxsb Hx,Wx
66.0f383d pmaxsd Hx,Wx
66.0f383e pmaxuw Hx,Wx
66.0f383f pmaxud Hx,Wx
66.0f3840 pmulld Hx,Wx
66.0f3841 phminposuw Hx,Wx
66.0f3a08 roundps Hx,Wx,Ib
66.0f3a09 roundpd Hx,Wx,Ib
66.0f3a0a roundss Hx,Wx,Ib
66.0f3a0b roundsd Hx,Wx,Ib
66.0f3a0c blendps Hx,Wx,Ib
66.0f3a0d blendpd Hx,Wx,Ib
66.0f3a0e pblendw Hx,Wx,Ib
66.0f3a14 pextrb Ed,Hx,Ib
66.0f3a15 pextrw Ed,Hx,Ib
66.0f3a16 pextrd Ey,Hx,Ib
66.0f3a17 extractps Ed,Hx,Ib
66.0f3a20 pinsrb Hx,Ed,Ib
66.0f3a21 insertps Hx,Wx,Ib
66.0f3a22 pinsrd Hx,Ey,Ib
66.0f3a40 dpps Hx,Wx,Ib
66.0f3a41 dppd Hx,Wx,Ib
66.0f3a42 mpsadbw Hx,Wx,Ib
`;

const SSE42 = `
66.0f3837 pcmpgtq Hx,Wx
66.0f3a60 pcmpestrm Hx,Wx,Ib
66.0f3a61 pcmpestri Hx,Wx,Ib
66.0f3a62 pcmpistrm Hx,Wx,Ib
66.0f3a63 pcmpistri Hx,Wx,Ib
`;

const AES = `
66.0f38db aesimc Hx,Wx
66.0f38dc aesenc Hx,Wx
66.0f38dd aesenclast Hx,Wx
66.0f38de aesdec Hx,Wx
66.0f38df aesdeclast Hx,Wx
66.0f3adf aeskeygenassist Hx,Wx,Ib
`;

const lines = (feature: string, text: string): string[] =>
  text.trim().split("\n").map((line) => `${line} :32 feature=${feature}`);

/** See above. */
export const SSE4_LINES: readonly string[] = [
  ...lines("sse3", SSE3),
  ...lines("ssse3", SSSE3),
  ...lines("sse4-1", SSE41),
  ...lines("sse4-2", SSE42),
  ...lines("aes", AES),
  ...lines("pclmulqdq", "66.0f3a44 pclmulqdq Hx,Wx,Ib"),
];
