/** Kernels that are cut off, damaged or lie: a sound plan or one line of error, nothing else. */

import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import type { BootEntry, BootRequest } from "../../hv/boot/mod.ts";
import { BootError, planBoot } from "../../hv/boot/mod.ts";
import { debianKernel } from "../support/guest/guest_cache.ts";
import { Random, seed } from "../support/random.ts";
import { assertSound, bzImage, elf, memoryMap, multiboot, request } from "./kernels.ts";
import { inFull } from "../support/quick.ts";

const ENTRIES: readonly BootEntry[] = ["auto", "real16", "protected32", "long64"];
const initrd = new Uint8Array(5000);

/** What `planBoot` promises for any bytes. */
async function check(asked: BootRequest): Promise<"planned" | "refused"> {
  try {
    assertSound(await planBoot(asked), asked.memoryMap);
    return "planned";
  } catch (error) {
    if (!(error instanceof BootError)) throw error;
    assert.match(error.message, /^Cannot boot test-kernel: [^\n]+[^.\n]$/);
    return "refused";
  }
}

/** Overwrites bytes of `kernel` with what breaks parsers; answers how to undo it. */
function mutate(random: Random, kernel: Uint8Array, range: number): () => void {
  const before: [number, number][] = [];
  const values = [0, 1, 0x7f, 0x80, 0xff, 0x10];
  for (let n = random.below(4); n >= 0; n--) {
    const at = random.below(Math.min(range, kernel.length));
    const value = random.chance(50) ? random.pick(values) : random.u32() & 0xff;
    // Whole fields as well as single bytes.
    for (let i = at; i < Math.min(at + random.pick([1, 1, 2, 4, 8]), kernel.length); i++) {
      before.push([i, kernel[i]]);
      kernel[i] = value;
    }
  }
  return () => before.reverse().forEach(([at, value]) => kernel[at] = value);
}

const vmlinux = elf({ physicalAddress: 0x100_0000, code: new Uint8Array(600).fill(0x90) });
const kernels: readonly (readonly [string, Uint8Array])[] = [
  ["bzImage", bzImage({ payload: gzipSync(vmlinux) })],
  ["bzImage with an ELF payload", bzImage({ payload: vmlinux })],
  ["ELF 64", elf()],
  ["ELF 32", elf({ bits: 32 })],
  ["PVH", elf({ pvhEntry: 0x10_0000 })],
  ["Multiboot", multiboot(0x1_0007)],
  ["Multiboot in ELF", elf({ bits: 32, code: multiboot(7) })],
];

for (const [name, original] of kernels) {
  Deno.test(`${name}: cut off at any byte it is planned or refused`, async () => {
    assert.equal(await check(request(original, { initrd })), "planned");
    for (let length = 0; length < original.length; length += original.length > 1000 ? 13 : 1) {
      const kernel = original.slice(0, length);
      for (const entry of ENTRIES) await check(request(kernel, { initrd, entry }));
    }
  });

  Deno.test(`${name}: damaged headers are planned or refused`, async () => {
    console.log(`HV_SEED=${seed()}`);
    const random = new Random(seed());
    const kernel = original.slice();
    const outcomes = { planned: 0, refused: 0 };
    for (let i = 0; i < inFull(3000, 300); i++) {
      const undo = mutate(random, kernel, name === "bzImage" ? 0x300 : 0x1000);
      outcomes[await check(request(kernel, { initrd, entry: random.pick(ENTRIES) }))]++;
      undo();
    }
    assert.ok(outcomes.planned > 0 && outcomes.refused > 0, JSON.stringify(outcomes));
  });
}

Deno.test("random bytes are refused", async () => {
  const random = new Random(seed());
  for (let i = 0; i < 200; i++) {
    const bytes = Uint8Array.from({ length: random.below(3000) }, () => random.u32());
    assert.equal(await check(request(bytes)), "refused");
  }
});

/** Real images: those that are not installed or fetched are skipped. */
const REAL = [
  ["Debian's kernel", debianKernel()],
  ["memtest86+", "/boot/memtest86+x64.bin"],
  ["iPXE", "/boot/ipxe.lkrn"],
] as const;

for (const [name, path] of REAL) {
  const bytes = read(path);
  if (bytes === undefined) console.log(`skipped: ${name} is not here (tests/fetch_guests.ts)`);
  Deno.test({
    name: `${name}: every entry that it has is planned; cut off or damaged it is refused`,
    ignore: bytes === undefined,
    fn: async () => {
      const kernel = bytes!;
      const map = memoryMap(256);
      const asked = (k: Uint8Array, entry: BootEntry) =>
        request(k, { entry, initrd, memoryMap: map });
      for (const entry of ["auto", "real16", "protected32"] as const) {
        assert.equal(await check(asked(kernel, entry)), "planned");
      }
      for (let i = 0; i < 64; i++) {
        const length = Math.floor((kernel.length - 600_000 / 64) * i / 64);
        for (const entry of ENTRIES) {
          await check(asked(kernel.subarray(0, Math.max(0, length)), entry));
        }
      }
      console.log(`HV_SEED=${seed()}`);
      const random = new Random(seed());
      for (let i = 0; i < inFull(300, 50); i++) {
        const undo = mutate(random, kernel, 0x280);
        // Unpacking 50 MB each time would take too long: now and then is enough.
        await check(asked(kernel, i % 20 === 0 ? "auto" : random.pick(["real16", "protected32"])));
        undo();
      }
    },
  });
}

Deno.test({
  name: "Debian's kernel: damage within the packed kernel is refused or within the image",
  ignore: debianKernel() === undefined,
  fn: async () => {
    const kernel = read(debianKernel())!;
    const random = new Random(seed());
    for (let i = 0; i < 8; i++) {
      const at = 0x6000 + random.below(kernel.length - 0x6000);
      kernel[at] ^= 1 << random.below(8);
      await check(request(kernel, { memoryMap: memoryMap(256) }));
    }
  },
});

function read(path: string | undefined): Uint8Array | undefined {
  try {
    return path === undefined ? undefined : Deno.readFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
