import assert from "node:assert/strict";
import { Uart16550, Uart16550State } from "../../../devices/serial/uart16550.ts";
import { deviceContract } from "../../support/contract.ts";
import { TestBench } from "../../support/test_bench.ts";

const [RBR, IER, IIR, LCR, MCR, LSR, MSR, SCR] = [0, 1, 2, 3, 4, 5, 6, 7];

function build(bench: TestBench) {
  const irq = bench.irq();
  const sink = bench.sink();
  const rung = { count: 0 };
  const uart = new Uart16550(bench.state(Uart16550State), {
    irq,
    clock: bench.clock,
    timer: bench.timer(),
    sink,
    onRoom: () => rung.count++,
  });
  const out = (offset: number, value: number) => uart.write(offset, 1, value);
  const inb = (offset: number) => uart.read(offset, 1);
  return { bench, uart, irq, sink, rung, out, inb };
}

function start() {
  const setup = build(new TestBench());
  setup.uart.reset();
  return setup;
}

deviceContract("uart16550", (bench) => {
  const { uart, sink } = build(bench);
  return {
    device: uart,
    ports: [{ handler: uart, length: 8, sizes: [1] }],
    events: [
      (random) => uart.receive(random.below(256)),
      () => uart.receiveBreak(),
      (random) => {
        sink.open = random.chance(50);
        uart.transmitReady();
      },
      (random) =>
        uart.setModemLines({
          cts: random.chance(50),
          dsr: random.chance(50),
          ri: random.chance(50),
          dcd: random.chance(50),
        }),
    ],
    likely: [
      { port: 0, offset: IIR, size: 1, values: [0x01, 0xc1, 0x07, 0x00] },
      { port: 0, offset: IER, size: 1, values: [0, 1, 2, 5, 7, 15] },
      { port: 0, offset: MCR, size: 1, values: [0x08, 0x0b, 0x1b] },
      { port: 0, offset: LCR, size: 1, values: [3, 0x83, 0x43] },
    ],
  };
});

Deno.test("uart16550 after reset has an empty transmitter and no interrupt (8.10, table I)", () => {
  const { inb } = start();
  assert.equal(inb(IER), 0);
  assert.equal(inb(IIR), 0x01);
  assert.equal(inb(LCR), 0);
  assert.equal(inb(MCR), 0);
  assert.equal(inb(LSR), 0x60);
  assert.equal(inb(MSR), 0xb0);
});

Deno.test("uart16550 shows the divisor behind DLAB only (8.3)", () => {
  const { uart, out, inb } = start();
  out(LCR, 0x83);
  out(0, 0x01);
  out(1, 0x00);
  assert.deepEqual([inb(0), inb(1)], [1, 0]);
  assert.equal(uart.bitsPerSecond, 115200);
  out(LCR, 0x03);
  assert.equal(inb(IER), 0);
  out(SCR, 0xa5);
  assert.equal(inb(SCR), 0xa5);
});

Deno.test("uart16550 is told from an 8250, 16450 and 16750 as Linux's 8250 driver does it", () => {
  const { out, inb } = start();
  out(IER, 0);
  assert.equal(inb(IER) & 0x0f, 0);
  out(IER, 0x0f);
  assert.equal(inb(IER) & 0x0f, 0x0f);
  out(IER, 0xff);
  assert.equal(inb(IER), 0x0f, "no sleep mode, no unit enable of other chips");
  out(IER, 0);
  out(MCR, 0x10 | 0x0a);
  assert.equal(inb(MSR) & 0xf0, 0x90);
  out(MCR, 0);
  out(IIR, 0x01);
  assert.equal(inb(IIR) >> 6, 3);
  out(LCR, 0xbf);
  assert.notEqual(inb(IIR), 0, "no enhanced feature register");
  out(LCR, 0);
  out(IIR, 0x21);
  assert.equal(inb(IIR) >> 5, 6, "no 64-byte FIFO");
});

Deno.test("uart16550 sends at once and interrupts when THR is empty (8.6)", () => {
  const { out, inb, irq, sink } = start();
  out(MCR, 0x08);
  out(IER, 0x02);
  assert.equal(irq.level, true, "enabling asks at once while THR is empty");
  assert.equal(inb(IIR), 0x02);
  assert.equal(irq.level, false, "reading IIR takes it back");
  assert.equal(inb(IIR), 0x01);
  out(RBR, 0x41);
  assert.equal(sink.take(), "A");
  assert.equal(irq.level, true);
  assert.equal(irq.raised, 2);
});

Deno.test("uart16550 gives an edge for each character to a handler that never reads IIR", () => {
  const { out, irq, sink } = start();
  out(MCR, 0x08);
  out(IER, 0x02);
  for (const char of "abc") out(RBR, char.charCodeAt(0));
  assert.equal(irq.raised, 4);
  assert.equal(sink.take(), "abc");
});

Deno.test("uart16550 with a sink that refuses keeps THRE clear until transmitReady (8.4)", () => {
  const { uart, out, inb, irq, sink } = start();
  out(MCR, 0x08);
  out(IER, 0x02);
  inb(IIR);
  sink.open = false;
  out(RBR, 0x31);
  assert.equal(inb(LSR) & 0x60, 0);
  assert.equal(inb(IIR), 0x01);
  assert.equal(irq.level, false);
  uart.transmitReady();
  assert.equal(inb(LSR) & 0x60, 0, "still no room");
  sink.open = true;
  uart.transmitReady();
  assert.equal(sink.take(), "1");
  assert.equal(inb(LSR) & 0x60, 0x60);
  assert.equal(inb(IIR), 0x02);
});

Deno.test("uart16550 holds sixteen characters for a sink that refuses, in order (9.0)", () => {
  const { uart, out, inb, sink } = start();
  out(IIR, 0x01);
  sink.open = false;
  for (let i = 0; i < 17; i++) out(RBR, 0x61 + i);
  assert.equal(inb(LSR) & 0x20, 0);
  sink.open = true;
  uart.transmitReady();
  assert.equal(sink.take(), "abcdefghijklmnop", "the seventeenth had no place");
});

Deno.test("uart16550 without FIFO holds one received character (8.4)", () => {
  const { uart, out, inb, irq, rung } = start();
  out(MCR, 0x08);
  out(IER, 0x01);
  assert.equal(uart.receiveRoom, 1);
  assert.equal(uart.receive(0x78), true);
  assert.equal(uart.receive(0x79), false, "the host keeps the second");
  assert.equal(irq.level, true);
  assert.equal(inb(LSR) & 0x03, 0x01, "and nothing is overrun");
  assert.equal(inb(IIR), 0x04);
  assert.equal(rung.count, 0);
  assert.equal(inb(RBR), 0x78);
  assert.equal(rung.count, 1, "room is reported");
  assert.equal(irq.level, false);
});

Deno.test("uart16550 interrupts at the trigger level and until below it (8.5, 9.2)", () => {
  const { uart, out, inb, irq } = start();
  out(MCR, 0x08);
  out(IIR, 0x41);
  out(IER, 0x01);
  for (let i = 1; i <= 3; i++) uart.receive(i);
  assert.equal(irq.level, false);
  uart.receive(4);
  assert.equal(inb(IIR), 0xc4);
  assert.equal(inb(RBR), 1);
  assert.equal(inb(IIR), 0xc1);
});

Deno.test("uart16550 tells of characters below the trigger after four character times (9.2)", () => {
  const { bench, uart, out, inb, irq } = start();
  out(LCR, 0x83);
  out(0, 12); // 9600 baud, 8N1: a character is 10 bits, 1041667 ns
  out(LCR, 0x03);
  out(MCR, 0x08);
  out(IIR, 0xc1);
  out(IER, 0x01);
  uart.receive(0x55);
  uart.receive(0x56);
  bench.advance(4_166_000);
  assert.equal(irq.level, false);
  bench.advance(1_000);
  assert.equal(irq.level, true);
  assert.equal(inb(IIR), 0xcc);
  assert.equal(inb(RBR), 0x55);
  assert.equal(inb(IIR), 0xc1, "a read takes it back");
  bench.advance(4_167_000);
  assert.equal(inb(IIR), 0xcc, "and starts it anew");
});

Deno.test("uart16550 orders its sources: line status, data, THRE, modem (8.6, table IV)", () => {
  const { uart, out, inb } = start();
  out(IER, 0x0f);
  uart.setModemLines({ cts: false, dsr: true, ri: false, dcd: true });
  uart.receiveBreak();
  assert.equal(inb(IIR), 0x06);
  assert.equal(inb(LSR) & 0x1f, 0x19, "break and framing error with the character ready");
  assert.equal(inb(IIR), 0x04);
  assert.equal(inb(RBR), 0);
  assert.equal(inb(IIR), 0x02);
  assert.equal(inb(IIR), 0x00);
  assert.equal(inb(MSR), 0xa1);
  assert.equal(inb(IIR), 0x01);
});

Deno.test("uart16550 shows an error when its character is the next to be read (8.4)", () => {
  const { uart, out, inb } = start();
  out(IIR, 0x01);
  uart.receive(0x41);
  uart.receiveBreak();
  assert.equal(inb(LSR), 0xe1, "bit 7: there is one further back");
  inb(RBR);
  assert.equal(inb(LSR), 0xf9);
  assert.equal(inb(LSR), 0x61, "reading LSR clears them");
});

Deno.test("uart16550 modem status keeps changes until it is read, RI when it ends (8.9)", () => {
  const { uart, inb } = start();
  uart.setModemLines({ cts: true, dsr: true, ri: true, dcd: true });
  assert.equal(inb(MSR), 0xf0);
  uart.setModemLines({ cts: false, dsr: false, ri: false, dcd: false });
  assert.equal(inb(MSR), 0x0f);
  assert.equal(inb(MSR), 0x00);
});

Deno.test("uart16550 in loopback receives what it sends, sends nothing, overruns (8.8)", () => {
  const { uart, out, inb, sink, rung } = start();
  out(MCR, 0x10);
  out(RBR, 0x31);
  assert.equal(inb(RBR), 0x31);
  out(RBR, 0x32);
  out(RBR, 0x33);
  assert.equal(inb(LSR) & 0x03, 0x03, "overrun");
  assert.equal(inb(RBR), 0x33, "by the last character");
  assert.equal(sink.take(), "");
  assert.equal(uart.receive(0x39), false, "the line is disconnected");
  out(MCR, 0);
  assert.equal(rung.count, 1);
  assert.equal(uart.receive(0x39), true);
});

Deno.test("uart16550 in loopback connects DTR, RTS, OUT1, OUT2 to DSR, CTS, RI, DCD (8.8)", () => {
  const { out, inb } = start();
  out(MCR, 0x11);
  assert.equal(inb(MSR) & 0xf0, 0x20);
  out(MCR, 0x12);
  assert.equal(inb(MSR) & 0xf0, 0x10);
  out(MCR, 0x14);
  assert.equal(inb(MSR) & 0xf0, 0x40);
  out(MCR, 0x18);
  assert.equal(inb(MSR), 0x80 | 0x08 | 0x04, "RI has ended, DCD begun");
});

Deno.test("uart16550 passes interrupts on with OUT2 only, and never in loopback (PC/AT; 8.8)", () => {
  const { out, irq } = start();
  out(IER, 0x02);
  assert.equal(irq.level, false);
  out(MCR, 0x08);
  assert.equal(irq.level, true);
  out(MCR, 0x18);
  assert.equal(irq.level, false);
});

Deno.test("uart16550 empties its FIFOs on request and when the mode changes (8.5)", () => {
  const { uart, out, inb, sink } = start();
  out(IIR, 0x01);
  uart.receive(1);
  out(IIR, 0x03);
  assert.equal(inb(LSR) & 1, 0);
  uart.receive(1);
  out(IIR, 0x02);
  assert.equal(inb(LSR) & 1, 0, "the mode changed; without bit 0 the others do not count");
  assert.equal(inb(IIR), 0x01);
  out(IIR, 0x01);
  sink.open = false;
  out(RBR, 0x41);
  out(IIR, 0x05);
  assert.equal(inb(LSR) & 0x60, 0x60);
});
