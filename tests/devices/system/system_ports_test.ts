import assert from "node:assert/strict";
import { PcTestdev, PcTestdevState } from "../../../devices/system/pc_testdev.ts";
import { Port61, Port61State } from "../../../devices/system/port61.ts";
import { Port92, Port92State } from "../../../devices/system/port92.ts";
import { deviceContract } from "../../support/contract.ts";
import { TestBench } from "../../support/test_bench.ts";

const channel = () => ({
  out2: false,
  gates: [] as boolean[],
  setGate2(level: boolean) {
    this.gates.push(level);
  },
});

deviceContract("port 61h", (bench) => {
  const device = new Port61(bench.state(Port61State), channel(), bench.clock);
  return { device, ports: [{ handler: device, length: 1, sizes: [1] }] };
});

deviceContract("port 92h", (bench) => {
  const device = new Port92(bench.state(Port92State), { a20: () => {}, requestReset: () => {} });
  return { device, ports: [{ handler: device, length: 1, sizes: [1] }] };
});

deviceContract("pc-testdev", (bench) => {
  const lines = Array.from({ length: 24 }, (_, i) => bench.irq(`irq${i}`));
  const device = new PcTestdev(bench.state(PcTestdevState), lines, () => {});
  return {
    device,
    ports: [
      { handler: device.echo, length: 4, sizes: [1, 2, 4] },
      { handler: device.flush, length: 4, sizes: [4] },
      { handler: device.irqs, length: 24, sizes: [1] },
      { handler: device.memory, length: 0x10000, sizes: [1, 2, 4] },
    ],
  };
}, { steps: 100 });

Deno.test("port 61h drives gate 2 and shows OUT 2 and the written bits (PC/AT, port B)", () => {
  const bench = new TestBench();
  const pit = channel();
  const port = new Port61(bench.state(Port61State), pit, bench.clock);
  port.reset();
  port.write(0, 1, 0xff);
  assert.deepEqual(pit.gates, [false, true]);
  assert.equal(port.read(0, 1), 0x0f);
  assert.equal(port.speakerOn, true);
  pit.out2 = true;
  assert.equal(port.read(0, 1), 0x2f);
  port.write(0, 1, 0x02);
  assert.equal(pit.gates.at(-1), false);
  assert.equal(port.speakerOn, false);
});

Deno.test("port 61h toggles bit 4 with each refresh, every 15.085 µs (PC/AT, port B)", () => {
  const bench = new TestBench();
  const port = new Port61(bench.state(Port61State), channel(), bench.clock);
  const seen: number[] = [];
  for (const ns of [0, 15_000, 15_100, 30_100, 30_200]) {
    bench.clock.ns = ns;
    seen.push(port.read(0, 1));
  }
  assert.deepEqual(seen, [0, 0, 0x10, 0x10, 0]);
});

Deno.test("port 92h switches A20 and resets when bit 0 is raised (PS/2, port A)", () => {
  const calls: string[] = [];
  const port = new Port92(new TestBench().state(Port92State), {
    a20: (on) => calls.push(on ? "a20 on" : "a20 off"),
    requestReset: () => calls.push("reset"),
  });
  port.reset();
  assert.equal(port.read(0, 1), 0x02);
  port.write(0, 1, 0x00);
  port.write(0, 1, 0x00);
  port.write(0, 1, 0xfe);
  port.write(0, 1, 0x03);
  port.write(0, 1, 0x03);
  assert.deepEqual(calls, ["a20 off", "a20 on", "reset"]);
  assert.equal(port.read(0, 1), 0x03);
});

Deno.test("pc-testdev keeps four bytes in any width and 64 KiB of MMIO", () => {
  const bench = new TestBench();
  const device = new PcTestdev(bench.state(PcTestdevState), [], () => {});
  device.echo.write(0, 4, 0x8765_4321);
  device.echo.write(1, 2, 0xabcd);
  assert.equal(device.echo.read(0, 4), 0x87ab_cd21);
  assert.equal(device.echoBytes.read(2, 1), 0xab);
  device.memory.write(0xfffc, 4, 0xffff_fffe);
  assert.equal(device.memory.read(0xfffc, 4), 0xffff_fffe);
  assert.equal(device.memory.read(0xfffe, 2), 0xffff);
});

Deno.test("pc-testdev pulls interrupt lines and flushes pages", () => {
  const bench = new TestBench();
  const lines = [bench.irq("a"), bench.irq("b")];
  const pages: number[] = [];
  const device = new PcTestdev(bench.state(PcTestdevState), lines, (page) => pages.push(page));
  device.irqs.write(1, 1, 1);
  device.irqs.write(23, 1, 1);
  assert.deepEqual(lines.map(({ level }) => level), [false, true]);
  device.irqs.write(1, 1, 0);
  assert.equal(lines[1].level, false);
  device.flush.write(0, 4, 0xfee0_1234);
  assert.deepEqual(pages, [0xfee0_1000]);
});
