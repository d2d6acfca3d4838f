import assert from "node:assert/strict";
import {
  type ApicMessage,
  BROADCAST,
  DeliveryMode,
} from "../../../../devices/interrupts/apic_message.ts";
import { Latch, Reg } from "../../../../devices/interrupts/local_apic/registers.ts";
import { ApicBench } from "../../../support/apic_bench.ts";
import { deviceContract } from "../../../support/contract.ts";

const fixed = (vector: number, destination = BROADCAST): ApicMessage => ({
  destination,
  logical: false,
  mode: DeliveryMode.fixed,
  vector,
  level: true,
  levelTriggered: false,
});

deviceContract("local apic", (bench) => {
  const { apics: [apic, other], msrs: [msrs] } = new ApicBench({ bench, cpus: 2 });
  const registers = Object.values(Reg);
  return {
    device: {
      reset: () => {
        apic.reset();
        other.reset();
      },
    },
    ports: [
      { handler: apic, length: 0x400, sizes: [1, 2, 4] },
      { handler: other, length: 0x400, sizes: [4] },
    ],
    events: [
      (random) => {
        apic.receiver.accept({
          ...fixed(random.below(256)),
          mode: random.below(8),
          levelTriggered: random.chance(50),
          level: random.chance(80),
        });
      },
      () => {
        apic.acknowledge();
      },
      (random) => {
        apic.receiver.setLint(random.chance(50) ? 0 : 1, random.chance(50));
      },
      (random) => {
        msrs.write(0x800 + random.below(0x40), random.u32() & 0xf_ffff, 0);
      },
      (random) => {
        msrs.write(0x6e0, random.below(1_000_000), 0);
      },
      (random) => {
        msrs.write(0x1b, random.pick([0xfee0_0100, 0xfee0_0900, 0xfee0_0d00]), 0);
      },
      (random) => {
        apic.takeLatch(random.below(32));
        if (random.chance(20)) apic.init();
      },
      (random) => {
        apic.cr8 = random.below(16);
      },
    ],
    likely: [
      { port: 0, offset: Reg.SVR, size: 4, values: [0x1ff, 0x1ff, 0xff] },
      { port: 1, offset: Reg.SVR, size: 4, values: [0x1ff] },
      { port: 0, offset: Reg.EOI, size: 4, values: [0] },
      { port: 0, offset: Reg.ICR, size: 4, values: [0x4_4041, 0x8_4042, 0xc_4043, 0x4500, 0x5] },
      { port: 1, offset: Reg.ICR, size: 4, values: [0x8_4051, 0xc_4152, 0x4653] },
      { port: 0, offset: Reg.LVT_TIMER, size: 4, values: [0x2_0061, 0x61, 0x1_0061, 0x4_0061] },
      { port: 0, offset: Reg.LVT_LINT0, size: 4, values: [0x700, 0x8062, 0x62, 0x1_0000] },
      { port: 0, offset: Reg.LVT_ERROR, size: 4, values: [0x63, 0x05] },
      { port: 0, offset: Reg.TMICT, size: 4, values: [0, 1, 5000, 0xffff_ffff] },
      { port: 0, offset: Reg.TDCR, size: 4, values: [0, 0xb, 0x3] },
      { port: 0, offset: Reg.TPR, size: 4, values: [0, 0x40, 0xff] },
      ...registers.map((offset) => ({ port: 0, offset, size: 4, values: [0, 0xffff_ffff] })),
    ],
  };
});

Deno.test("local apic has the values of table 11-1 after reset, LINT0 as firmware leaves it", () => {
  const { apics: [boot, other] } = new ApicBench({ cpus: 2 });
  boot.reset();
  other.reset();
  const values = (apic: typeof boot) =>
    Object.fromEntries(
      Object.entries(Reg).filter(([name]) => name !== "SELF_IPI").map((
        [name, offset],
      ) => [name, apic.read(offset, 4)]),
    );
  const expected = {
    ...Object.fromEntries(Object.keys(values(other)).map((name) => [name, 0])),
    ID: 0x0100_0000,
    VERSION: 0x5_0014,
    DFR: 0xffff_ffff,
    SVR: 0xff,
    LVT_TIMER: 0x1_0000,
    LVT_THERMAL: 0x1_0000,
    LVT_PERFORMANCE: 0x1_0000,
    LVT_LINT0: 0x1_0000,
    LVT_LINT1: 0x1_0000,
    LVT_ERROR: 0x1_0000,
  };
  assert.deepEqual(values(other), expected);
  assert.deepEqual(values(boot), { ...expected, ID: 0, LVT_LINT0: 0x700 });
  assert.equal(boot.baseAddress, 0xfee0_0000);
});

Deno.test("local apic registers are 32 bits wide at multiples of 16 (11.4.1)", () => {
  const { apics: [apic] } = new ApicBench().start();
  apic.write(Reg.TPR, 1, 0x55);
  apic.write(Reg.TPR + 1, 4, 0x55);
  assert.equal(apic.read(Reg.TPR, 4), 0);
  apic.write(Reg.LDR, 4, 0xab00_0000);
  assert.equal(apic.read(Reg.LDR + 3, 1), 0xab);
  assert.equal(apic.read(Reg.LDR + 2, 2), 0xab00);
  assert.equal(apic.read(Reg.LDR + 4, 4), 0);
});

Deno.test("local apic serves the highest vector first, above what is in service (11.8.3)", () => {
  const { apics: [apic] } = new ApicBench().start();
  for (const vector of [0x31, 0x95, 0x52]) apic.receiver.accept(fixed(vector));
  assert.equal(apic.read(Reg.IRR + 0x10, 4), 1 << 0x11);
  assert.equal(apic.pending(), 0x95);
  assert.equal(apic.acknowledge(), 0x95);
  assert.equal(apic.read(Reg.ISR + 0x40, 4), 1 << 0x15);
  assert.equal(apic.read(Reg.IRR + 0x40, 4), 0);
  assert.equal(apic.read(Reg.PPR, 4), 0x90);
  assert.equal(apic.pending(), -1);
  apic.receiver.accept(fixed(0x9f));
  assert.equal(apic.pending(), -1, "the same class waits");
  apic.receiver.accept(fixed(0xa0));
  assert.equal(apic.acknowledge(), 0xa0);
  apic.write(Reg.EOI, 4, 0);
  assert.equal(apic.read(Reg.PPR, 4), 0x90, "EOI ends the highest in service");
  apic.write(Reg.EOI, 4, 0);
  assert.equal(apic.acknowledge(), 0x9f);
});

Deno.test("local apic holds back what is not above TPR, which CR8 shows (11.8.3.1, 11.8.6)", () => {
  const { apics: [apic], wakes } = new ApicBench().start();
  apic.write(Reg.TPR, 4, 0x57);
  assert.equal(apic.cr8, 5);
  assert.equal(apic.read(Reg.PPR, 4), 0x57);
  apic.receiver.accept(fixed(0x5f));
  assert.equal(apic.pending(), -1);
  const before = wakes[0];
  apic.cr8 = 4;
  assert.equal(wakes[0], before + 1, "the processor is told");
  assert.equal(apic.read(Reg.TPR, 4), 0x40);
  assert.equal(apic.pending(), 0x5f);
});

Deno.test("local apic gives the spurious vector when the request has gone under TPR (11.9)", () => {
  const { apics: [apic] } = new ApicBench().start();
  apic.write(Reg.SVR, 4, 0x1ef);
  apic.receiver.accept(fixed(0x41));
  apic.cr8 = 15;
  assert.equal(apic.acknowledge(), 0xef);
  assert.equal(apic.read(Reg.ISR + 0x70, 4), 0, "nothing is in service");
  apic.cr8 = 0;
  assert.equal(apic.acknowledge(), 0x41);
});

Deno.test("local apic broadcasts the EOI of level-triggered interrupts only (11.8.5, TMR)", () => {
  const { apics: [apic], ended } = new ApicBench().start();
  apic.receiver.accept({ ...fixed(0x41), levelTriggered: true });
  assert.equal(apic.read(Reg.TMR + 0x20, 4), 2);
  apic.acknowledge();
  apic.write(Reg.EOI, 4, 0);
  assert.deepEqual(ended, [0x41]);
  apic.receiver.accept(fixed(0x41));
  assert.equal(apic.read(Reg.TMR + 0x20, 4), 0);
  apic.acknowledge();
  apic.write(Reg.EOI, 4, 0);
  apic.write(Reg.EOI, 4, 0);
  assert.deepEqual(ended, [0x41]);
});

Deno.test("local apic suppresses the broadcast when SVR says so, if it can (11.8.5)", () => {
  for (const suppressesEoi of [false, true]) {
    const { apics: [apic], ended } = new ApicBench({ suppressesEoi }).start();
    assert.equal(apic.read(Reg.VERSION, 4) >>> 24, suppressesEoi ? 1 : 0);
    apic.write(Reg.SVR, 4, 0x11ff);
    assert.equal(apic.read(Reg.SVR, 4), suppressesEoi ? 0x11ff : 0x1ff);
    apic.receiver.accept({ ...fixed(0x41), levelTriggered: true });
    apic.acknowledge();
    apic.write(Reg.EOI, 4, 0);
    assert.deepEqual(ended, suppressesEoi ? [] : [0x41]);
  }
});

Deno.test("local apic disabled by SVR takes no fixed interrupts, but NMI, and masks its vectors (11.4.7.2)", () => {
  const { apics: [apic] } = new ApicBench().start();
  apic.write(Reg.LVT_ERROR, 4, 0x41);
  apic.receiver.accept(fixed(0x51));
  apic.write(Reg.SVR, 4, 0xff);
  assert.equal(apic.receiver.accept(fixed(0x52)), false);
  assert.equal(apic.receiver.accept({ ...fixed(0), mode: DeliveryMode.nmi }), true);
  assert.equal(apic.latches, Latch.nmi);
  assert.equal(apic.read(Reg.LVT_ERROR, 4), 0x1_0041);
  apic.write(Reg.LVT_ERROR, 4, 0x41);
  assert.equal(apic.read(Reg.LVT_ERROR, 4), 0x1_0041, "cannot be unmasked");
  assert.equal(apic.pending(), 0x51, "requests stay");
});

Deno.test("local apic answers to its ID and to broadcasts (11.6.2.1)", () => {
  const { bus, ...b } = new ApicBench({ cpus: 3 }).start();
  bus.deliver(fixed(0x41, 2));
  bus.deliver(fixed(0x42));
  assert.equal(bus.deliver(fixed(0x43, 7)), false);
  const pending = b.apics.map((apic) => apic.read(Reg.IRR + 0x20, 4));
  assert.deepEqual(pending, [4, 4, 6]);
  b.apics[1].write(Reg.ID, 4, 0x0700_0000);
  assert.equal(bus.deliver(fixed(0x43, 7)), true);
});

Deno.test("local apic compares logical destinations in the flat model by bits (11.6.2.2)", () => {
  const { bus, apics } = new ApicBench({ cpus: 3 }).start();
  apics.forEach((apic, i) => apic.write(Reg.LDR, 4, 0x0100_0000 << i));
  bus.deliver({ ...fixed(0x41, 0b101), logical: true });
  assert.deepEqual(apics.map((apic) => apic.pending()), [0x41, -1, 0x41]);
  assert.equal(bus.deliver({ ...fixed(0x42, 0b1000), logical: true }), false);
});

Deno.test("local apic compares logical destinations in the cluster model by cluster and bits (11.6.2.2)", () => {
  const { bus, apics } = new ApicBench({ cpus: 3 }).start();
  for (const apic of apics) apic.write(Reg.DFR, 4, 0x0000_0000);
  assert.equal(apics[0].read(Reg.DFR, 4), 0x0fff_ffff);
  [0x11, 0x12, 0x21].forEach((ldr, i) => apics[i].write(Reg.LDR, 4, ldr << 24));
  const heard = (destination: number) => {
    bus.deliver({ ...fixed(0x41, destination), logical: true });
    return apics.map((apic) => {
      const hears = apic.pending() >= 0;
      if (hears) apic.acknowledge();
      apic.write(Reg.EOI, 4, 0);
      return hears ? 1 : 0;
    }).join("");
  };
  assert.equal(heard(0x13), "110");
  assert.equal(heard(0x12), "010");
  assert.equal(heard(0x23), "001");
  assert.equal(heard(0xf1), "101", "cluster 15 is all clusters");
  assert.equal(heard(0x33), "000");
});

Deno.test("a lowest-priority message goes to the processor with the lowest PPR (11.6.2.4)", () => {
  const { bus, apics } = new ApicBench({ cpus: 3 }).start();
  const lowest = (vector: number) =>
    bus.deliver({ ...fixed(vector), mode: DeliveryMode.lowestPriority });
  apics[0].write(Reg.TPR, 4, 0x30);
  apics[2].write(Reg.TPR, 4, 0x20);
  lowest(0x61);
  assert.deepEqual(apics.map((apic) => apic.pending()), [-1, 0x61, -1]);
  apics[1].acknowledge();
  lowest(0x62);
  assert.deepEqual(apics.map((apic) => apic.pending()), [-1, -1, 0x62]);
  for (const apic of apics) apic.write(Reg.SVR, 4, 0xff);
  assert.equal(lowest(0x63), false, "nobody is enabled");
});

Deno.test("lowest-priority messages to equals are spread by their vectors", () => {
  const { bus, apics } = new ApicBench({ cpus: 2 }).start();
  for (const vector of [0x50, 0x51]) {
    bus.deliver({ ...fixed(vector), mode: DeliveryMode.lowestPriority });
  }
  assert.deepEqual(apics.map((apic) => apic.pending()), [0x50, 0x51]);
});

Deno.test("ICR sends to a destination, self, all, and all others (11.6.1)", () => {
  const b = new ApicBench({ cpus: 3 }).start();
  const [, sender] = b.apics;
  const send = (low: number, high = 0) => {
    sender.write(Reg.ICR2, 4, high);
    sender.write(Reg.ICR, 4, low);
    return b.apics.map((_, i) => b.serve(i).length).join("");
  };
  assert.equal(send(0x4041, 0x0200_0000), "001");
  assert.equal(send(0x4041, 0xff00_0000), "111");
  assert.equal(send(0x4_4041), "010");
  assert.equal(send(0x8_4041), "111");
  assert.equal(send(0xc_4041), "101");
  assert.equal(send(0x0_c041, 0x0200_0000), "001", "an edge, whatever the trigger bit says");
  assert.equal(send(0x0_8041, 0x0200_0000), "000", "a level that is taken back");
  assert.equal(sender.read(Reg.ICR, 4), 0x8041);
  assert.equal(sender.read(Reg.ICR2, 4), 0x0200_0000);
  assert.equal(b.apics[2].read(Reg.TMR + 0x20, 4), 0);
});

Deno.test("INIT, start-up, NMI and SMI are latched for the processor (11.6.1, 11.4.7.3)", () => {
  const { apics: [boot, other], wakes } = new ApicBench({ cpus: 2 }).start();
  const before = wakes[1];
  boot.write(Reg.ICR, 4, 0xc_0612);
  boot.write(Reg.ICR, 4, 0xc_c500);
  assert.equal(other.latches, Latch.init, "INIT forgets an earlier start-up interrupt");
  boot.write(Reg.ICR, 4, 0xc_8500);
  boot.write(Reg.ICR, 4, 0xc_4699);
  assert.equal(other.latches, Latch.init | Latch.startUp);
  assert.equal(other.startUpVector, 0x99);
  boot.write(Reg.ICR, 4, 0xc_4400);
  boot.write(Reg.ICR, 4, 0xc_4200);
  assert.equal(wakes[1], before + 5);
  assert.equal(other.takeLatch(Latch.init), true);
  assert.equal(other.takeLatch(Latch.init), false);
  assert.equal(other.latches, Latch.startUp | Latch.nmi | Latch.smi);
  assert.equal(boot.latches, 0);
  for (const reserved of [0xc_4300, 0xc_4700]) {
    other.takeLatch(-1);
    boot.write(Reg.ICR, 4, reserved);
    assert.equal(other.latches, reserved === 0xc_4700 ? Latch.extInt : 0);
  }
});

Deno.test("INIT resets all but ID, base and pins (11.4.7.3)", () => {
  const { apics: [, apic] } = new ApicBench({ cpus: 2 }).start();
  apic.write(Reg.ID, 4, 0x0500_0000);
  apic.write(Reg.TPR, 4, 0x20);
  apic.write(Reg.LDR, 4, 0x0200_0000);
  apic.receiver.setLint(0, true);
  apic.receiver.accept(fixed(0x41));
  apic.receiver.accept({ ...fixed(0), mode: DeliveryMode.nmi });
  apic.init();
  assert.equal(apic.read(Reg.ID, 4), 0x0500_0000);
  assert.deepEqual(
    [Reg.TPR, Reg.LDR, Reg.SVR, Reg.LVT_LINT0].map((offset) => apic.read(offset, 4)),
    [0, 0, 0xff, 0x1_0000],
  );
  assert.equal(apic.pending(), -1);
  assert.equal(apic.latches, Latch.nmi);
  apic.write(Reg.SVR, 4, 0x1ff);
  apic.write(Reg.LVT_LINT0, 4, 0x700);
  assert.equal(apic.extIntPending, true);
});

Deno.test("illegal vectors set ESR and interrupt once until it is written (11.5.3)", () => {
  const b = new ApicBench().start();
  const { apics: [apic] } = b;
  apic.write(Reg.LVT_ERROR, 4, 0x41);
  apic.write(Reg.ICR, 4, 0x4_400f);
  apic.receiver.accept(fixed(0x0f));
  assert.equal(apic.read(Reg.ESR, 4), 0, "until it is written");
  assert.deepEqual(b.serve(), [0x41]);
  apic.read(0x40, 4);
  assert.deepEqual(b.serve(), []);
  apic.write(Reg.ESR, 4, 0);
  assert.equal(apic.read(Reg.ESR, 4), 0xe0);
  apic.write(0x3f0, 4, 0);
  assert.deepEqual(b.serve(), [0x41]);
  apic.write(Reg.ESR, 4, 0);
  assert.equal(apic.read(Reg.ESR, 4), 0x80);
});

Deno.test("an illegal vector of the error interrupt itself is an error like any other", () => {
  const { apics: [apic] } = new ApicBench().start();
  apic.write(Reg.LVT_ERROR, 4, 0x05);
  apic.write(Reg.ICR, 4, 0x4_4001);
  apic.write(Reg.ESR, 4, 0);
  assert.equal(apic.read(Reg.ESR, 4), 0x60);
});

Deno.test("LINT0 in ExtINT mode carries the 8259s' interrupts, masked it does not (11.5.1)", () => {
  const { apics: [apic], wakes } = new ApicBench().start();
  assert.equal(apic.extIntPending, false);
  const before = wakes[0];
  apic.receiver.setLint(0, true);
  assert.equal(wakes[0], before + 1);
  assert.equal(apic.extIntPending, true);
  assert.equal(apic.pending(), -1, "its vector is the 8259s'");
  apic.write(Reg.LVT_LINT0, 4, 0x1_0700);
  assert.equal(apic.extIntPending, false);
  apic.write(Reg.LVT_LINT0, 4, 0x700);
  assert.equal(apic.extIntPending, true);
  apic.receiver.setLint(0, false);
  assert.equal(apic.extIntPending, false);
});

Deno.test("LINT pins deliver NMI and fixed edges, once an edge (11.5.1)", () => {
  const b = new ApicBench().start();
  const { apics: [apic] } = b;
  apic.write(Reg.LVT_LINT1, 4, 0x400);
  apic.write(Reg.LVT_LINT0, 4, 0x41);
  for (const pin of [0, 1] as const) {
    apic.receiver.setLint(pin, true);
    apic.receiver.setLint(pin, true);
  }
  assert.equal(apic.latches, Latch.nmi);
  assert.deepEqual(b.serve(), [0x41]);
  apic.receiver.setLint(0, false);
  apic.receiver.setLint(0, true);
  assert.deepEqual(b.serve(), [0x41]);
});

Deno.test("a level on a LINT pin asks again after its EOI while it is asserted (figure 11-8, remote IRR)", () => {
  const b = new ApicBench().start();
  const { apics: [apic] } = b;
  apic.receiver.setLint(0, true);
  apic.write(Reg.LVT_LINT0, 4, 0x8041);
  assert.equal(apic.acknowledge(), 0x41);
  assert.equal(apic.read(Reg.LVT_LINT0, 4), 0xc041);
  assert.equal(apic.pending(), -1);
  apic.write(Reg.EOI, 4, 0);
  assert.equal(apic.acknowledge(), 0x41);
  apic.receiver.setLint(0, false);
  apic.write(Reg.EOI, 4, 0);
  assert.equal(apic.pending(), -1);
  assert.equal(apic.read(Reg.LVT_LINT0, 4), 0x8041);
});

Deno.test("the processor's own events are delivered by their vectors (11.5.1)", () => {
  const b = new ApicBench().start();
  const { apics: [apic] } = b;
  apic.write(Reg.LVT_THERMAL, 4, 0x51);
  apic.write(Reg.LVT_PERFORMANCE, 4, 0x400);
  apic.raise("thermal");
  apic.raise("performance");
  assert.deepEqual(b.serve(), [0x51]);
  assert.equal(apic.latches, Latch.nmi);
});

Deno.test("the arbitration priority follows TPR, requests and what is in service (11.6.2.4)", () => {
  const { apics: [apic] } = new ApicBench().start();
  apic.write(Reg.TPR, 4, 0x35);
  assert.equal(apic.read(Reg.APR, 4), 0x35);
  apic.receiver.accept(fixed(0x62));
  assert.equal(apic.read(Reg.APR, 4), 0x60);
  apic.acknowledge();
  assert.equal(apic.read(Reg.APR, 4), 0x20, "3h AND 6h");
});

Deno.test("16 is the lowest vector that an interrupt may have (11.5.2)", () => {
  const b = new ApicBench().start();
  const { apics: [apic] } = b;
  apic.receiver.accept(fixed(0x10));
  assert.deepEqual(b.serve(), [0x10]);
  apic.write(Reg.ICR, 4, 0x4_4010);
  assert.deepEqual(b.serve(), [0x10]);
  apic.write(Reg.ICR, 4, 0x4_4105);
  apic.write(Reg.ESR, 4, 0);
  assert.equal(apic.read(Reg.ESR, 4), 0x20, "lowest priority too");
});

Deno.test("narrow reads give the bytes of their register", () => {
  const { apics: [apic] } = new ApicBench().start();
  assert.equal(apic.read(Reg.DFR, 1), 0xff);
  assert.equal(apic.read(Reg.DFR, 2), 0xffff);
  assert.equal(apic.read(Reg.VERSION, 2), 0x0014);
  assert.equal(apic.read(Reg.VERSION + 2, 1), 0x05);
  assert.equal(apic.read(Reg.VERSION + 3, 2), 0, "across its end");
});

Deno.test("writing SVR of an enabled APIC leaves the local vectors as they are", () => {
  const { apics: [apic] } = new ApicBench().start();
  apic.write(Reg.LVT_ERROR, 4, 0x41);
  apic.write(Reg.SVR, 4, 0x1ef);
  assert.equal(apic.read(Reg.LVT_ERROR, 4), 0x41);
  assert.equal(apic.read(Reg.LVT_LINT0, 4), 0x700);
  apic.write(Reg.SVR, 4, 0x0ef);
  assert.deepEqual(
    [Reg.LVT_TIMER, Reg.LVT_THERMAL, Reg.LVT_PERFORMANCE, Reg.LVT_LINT0, Reg.LVT_LINT1].map(
      (offset) => apic.read(offset, 4) & 0x1_0000,
    ),
    Array(5).fill(0x1_0000),
  );
});

Deno.test("each of the processor's events has its own vector, and is an edge", () => {
  for (const event of ["thermal", "performance"] as const) {
    const b = new ApicBench().start();
    const { apics: [apic] } = b;
    apic.write(Reg.LVT_THERMAL, 4, 0x51);
    apic.write(Reg.LVT_PERFORMANCE, 4, 0x52);
    apic.receiver.accept({ ...fixed(0x51), levelTriggered: true });
    apic.receiver.accept({ ...fixed(0x52), levelTriggered: true });
    b.serve();
    b.ended.splice(0);
    apic.raise(event);
    assert.deepEqual(b.serve(), [event === "thermal" ? 0x51 : 0x52]);
    assert.deepEqual(b.ended, []);
  }
});

Deno.test("a level that is taken back, and destinations beyond 8 bits, are for nobody in xAPIC mode", () => {
  const { apics: [apic], bus } = new ApicBench().start();
  apic.write(Reg.LDR, 4, 0x0100_0000);
  assert.equal(bus.deliver({ ...fixed(0x41, 0), levelTriggered: true, level: false }), false);
  assert.equal(bus.deliver({ ...fixed(0x41, 0x101), logical: true }), false);
  assert.equal(bus.deliver({ ...fixed(0x41, 0x100) }), false);
  assert.equal(apic.pending(), -1);
});

Deno.test("an interrupt for the lowest priority leaves out the sender where it says so", () => {
  const { apics, bus } = new ApicBench({ cpus: 2 }).start();
  for (const vector of [0x50, 0x51]) {
    bus.deliver({ ...fixed(vector), mode: DeliveryMode.lowestPriority }, 0);
  }
  assert.deepEqual(apics.map((apic) => apic.pending()), [-1, 0x51]);
});

Deno.test("TPR is PPR where its class is that in service, and APR where it is above (11.8.3.1, 11.6.2.4)", () => {
  const { apics: [apic] } = new ApicBench().start();
  apic.receiver.accept(fixed(0x51));
  apic.acknowledge();
  apic.write(Reg.TPR, 4, 0x57);
  assert.equal(apic.read(Reg.PPR, 4), 0x57);
  assert.equal(apic.read(Reg.APR, 4), 0x50, "not above what is in service");
  apic.write(Reg.TPR, 4, 0x67);
  apic.receiver.accept(fixed(0x62));
  assert.equal(apic.read(Reg.APR, 4), 0x67, "as high as the request");
});

Deno.test("ISR, TMR and IRR have 32 vectors a register, from 0 up (11.8.4)", () => {
  const { apics: [apic] } = new ApicBench().start();
  const registers = (first: number) =>
    Array.from({ length: 8 }, (_, i) => apic.read(first + i * 0x10, 4));
  for (const vector of [0x10, 0xff]) {
    apic.receiver.accept({ ...fixed(vector), levelTriggered: vector === 0x10 });
  }
  assert.deepEqual(registers(Reg.IRR), [0x1_0000, 0, 0, 0, 0, 0, 0, 0x8000_0000]);
  assert.deepEqual(registers(Reg.TMR), [0x1_0000, 0, 0, 0, 0, 0, 0, 0]);
  apic.acknowledge();
  assert.deepEqual(registers(Reg.ISR), [0, 0, 0, 0, 0, 0, 0, 0x8000_0000]);
  assert.deepEqual(registers(Reg.IRR), [0x1_0000, 0, 0, 0, 0, 0, 0, 0]);
});
