/** A hostile driver of virtio devices on a real machine: whatever it writes, the machine goes on. */

import { Machine } from "../../../hv/mod.ts";
import assert from "node:assert/strict";
import type { BoardConfig } from "../../../hv/pc/board_config.ts";
import { exitCode, onEach } from "../../support/payload.ts";
import { Random, seed } from "../../support/random.ts";
import { FULL_BOARD } from "../../support/test_board.ts";
import { hostileRom } from "./hostile_trace.ts";
import { inFull } from "../../support/quick.ts";

const STEPS = inFull(150, 40);
const DISK_BYTES = 1 << 20;
/** The devices of the machine below, in the same slots. */
const BOARD: BoardConfig = {
  ...FULL_BOARD,
  networks: [{ model: "virtio", mac: Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56) }],
  drives: [{
    kind: "disk",
    interface: "virtio",
    unit: 0,
    sizeBytes: DISK_BYTES,
    readOnly: false,
  }],
};

onEach(
  "a hostile driver of every virtio device ends its program, and not the machine",
  async (accelerator) => {
    const folder = Deno.makeTempDirSync({ prefix: "hv-test-" });
    const path = `${folder}/disk.img`;
    const shared = `${folder}/shared`;
    Deno.writeFileSync(path, new Uint8Array(DISK_BYTES));
    Deno.mkdirSync(shared);
    try {
      using image = hostileRom(BOARD, STEPS, new Random(seed()));
      await using machine = await Machine.start({
        accelerator,
        memory: BOARD.ramBytes,
        cpus: BOARD.cpus,
        bios: image.path,
        disk: { path, interface: "virtio" },
        network: { model: "virtio", end: { user: { restrict: true } } },
        console: "virtio",
        ports: BOARD.ports,
        rng: true,
        share: { path: shared, tag: "src", readOnly: true },
        vsock: `${folder}/vsock`,
      });
      assert.equal(await exitCode(machine), 0x21, `HV_SEED=${seed()}`);
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  },
);
