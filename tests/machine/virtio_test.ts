/** A virtio disk driven by a program of its own, in 16 bits, with message-signalled interrupts. */

import assert from "node:assert/strict";
import { word } from "../../bios/assembler.ts";
import { AIO_KINDS } from "../../devices/disk/aio_kind.ts";
import { Machine } from "../../hv/mod.ts";
import { ioUringIsThere } from "../../hv/sys/mod.ts";
import { exitCode, onEach, type Payload, rom } from "../support/payload.ts";

const SLOT = 3;
const MSIX = 0xc000_0000;
const VIRTIO = 0xc000_4000;
const NOTIFY = VIRTIO + 0x3000;
const LOCAL_APIC = 0xfee0_0000;
const VECTOR = 0x50;

const DESCRIPTORS = 0x1_0000;
const AVAILABLE = 0x1_1000;
const USED = 0x1_2000;
const HEADER = 0x1_3000;
const STATUS = 0x1_3100;
const DATA = 0x1_4000;
const INTERRUPTS = 0x600;

/** Initialises the device as the standard says (3.1.1, 4.1.5), with queue 0 and vector 1. */
function initialise(p: Payload): void {
  p.poke(LOCAL_APIC + 0xf0, 4, 0x1ff);
  p.pciWrite(SLOT, 0x14, 4, MSIX);
  p.pciWrite(SLOT, 0x20, 4, VIRTIO);
  p.pciWrite(SLOT, 0x04, 2, 6);
  p.pciWrite(SLOT, 0x42, 2, 0x8000);
  p.poke(MSIX + 16, 4, LOCAL_APIC);
  p.poke(MSIX + 20, 4, 0);
  p.poke(MSIX + 24, 4, VECTOR);
  p.poke(MSIX + 28, 4, 0);
  for (const status of [0, 1, 3]) p.poke(VIRTIO + 0x14, 1, status);
  p.poke(VIRTIO + 0x08, 4, 1);
  p.poke(VIRTIO + 0x0c, 4, 1);
  p.poke(VIRTIO + 0x14, 1, 11);
  p.poke(VIRTIO + 0x16, 2, 0);
  p.poke(VIRTIO + 0x18, 2, 4);
  for (const [register, at] of [[0x20, DESCRIPTORS], [0x28, AVAILABLE], [0x30, USED]]) {
    p.poke(VIRTIO + register, 4, at);
    p.poke(VIRTIO + register + 4, 4, 0);
  }
  p.poke(VIRTIO + 0x1a, 2, 1);
  p.poke(VIRTIO + 0x1c, 2, 1);
  p.poke(VIRTIO + 0x14, 1, 15);
}

/** One request as a chain of header, data and status byte; waits for its interrupt. */
function request(p: Payload, number: number, type: number, sector: number): void {
  const isRead = type === 0;
  p.poke(HEADER, 4, type);
  p.poke(HEADER + 8, 4, sector);
  p.poke(HEADER + 12, 4, 0);
  const chain = [[HEADER, 16, 1], [DATA, 512, isRead ? 3 : 1], [STATUS, 1, 2]];
  for (const [i, [address, length, flags]] of chain.entries()) {
    const at = DESCRIPTORS + i * 16;
    p.poke(at, 4, address);
    p.poke(at + 4, 4, 0);
    p.poke(at + 8, 4, length);
    p.poke(at + 12, 4, flags + ((i + 1) << 16));
  }
  p.poke(AVAILABLE + 4 + ((number - 1) % 4) * 2, 2, 0);
  p.poke(AVAILABLE + 2, 2, number);
  p.poke(NOTIFY, 2, 0);
  p.until("e", () => {
    p.sti();
    p.hlt();
    p.cli();
    p.alu("cmp", word(INTERRUPTS), number);
  });
}

for (const aio of AIO_KINDS) {
  onEach(
    `a program drives a virtio disk by notifications and messages, ${aio}`,
    async (accelerator) => {
      if (aio === "io_uring" && !ioUringIsThere()) return console.log("skipped: no io_uring here");
      const path = Deno.makeTempFileSync({ prefix: "hv-test-disk-" });
      try {
        const sectors = new Uint8Array(4096);
        sectors.set(new TextEncoder().encode("moin"), 512);
        Deno.writeFileSync(path, sectors);
        using image = rom((p) => {
          p.realMode();
          p.unreal();
          p.vector(VECTOR, "interrupt");
          p.mov(word(INTERRUPTS), 0);
          initialise(p);
          request(p, 1, 0, 1);
          p.mov("dx", 0x3f8);
          for (let i = 0; i < 4; i++) {
            p.peekByte(DATA + i);
            p.out("dx", "al");
          }
          for (let number = 2; number < 7; number++) {
            p.poke(DATA, 4, 0x2020_2030 + number);
            request(p, number, 1, number);
          }
          p.peekByte(STATUS);
          p.out(0xf4, "al");
          p.label("interrupt");
          p.inc(word(INTERRUPTS));
          p.poke(LOCAL_APIC + 0xb0, 4, 0);
          p.iret();
        });
        await using machine = await Machine.start({
          accelerator,
          memory: "2M",
          bios: image.path,
          disk: { path, interface: "virtio", aio },
        });
        assert.deepEqual(machine.diskEngines, [aio]);
        await machine.console.expect("moin");
        assert.equal(await exitCode(machine), 1, "the last status is OK");
        const written = Deno.readFileSync(path);
        for (let number = 2; number < 7; number++) {
          assert.equal(
            new TextDecoder().decode(written.subarray(number * 512, number * 512 + 4)),
            [
              number,
            ].join().padEnd(4),
          );
        }
      } finally {
        Deno.removeSync(path);
      }
    },
  );
}
