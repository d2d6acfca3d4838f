/** The I/O thread of a machine without drives: it comes when there is work for it. */

import assert from "node:assert/strict";
import { word } from "../../bios/assembler/assembler.ts";
import { Machine } from "../../hv/mod.ts";
import { PATIENCE_MS } from "../support/guest/guests.ts";
import { exitCode, kvmTest, type Payload, rom } from "../support/payload.ts";

/** Threads of this process that run workers, by their names. */
function workers(): number {
  const names = [...Deno.readDirSync("/proc/self/task")].map(({ name }) => {
    try {
      return Deno.readTextFileSync(`/proc/self/task/${name}/comm`);
    } catch {
      return "one that has ended meanwhile";
    }
  });
  return names.filter((name) => name.startsWith("worker")).length;
}

function outputs(p: Payload, pairs: readonly (readonly [port: number, value: number])[]): void {
  for (const [port, value] of pairs) {
    p.mov("al", value);
    p.out(port, "al");
  }
}

/** Both interrupt controllers initialised; of IRQ 0 to 15 only IRQ 8 comes, as INT 70h. */
const ONLY_IRQ8 = [
  ...[[0x20, 0x11], [0x21, 0x08], [0x21, 0x04], [0x21, 0x01]],
  ...[[0xa0, 0x11], [0xa1, 0x70], [0xa1, 0x02], [0xa1, 0x01]],
  ...[[0x21, 0xfb], [0xa1, 0xfe]],
] as [number, number][];
/** Register A: 1024 Hz; register B: periodic interrupts, 24 hours. */
const PERIODIC = [[0x70, 0x0a], [0x71, 0x26], [0x70, 0x0b], [0x71, 0x42]] as [number, number][];

const COUNT = 0x600;
/** The first may be due from the start; those after it need a timer. */
const INTERRUPTS = 5;

kvmTest(
  "the clock's periodic interrupts wake a halted guest that has no drives (MC146818)",
  async () => {
    using image = rom((p) => {
      p.realMode();
      p.mov(word(COUNT), 0);
      p.vector(0x70, "irq8");
      p.print("up\n");
      // Nothing more before the host has looked.
      p.until("nz", () => {
        p.mov("dx", 0x3fd);
        p.in("al", "dx");
        p.test("al", 1);
      });
      outputs(p, ONLY_IRQ8);
      outputs(p, PERIODIC);
      p.sti();
      p.forever(() => p.hlt());
      p.label("irq8");
      outputs(p, [[0x70, 0x0c]]);
      p.in("al", 0x71);
      outputs(p, [[0xa0, 0x20], [0x20, 0x20]]);
      p.inc(word(COUNT));
      p.alu("cmp", word(COUNT), INTERRUPTS);
      p.jcc("e", "enough");
      p.iret();
      p.label("enough");
      p.exit(0x2a);
    });
    await using machine = await Machine.start({
      accelerator: "kvm",
      memory: "2M",
      bios: image.path,
    });
    await machine.console.expect("up\n", { timeoutMs: PATIENCE_MS });
    const before = workers();
    machine.console.send("\n");
    assert.equal(await exitCode(machine), 0x2a * 2 + 1);
    assert.equal(
      workers(),
      before + 1,
      "the I/O thread was made when it was needed, and not before",
    );
  },
);
