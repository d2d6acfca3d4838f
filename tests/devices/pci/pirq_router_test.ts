import assert from "node:assert/strict";
import { pirqOf, PirqRouter, PirqRouterState } from "../../../devices/pci/pirq_router.ts";
import { deviceContract } from "../../support/contract.ts";
import { TestBench } from "../../support/test_bench.ts";

function routerOn(bench: TestBench) {
  const irqs = Array.from({ length: 16 }, (_, i) => bench.irq(`irq${i}`));
  const router = new PirqRouter(bench.state(PirqRouterState), bench.arena.lock("router"), irqs);
  return { router, irqs };
}

deviceContract("pirq router", (bench) => {
  const { router } = routerOn(bench);
  return {
    device: router,
    ports: [{
      handler: {
        read: (offset) => router.level(offset) ? 1 : 0,
        write: (offset, _size, value) => router.route(offset, value),
      },
      length: 4,
      sizes: [1],
    }],
    events: [(random) =>
      router.pin(random.below(32), random.below(8), 1 + random.below(4))
        .update(() => random.chance(50))],
  };
});

Deno.test("slots are wired to PIRQ lines in rotation, as on QEMU's i440FX", () => {
  // SeaBIOS, pciinit.c: slot 1 INTA# is PIRQA#, slot 3 INTA# is PIRQC#.
  assert.equal(pirqOf(1, 1), 0);
  assert.equal(pirqOf(1, 4), 3);
  assert.equal(pirqOf(2, 1), 1);
  assert.equal(pirqOf(3, 1), 2);
  assert.equal(pirqOf(4, 2), 0);
  assert.equal(pirqOf(0, 1), 3);
});

Deno.test("lines routed to one interrupt request pull it together (82371SB, PIRQRC)", () => {
  const { router, irqs } = routerOn(new TestBench());
  router.reset();
  router.route(0, 10);
  router.route(1, 10);
  const first = router.pin(1, 0, 1);
  const second = router.pin(2, 0, 1);
  first.update(() => true);
  second.update(() => true);
  first.update(() => false);
  assert.equal(irqs[10].level, true);
  second.update(() => false);
  assert.equal(irqs[10].level, false);
  assert.equal(irqs[10].raised, 1);
});

Deno.test("a line that is routed away takes its level along (82371SB, PIRQRC)", () => {
  const { router, irqs } = routerOn(new TestBench());
  router.reset();
  const pin = router.pin(3, 0, 1);
  pin.update(() => true);
  assert.equal(irqs.some(({ level }) => level), false);
  router.route(2, 11);
  assert.equal(irqs[11].level, true);
  router.route(2, 5);
  assert.deepEqual([irqs[11].level, irqs[5].level], [false, true]);
  router.route(2, 0x80 | 5);
  assert.equal(irqs[5].level, false);
});

Deno.test("a line cannot be routed to IRQ 0-2, 8 and 13 (82371SB, PIRQRC)", () => {
  const { router, irqs } = routerOn(new TestBench());
  router.reset();
  router.pin(1, 0, 1).update(() => true);
  for (const irq of [0, 1, 2, 8, 13]) {
    router.route(0, irq);
    assert.equal(irqs[irq].level, false, `IRQ ${irq}`);
  }
  router.route(0, 3);
  assert.equal(irqs[3].level, true);
});

Deno.test("functions of one slot that share a pin pull the line independently", () => {
  const { router } = routerOn(new TestBench());
  router.reset();
  const zero = router.pin(31, 0, 2);
  const seven = router.pin(31, 7, 2);
  zero.update(() => true);
  seven.update(() => true);
  zero.update(() => false);
  assert.equal(router.level(pirqOf(31, 2)), true);
  seven.update(() => false);
  assert.equal(router.level(pirqOf(31, 2)), false);
});
