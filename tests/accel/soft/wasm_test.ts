import assert from "node:assert/strict";
import { ByteWriter } from "../../../hv/accel/soft/wasm/byte_writer.ts";
import { Code, load } from "../../../hv/accel/soft/wasm/code.ts";
import { ModuleBuilder } from "../../../hv/accel/soft/wasm/module_builder.ts";
import * as v from "../../../hv/accel/soft/wasm/value.ts";

const { I32, I64 } = v;

function run(
  parameters: v.Type[],
  result: v.Type,
  body: (code: Code, memory: { index: number; wide: boolean }) => void,
  wide = false,
) {
  const module = new ModuleBuilder();
  const memory = module.importMemory("memory", { pages: 1, wide });
  const index = module.declare(parameters, [result]);
  const code = new Code(parameters);
  body(code, memory);
  module.define(index, code);
  module.export("f", index);
  const bytes = module.build();
  assert.ok(WebAssembly.validate(bytes));
  const limits = wide
    ? { initial: 1n, maximum: 1n, shared: true, address: "i64" }
    : { initial: 1, maximum: 1, shared: true };
  const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), {
    host: { memory: new WebAssembly.Memory(limits as WebAssembly.MemoryDescriptor) },
  });
  return instance.exports.f as CallableFunction;
}

Deno.test("LEB128 of edge values (core specification, 5.2.2)", () => {
  const signed = (value: number | bigint) => {
    const out = new ByteWriter(1);
    out.signed64(value);
    return [...out.view()];
  };
  assert.deepEqual(signed(0), [0]);
  assert.deepEqual(signed(63), [63]);
  assert.deepEqual(signed(64), [0xc0, 0]);
  assert.deepEqual(signed(-64), [0x40]);
  assert.deepEqual(signed(-65), [0xbf, 0x7f]);
  assert.deepEqual(signed(2 ** 31), [0x80, 0x80, 0x80, 0x80, 0x08]);
  assert.deepEqual(signed(-(2n ** 63n)), [...Array(9).fill(0x80), 0x7f]);
  const out = new ByteWriter(1);
  out.unsigned(0xffff_ffff);
  assert.deepEqual([...out.view()], [0xff, 0xff, 0xff, 0xff, 0x0f]);
});

Deno.test("expressions of both integer types compute what they say", () => {
  const f = run([I64, I64], I64, (code) => {
    const a = code.parameter(0);
    const b = code.parameter(1);
    const sum = code.let(v.add(a, b));
    code.return(v.xor(v.rotl(sum, v.i64(8)), v.extendS(v.wrap(sum), 8)));
  });
  const sum = 0x1122_3344_5566_7788n + 0x99n;
  const rotated = BigInt.asUintN(64, sum << 8n | sum >> 56n);
  assert.equal(
    BigInt.asUintN(64, f(0x1122_3344_5566_7788n, 0x99n)),
    rotated ^ BigInt.asUintN(64, BigInt.asIntN(8, sum)),
  );
});

Deno.test("constants fold: no arithmetic is left", () => {
  const folded = v.add(v.i32(5), v.shl(v.i32(1), v.i32(33)));
  assert.equal(folded.constant, 7n);
});

Deno.test("loops, branches and memory accesses, with 32- and 64-bit addresses", () => {
  for (const wide of [false, true]) {
    const f = run([I32], I32, (code, memory) => {
      const n = code.parameter(0);
      const total = code.local(I32);
      const at = (value: v.Value) => wide ? v.extendU(value) : value;
      code.block((done) => {
        code.loop((again) => {
          code.branchIf(done, v.eqz(n));
          code.store(memory, 8, at(n), n, 100);
          code.set(total, v.add(total, load(memory, I32, 8, at(n), 100)));
          code.set(n, v.sub(n, v.i32(1)));
          code.branch(again);
        });
      });
      code.if(v.gtU(total, v.i32(100)), () => code.return(total), () => code.return(v.i32(-1)));
      code.unreachable();
    }, wide);
    assert.equal(f(20), 210);
    assert.equal(f(3), -1);
  }
});

Deno.test("mixed types are refused when the expression is built", () => {
  assert.throws(() => v.add(v.i32(1), v.i64(1)), TypeError);
});

Deno.test("operators on constants give what WebAssembly computes, in both types", () => {
  const binary = [
    ...[v.add, v.sub, v.mul, v.and, v.or, v.xor, v.shl, v.shrS, v.shrU, v.rotl, v.rotr],
    ...[v.eq, v.ne, v.ltS, v.ltU, v.gtS, v.gtU, v.leS, v.leU, v.geS, v.geU],
  ];
  const unary = [
    ...[v.eqz, v.wrap, v.extendU, v.extendS],
    ...[8, 16].map((bits) => (a: v.Value) => v.extendS(a, bits)),
  ];
  const edges = [0n, 1n, -1n, 31n, 32n, 0x7fn, 0x80n, 0xffffn, 0x7fff_ffffn, -0x8000_0000n];
  const values = (type: v.Type) =>
    type === I32 ? edges : [...edges, 63n, 1n << 32n, (1n << 63n) - 1n, -(1n << 63n)];
  for (const type of [I32, I64] as const) {
    const as = (value: bigint) => type === I32 ? Number(value) : value;
    const constant = (value: bigint) => v.integer(type, value);
    const compare = (known: v.Value, computed: CallableFunction, args: bigint[], what: string) => {
      const folded = run([], known.type, (code) => code.return(known));
      assert.equal(folded(), computed(...args.map(as)), what);
    };
    for (const operator of binary) {
      const [x, y] = [0, 1].map((n) => new Code([type, type]).parameter(n));
      const f = run([type, type], operator(x, y).type, (code) => code.return(operator(x, y)));
      for (const a of values(type)) {
        for (const b of values(type)) {
          const what = `operator ${binary.indexOf(operator)} of ${a} and ${b}`;
          compare(operator(constant(a), constant(b)), f, [a, b], what);
          // With one constant alone some disappear.
          for (const [known, args] of [[0, [b]], [1, [a]]] as const) {
            if (![0n, -1n].includes(known === 0 ? a : b)) continue;
            const half = run([type], operator(x, y).type, (code) => {
              const one = code.parameter(0);
              code.return(known === 0 ? operator(constant(a), one) : operator(one, constant(b)));
            });
            assert.equal(half(as(args[0])), f(as(a), as(b)), what);
          }
        }
      }
    }
    for (const operator of unary) {
      const x = new Code([type]).parameter(0);
      const f = run([type], operator(x).type, (code) => code.return(operator(x)));
      for (const a of values(type)) {
        compare(operator(constant(a)), f, [a], `operator ${unary.indexOf(operator)} of ${a}`);
      }
    }
  }
});
