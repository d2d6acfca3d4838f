/** Whatever a guest passes to a service, or does to the data areas, nothing throws and nothing hangs. */

import assert from "node:assert/strict";
import type { ServiceName } from "../../bios/rom/stub_names.ts";
import { romCode } from "../../bios/rom/rom.ts";
import { BiosBench, type Call } from "./bios_bench.ts";
import { type Random, seeded } from "../support/random.ts";
import { inFull } from "../support/quick.ts";

const ROUNDS = inFull(1500, 300);
const VECTORS: readonly ServiceName[] = [
  "int09Key",
  "int10",
  "int13",
  "int14",
  "int15",
  "int15Wait",
  "int16",
  "int17",
  "int1a",
  "int70",
  "int74",
  "monitor",
  "optionRom",
  "bios32",
  "pciBios32",
];
const KNOWN: Partial<Record<ServiceName, readonly number[]>> = {
  int10: [0x00, 0x02, 0x05, 0x06, 0x07, 0x09, 0x0a, 0x0c, 0x0d, 0x0e, 0x10, 0x11, 0x12, 0x13, 0x1b],
  int13: [0x02, 0x03, 0x05, 0x08, 0x15, 0x18, 0x41, 0x42, 0x43, 0x44, 0x45, 0x47, 0x48, 0x4b, 0x4d],
  int15: [0x24, 0x83, 0x86, 0x87, 0xc2, 0xe8],
  int1a: [0x02, 0x03, 0x06, 0xb1],
};

function registers(random: Random, service: ServiceName): Call {
  const word = () =>
    random.pick([0, 1, 0x80, 0xe0, 0xff, 0x7fff, 0xffff, random.u32(), random.u32()]);
  const known = KNOWN[service];
  const ah = known !== undefined && random.chance(80) ? random.pick(known) : random.below(256);
  return {
    eax: (ah << 8 | random.pick([0, 1, 2, 0x20, random.below(256)])) >>> 0,
    ebx: word(),
    ecx: word(),
    edx: random.chance(70) ? (word() & 0xff00) | random.pick([0, 1, 0x80, 0xe0]) : word(),
    esi: word(),
    edi: word(),
    ebp: word(),
    ds: random.below(0x10000),
    es: random.pick([0, 0x40, 0x2000, 0xa000, 0xb800, 0xf000, 0xffff, random.below(0x10000)]),
  };
}

Deno.test("services take any registers and any data areas (seeded)", () => {
  seeded((random) => {
    const b = new BiosBench({
      ramBytes: 2 << 20,
      floppy: new Uint8Array(1440 * 1024),
      disk: new Uint8Array(4 << 20),
      cdrom: new Uint8Array(64 * 2048),
    }).post();
    const code = b.rom.bytes.slice();
    for (let round = 0; round < ROUNDS; round++) {
      const service = random.pick(VECTORS);
      if (random.chance(10)) {
        // A program that writes over the data areas, the vectors or the EBDA.
        const [base, length] = random.pick([[0, 0x400], [0x400, 0x101], [0x9fc00, 0x400]]);
        for (let i = 0; i < 8; i++) b.memory.writeU8(base + random.below(length), random.u32());
      }
      // A caller in V86 mode, with page tables anywhere.
      const virtual = random.chance(15);
      b.fake.eflags = virtual ? 0x2_3202 : 0x202;
      b.fake.cr3 = random.pick([0, 0x1000, 0xffff_f000, random.u32()]);
      b.fake.cr4 = random.pick([0, 0x10, 0x20]);
      b.call(service, registers(random, service));
    }
    assert.deepEqual(b.rom.bytes, code, "the ROM is what it was");
  });
});

Deno.test("a write to the port from outside of the ROM calls nothing", () => {
  const b = new BiosBench().post();
  const { fake } = b;
  Object.assign(fake, { eax: 0x0e41, ebx: 7, ip: romCode().vector("int10") });
  fake.cs.selector = 0x1000;
  b.firmware.write(0, 1, 0);
  assert.doesNotMatch(b.screen, /A$/);
  fake.cs.selector = 0xf000;
  b.firmware.write(0, 1, 0);
  fake.eax = 0x0e42;
  fake.ip += 2; // an accelerator that has stepped over the instruction already
  b.firmware.write(0, 1, 0);
  assert.match(b.screen, /AB$/);
});
