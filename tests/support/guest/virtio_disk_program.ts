/** A virtio disk driven by a program of its own, in 16 bits, over whatever transport. */

import assert from "node:assert/strict";
import { word } from "../../../bios/assembler/assembler.ts";
import { Machine, type MachineOptions } from "../../../hv/mod.ts";
import { PATIENCE_MS } from "./guests.ts";
import { exitCode, type Payload, rom } from "../payload.ts";
import { DATA, INTERRUPTS, type ProgramQueue, request, STATUS } from "./virtio_program.ts";

const DISK_BYTES = 8192;
/** Sectors that are written: from 2 on, up to here. */
const LAST_SECTOR = 8;

/** What differs from one transport to the other. */
export interface DiskProgram {
  /** Of the device's interrupt. */
  readonly vector: number;
  /** Initialises the device and what its interrupt goes through. */
  initialise(p: Payload): void;
  /** Default: that of virtio_program.ts. */
  readonly queue?: ProgramQueue;
  /** The interrupt's handler, as label `interrupt`. */
  handler(p: Payload): void;
  readonly options: MachineOptions;
  /** How the disk is attached. */
  readonly disk?: { readonly aio: "io_uring" | "threads" };
  /** Looks at the machine when it has been started. */
  look?(machine: Machine): void;
}

/** Reads sector 1 and writes sectors 2 to 8, each with an interrupt of its own; all of it arrives. */
export async function drivesDisk(
  { vector, initialise, queue, handler, options, disk, look }: DiskProgram,
): Promise<void> {
  const path = Deno.makeTempFileSync({ prefix: "hv-test-disk-" });
  try {
    const sectors = new Uint8Array(DISK_BYTES);
    sectors.set(new TextEncoder().encode("moin"), 512);
    Deno.writeFileSync(path, sectors);
    using image = rom((p) => {
      p.realMode();
      p.unreal();
      p.vector(vector, "interrupt");
      p.mov(word(INTERRUPTS), 0);
      initialise(p);
      request(p, 1, 0, 1, queue);
      p.mov("dx", 0x3f8);
      for (let i = 0; i < 4; i++) {
        p.peekByte(DATA + i);
        p.out("dx", "al");
      }
      for (let number = 2; number <= LAST_SECTOR; number++) {
        p.poke(DATA, 4, 0x2020_2030 + number);
        request(p, number, 1, number, queue);
      }
      p.peekByte(STATUS);
      p.out(0xf4, "al");
      handler(p);
    });
    await using machine = await Machine.start({
      ...options,
      memory: "2M",
      bios: image.path,
      disk: { path, interface: "virtio", ...disk },
    });
    look?.(machine);
    await machine.console.expect("moin", { timeoutMs: PATIENCE_MS });
    assert.equal(await exitCode(machine), 1, "the last status is OK");
    const written = Deno.readFileSync(path);
    for (let number = 2; number <= LAST_SECTOR; number++) {
      const text = new TextDecoder().decode(written.subarray(number * 512, number * 512 + 4));
      assert.equal(text, `${number}   `, `sector ${number}`);
    }
  } finally {
    Deno.removeSync(path);
  }
}
