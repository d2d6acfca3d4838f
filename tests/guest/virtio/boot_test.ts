/** Systems that start from virtio disks: through the built-in firmware, and SeaBIOS with its driver. */

import assert from "node:assert/strict";
import { Assembler, offset, word } from "../../../bios/assembler/assembler.ts";
import { Machine, type MachineOptions } from "../../../hv/mod.ts";
import { guestTest, onBoth, PATIENCE_MS } from "../../support/guest/guests.ts";
import { exitCode } from "../../support/payload.ts";

const SEABIOS = "/usr/share/seabios/bios-256k.bin";
const DISK_BYTES = 8 << 20;
const SECTOR = 512;
/** What the boot sector reads, and where it writes it back to. */
const FROM = 9000;
const TO = 12000;
const BUFFER = 0x9000;

/** Copies a sector by the LBA functions of INT 13h (EDD 3.0) and ends with how it went. */
function bootSector(): Uint8Array {
  const a = new Assembler(SECTOR);
  a.jmpFar(0x07c0, offset("start"));
  a.label("start");
  a.alu("xor", "ax", "ax");
  a.mov("ds", "ax");
  a.mov(word(0x8000), 16); // disk address packet: 16 bytes, one sector
  a.mov(word(0x8002), 1);
  a.mov(word(0x8004), BUFFER);
  a.mov(word(0x8006), 0);
  const access = (fn: number, sector: number) => {
    a.mov(word(0x8008), sector);
    a.mov(word(0x800a), 0);
    a.mov(word(0x800c), 0);
    a.mov(word(0x800e), 0);
    a.mov("si", 0x8000);
    a.mov("ax", fn);
    a.mov("dl", 0x80);
    a.int(0x13);
    a.jcc("c", "bad");
  };
  access(0x4200, FROM);
  access(0x4300, TO);
  a.mov("al", 0x10);
  a.jmpShort("end");
  a.label("bad");
  a.mov("al", "ah");
  a.label("end");
  a.out(0xf4, "al");
  a.label("stop");
  a.hlt();
  a.jmpShort("stop");
  a.link();
  a.image.set([0x55, 0xaa], 510);
  return a.image;
}

/** @param later The disk comes when the firmware has found nothing, and the machine is reset. */
async function copiesItsSector(
  options: Pick<MachineOptions, "accelerator" | "cpus" | "bios">,
  { later = false } = {},
): Promise<void> {
  const path = await Deno.makeTempFile({ prefix: "hv-test-disk-" });
  try {
    const image = new Uint8Array(DISK_BYTES);
    image.set(bootSector());
    const data = Uint8Array.from({ length: SECTOR }, (_, i) => i * 3);
    image.set(data, FROM * SECTOR);
    await Deno.writeFile(path, image);
    await using machine = await Machine.start({
      ...options,
      memory: "64M",
      disk: later ? undefined : { path, interface: "virtio" },
    });
    if (later) {
      const log = machine.consoles.find(({ name }) => name === "firmware log")!;
      if (options.bios === undefined) {
        await machine.screen.waitFor(/ROM monitor/, { timeoutMs: PATIENCE_MS });
      } else {
        await log.expect(/No bootable device/, { timeoutMs: PATIENCE_MS });
      }
      await machine.attach({ disk: path });
      await machine.reset();
    }
    assert.equal(await exitCode(machine, PATIENCE_MS), 0x21);
    const written = await Deno.readFile(path);
    assert.deepEqual(written.subarray(TO * SECTOR, (TO + 1) * SECTOR), data);
  } finally {
    await Deno.remove(path);
  }
}

guestTest("firmware starts systems from virtio disks", [
  ...onBoth({
    name: "the built-in firmware reads and writes one as disk 80h",
    needs: [],
    body: ({ accelerator, cpus }) => copiesItsSector({ accelerator, cpus }),
  }),
  ...onBoth({
    name: "SeaBIOS finds one with its own driver",
    needs: [SEABIOS],
    body: ({ accelerator, cpus }) => copiesItsSector({ accelerator, cpus, bios: SEABIOS }),
  }),
  ...onBoth({
    name: "the built-in firmware finds one that was attached while the machine ran, after a reset",
    needs: [],
    body: ({ accelerator, cpus }) => copiesItsSector({ accelerator, cpus }, { later: true }),
  }),
  ...onBoth({
    name: "SeaBIOS finds one that was attached while the machine ran, after a reset",
    needs: [SEABIOS],
    body: ({ accelerator, cpus }) =>
      copiesItsSector({ accelerator, cpus, bios: SEABIOS }, { later: true }),
  }),
]);
