/** XSAVE, its kin and the registers that govern them (Intel SDM volume 1, chapter 13). */

import assert from "node:assert/strict";
import { CpuState, createVm } from "../../../hv/accel/mod.ts";
import { softVm } from "./support/soft_vm.ts";
import { type Random, seeded } from "../../support/random.ts";
import {
  DATA,
  DATA_OFFSET,
  END,
  SystemMachine,
  type SystemMode,
} from "./support/system_machine.ts";
import { kvmIsThere } from "./compared/kvm_is_there.ts";
import { DATA as USER_DATA, UserMachine, X87_AFTER } from "./support/user_machine.ts";

const OSXSAVE = 1n << 18n;
const AREA = DATA;
const HLT = 0xf4;

const little = (value: number, bytes: number): number[] =>
  Array.from({ length: bytes }, (_, i) => value >>> (8 * i) & 0xff);

/** mov eax, mask; xor edx, edx; then an instruction of opcode 0F `second` /`operation` on the area. */
function onArea(mode: SystemMode, mask: number, second: number, operation: number): number[] {
  const prefix = mode === "real" ? [0x66] : [];
  const address = mode === "real"
    ? [0x06 | operation << 3, ...little(DATA_OFFSET, 2)]
    : [0x04 | operation << 3, 0x25, ...little(AREA, 4)];
  return [...prefix, 0xb8, ...little(mask, 4), 0x31, 0xd2, 0x0f, second, ...address];
}
const xsave = (mode: SystemMode, mask = 3) => onArea(mode, mask, 0xae, 4);
const xrstor = (mode: SystemMode, mask = 3) => onArea(mode, mask, 0xae, 5);
const xsaveopt = (mode: SystemMode, mask = 3) => onArea(mode, mask, 0xae, 6);
const xsavec = (mode: SystemMode, mask = 3) => onArea(mode, mask, 0xc7, 4);

/** A machine with the state components in use, XCR0 = 3 and the area full of CCh. */
function machine(mode: SystemMode = "long") {
  const m = new SystemMachine(mode);
  m.bytes.fill(0xcc, AREA, AREA + 576);
  const run = (code: number[], change: (state: ReturnType<typeof m.initialState>) => void) =>
    m.run([...code, HLT], (state) => {
      state.cr4 |= OSXSAVE;
      state.xcr0 = 3n;
      state.xsave.fill(0x11, 32, 160 + 256);
      state.xsave[0] = 0x7e;
      state.xsave[1] = 3;
      state.xsave[4] = 0xff;
      change(state);
    });
  const header =
    () => [m.view.getBigUint64(AREA + 512, true), m.view.getBigUint64(AREA + 520, true)];
  return { m, run, header };
}

Deno.test("XSAVE stores what EDX:EAX and XCR0 have in common and leaves the rest alone (13.7)", () => {
  for (const mode of ["real", "long"] as const) {
    const { m, run, header } = machine(mode);
    assert.equal(run(xsave(mode, 2), () => {}).vector, END);
    assert.equal(m.view.getUint16(AREA, true), 0xcccc, "not the x87");
    assert.equal(m.view.getUint32(AREA + 24, true), 0x1f80);
    assert.equal(m.view.getUint32(AREA + 28, true), 0xffff, "MXCSR_MASK");
    assert.equal(m.bytes[AREA + 160], 0x11);
    assert.equal(m.bytes[AREA + 160 + 8 * 16], mode === "real" ? 0xcc : 0x11, "XMM8");
    assert.deepEqual(
      header(),
      [0xcccc_cccc_cccc_ccce, 0xcccc_cccc_cccc_cccc].map((_, i) =>
        i === 0 ? 0xcccc_cccc_cccc_ccc0n | 0xcn | 2n : 0xcccc_cccc_cccc_ccccn
      ),
    );
  }
});

Deno.test("XSTATE_BV says what is in use, XSAVEOPT and XSAVEC store nothing else (13.9, 13.10)", () => {
  const { m, run, header } = machine();
  const idle = (state: { xsave: Uint8Array }) => {
    state.xsave.fill(0, 0, 24);
    state.xsave.set([0x7f, 3]);
    state.xsave.fill(0, 32, 160);
  };
  assert.equal(run(xsaveopt("long"), idle).vector, END);
  assert.equal(header()[0] & 3n, 2n);
  assert.equal(m.bytes[AREA], 0xcc);
  assert.equal(m.bytes[AREA + 160], 0x11);
  assert.equal(run(xsavec("long"), idle).vector, END);
  assert.deepEqual(header(), [2n, 1n << 63n | 3n]);
  assert.equal(m.bytes[AREA], 0xcc);
  assert.equal(m.bytes[AREA + 528], 0xcc, "the rest of the header stays");
});

Deno.test("XRSTOR initializes what XSTATE_BV does not have, but for MXCSR (13.8.1)", () => {
  const { m, run } = machine();
  m.bytes.fill(0x22, AREA, AREA + 512);
  m.bytes.fill(0, AREA + 512, AREA + 576);
  m.view.setUint32(AREA + 24, 0x1fa0, true);
  m.bytes[AREA + 512] = 1;
  const { vector, state } = run(xrstor("long"), () => {});
  assert.equal(vector, END);
  assert.equal(state.xsave[0], 0x22);
  assert.deepEqual([...state.xsave.subarray(160, 416)], Array(256).fill(0));
  assert.equal(state.xsave[24], 0xa0);
});

Deno.test("the compacted form loads MXCSR with SSE alone, else it becomes 1F80h (13.8.2)", () => {
  const { m, run } = machine();
  m.bytes.fill(0, AREA, AREA + 576);
  m.view.setUint32(AREA + 24, 0xffff_ffff, true);
  m.view.setBigUint64(AREA + 520, 1n << 63n | 3n, true);
  const { vector, state } = run(xrstor("long"), (s) => s.xsave[24] = 0xa0);
  assert.equal(vector, END);
  assert.deepEqual([...state.xsave.subarray(24, 26)], [0x80, 0x1f]);
});

Deno.test("XSAVE then XRSTOR leaves the x87's stack as it was, wherever its top is", () => {
  const { m, run } = machine();
  // fninit; fld1; fldpi; xsave; fninit; xrstor; fstp qword [DATA + 400h]
  const code = [
    0xdb,
    0xe3,
    0xd9,
    0xe8,
    0xd9,
    0xeb,
    ...xsave("long"),
    0xdb,
    0xe3,
    ...xrstor("long"),
  ];
  m.bytes.fill(0, AREA, AREA + 576);
  const { vector } = run([...code, 0xdd, 0x1c, 0x25, ...little(AREA + 0x400, 4)], () => {});
  assert.equal(vector, END);
  assert.equal(m.view.getFloat64(AREA + 0x400, true), Math.PI);
});

Deno.test("XRSTOR refuses headers and MXCSR values that mean nothing with #GP(0) (13.8)", () => {
  const cases: readonly [string, (m: SystemMachine) => void][] = [
    ["a component that XCR0 lacks", (m) => m.bytes[AREA + 512] = 4],
    ["bytes 8 to 23", (m) => m.bytes[AREA + 520] = 1],
    ["bytes 8 to 23", (m) => m.bytes[AREA + 535] = 1],
    ["MXCSR", (m) => m.bytes[AREA + 26] = 1],
    ["compacted: a component without a place", (m) => {
      m.bytes[AREA + 512] = 2;
      m.view.setBigUint64(AREA + 520, 1n << 63n | 1n, true);
    }],
    [
      "compacted: XCOMP_BV beyond XCR0",
      (m) => m.view.setBigUint64(AREA + 520, 1n << 63n | 4n, true),
    ],
    ["compacted: bytes 16 to 63", (m) => {
      m.view.setBigUint64(AREA + 520, 1n << 63n | 3n, true);
      m.bytes[AREA + 575] = 1;
    }],
  ];
  for (const [what, spoil] of cases) {
    const { m, run } = machine();
    m.bytes.fill(0, AREA, AREA + 576);
    spoil(m);
    const { vector, errorCode, state } = run(xrstor("long"), () => {});
    assert.deepEqual([vector, errorCode], [13, 0], what);
    assert.equal(state.xsave[160], 0x11, `${what}: nothing has changed`);
  }
  const { m, run } = machine();
  m.bytes.fill(0, AREA, AREA + 576);
  m.bytes[AREA + 575] = 1;
  assert.equal(run(xrstor("long"), () => {}).vector, END, "ignored in the standard form");
});

Deno.test("#UD without CR4.OSXSAVE, #NM with CR0.TS, #GP off 64 bytes, #PF with nothing stored", () => {
  const { m, run } = machine();
  const all = [xsave, xrstor, xsaveopt, xsavec].map((make) => make("long"));
  for (const code of all) {
    assert.equal(run(code, (s) => s.cr4 &= ~OSXSAVE).vector, 6);
    assert.equal(run(code, (s) => s.cr0 |= 8n).vector, 7);
    const shifted = code.with(-4, code.at(-4)! | 0x10);
    assert.deepEqual([run(shifted, () => {}).vector], [13]);
  }
  assert.equal(run([0x0f, 0x01, 0xd0], (s) => s.cr4 &= ~OSXSAVE).vector, 6, "XGETBV");
  // The area's header lies in a page that is not there.
  m.bytes.fill(0xcc, AREA + 0xe00, AREA + 0x1000);
  m.setPage((AREA >> 12) + 1, 0n);
  const { vector, state } = run(
    xsave("long").toSpliced(-4, 4, ...little(AREA + 0xe00, 4)),
    () => {},
  );
  assert.equal(vector, 14);
  assert.equal(state.cr2, BigInt(AREA + 0x1000));
  assert.equal(m.bytes[AREA + 0xe00], 0xcc);
});

Deno.test("XSETBV takes x87 with or without SSE at level 0, XGETBV reads it (volume 2)", () => {
  const set = (low: number, ecx = 0) =>
    [0xb9, ...little(ecx, 4), 0xb8, ...little(low, 4)].concat(
      [0x31, 0xd2, 0x0f, 0x01, 0xd1],
    );
  const { run } = machine();
  // xsetbv; mov ecx, 0; xgetbv
  const { vector, state } = run([...set(1), 0x0f, 0x01, 0xd0], () => {});
  assert.equal(vector, END);
  assert.deepEqual([state.xcr0, state.general[0], state.general[2]], [1n, 1n, 0n]);
  for (const bad of [set(0), set(2), set(7), set(3, 1)]) {
    assert.deepEqual([run(bad, () => {}).vector, run(bad, () => {}).errorCode], [13, 0]);
  }
  assert.equal(run([0xb9, 2, 0, 0, 0, 0x0f, 0x01, 0xd0], () => {}).vector, 13, "XGETBV of 2");
  const user = new SystemMachine("long", 3);
  const outcome = user.run(set(3), (s) => s.cr4 |= OSXSAVE);
  assert.equal(outcome.vector, 13);
});

Deno.test("CPUID leaf 0Dh has the sizes, leaf 1 shows CR4.OSXSAVE", () => {
  const cpuid = (leaf: number, subleaf: number, osxsave = true) => {
    const m = new SystemMachine("long");
    const { state } = m.run(
      [0xb8, ...little(leaf, 4), 0xb9, ...little(subleaf, 4), 0x0f, 0xa2, HLT],
      (s) => s.cr4 |= osxsave ? OSXSAVE : 0n,
    );
    return [0, 3, 1, 2].map((n) => Number(state.general[n]));
  };
  assert.deepEqual(cpuid(0xd, 0), [3, 576, 576, 0]);
  assert.deepEqual(cpuid(0xd, 1), [7, 576, 0, 0]);
  assert.deepEqual(cpuid(0xd, 2), [0, 0, 0, 0]);
  assert.equal(cpuid(1, 0)[2] >>> 26 & 3, 3);
  assert.equal(cpuid(1, 0, false)[2] >>> 26 & 3, 1);
});

/** A legacy region with both components far from their initial state. */
function randomImage(random: Random): Uint8Array {
  const image = new Uint8Array(512);
  for (let i = 32; i < 416; i++) image[i] = random.u32();
  for (let i = 32; i < 160; i += 16) image.fill(0, i + 10, i + 16);
  image.set([0x40 | random.below(0x40), random.below(16), 0, random.below(8) << 3]);
  image[4] = random.u32() | 1;
  image.set([random.below(0x40) | 0x80, 0x1f], 24);
  return image;
}

/** Bytes that are each processor's own: pointers to the last x87 instruction, MXCSR_MASK. */
const isOwn = (at: number): boolean => at >= 6 && at < 24 || at >= 28 && at < 32;

Deno.test({
  name: "XSAVE, XSAVEOPT, XSAVEC and XRSTOR leave what the real processor leaves",
  ignore: !kvmIsThere(),
  fn: () => {
    const real = new UserMachine((memory) => createVm({ accelerator: "kvm", memory, cpus: 1 }));
    const soft = new UserMachine((memory) => softVm({ memory, cpus: 1 }));
    const at = 0x400;
    const operations = [[0xae, 4], [0xae, 5], [0xae, 6], [0xc7, 4]] as const;
    seeded((random) => {
      for (let i = 0; i < 400; i++) {
        const [second, operation] = random.pick(operations);
        const image = randomImage(random);
        const area = new Uint8Array(576);
        area.set(randomImage(random));
        area[512] = random.below(4);
        if (random.chance(30)) area.set([random.below(4), 0, 0, 0, 0, 0, 0, 0x80], 520);
        // Not of components that XCR0 lacks: the real processor's is the host's, on some hosts.
        if (random.chance(10)) area[random.pick([514, 519, 527, 530, 540])] |= random.u32();
        if (random.chance(5)) area[26] = 1;
        const wide = random.chance(50) ? [0x48] : [];
        const bytes = [...wide, 0x0f, second, 0x04 | operation << 3, 0x25];
        bytes.push(...little(USER_DATA + at, 4));
        const registers = Array.from({ length: 16 }, () => BigInt(USER_DATA));
        registers[0] = BigInt(random.below(4));
        const one = {
          bytes,
          registers,
          flags: 2,
          x87: image.slice(0, 160),
          vectors: image.slice(160, 416),
        };
        const [a, b] = [real, soft].map((machine) => {
          machine.data.fill(0xcc);
          machine.data.set(area, at);
          const { vector, rip } = machine.run(one);
          const data = machine.data.slice();
          for (const start of [at, X87_AFTER - USER_DATA]) {
            for (let n = 0; n < 32; n++) if (isOwn(n)) data[start + n] = 0;
          }
          return { vector, rip, data };
        });
        assert.deepEqual(b, a, `case ${i}: 0F ${second.toString(16)} /${operation}`);
      }
    });
  },
});

Deno.test({
  name: "a state saved on the software CPU keeps its x87 and XMM registers on KVM, and back",
  ignore: !kvmIsThere(),
  fn: () => {
    const { m, run } = machine("real");
    // fninit; fld1; fldpi
    const { vector, state } = run([0xdb, 0xe3, 0xd9, 0xe8, 0xd9, 0xeb], () => {});
    assert.equal(vector, END);
    assert.equal(state.xsave[160], 0x11);
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    const vcpu = createVm({ accelerator: "kvm", memory, cpus: 1 }).openVcpu(0);
    const own = new CpuState(new ArrayBuffer(CpuState.byteLength));
    vcpu.save(own);
    own.xsave.set(state.xsave);
    vcpu.restore(own);
    vcpu.save(own);
    const parts = [[0, 5], [32, 416]] as const;
    for (const [from, to] of parts) {
      assert.deepEqual(own.xsave.subarray(from, to), state.xsave.subarray(from, to));
    }
    state.xsave.set(own.xsave);
    m.vcpu.restore(state);
    const back = new CpuState(new ArrayBuffer(CpuState.byteLength));
    m.vcpu.save(back);
    assert.deepEqual(back.xsave.subarray(0, 416), own.xsave.subarray(0, 416));
  },
});
