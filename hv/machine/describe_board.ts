/** The board that a machine's options ask for. */

import type { ResolvedConfig } from "../options/config.ts";
import { cardOf } from "../options/network_options.ts";
import type { BoardConfig } from "../pc/board_config.ts";
import { BUILTIN_ROM_BYTES } from "../pc/firmware/firmware_memory.ts";

/** What the options do not say. */
export interface BoardFacts
  extends Pick<BoardConfig, "kernelEntry" | "drives" | "accelerator" | "vgaRom"> {
  /** Of a firmware image; undefined: the built-in firmware. */
  readonly romBytes: number | undefined;
}

/** Puts both together. */
export function describeBoard(
  config: ResolvedConfig,
  { romBytes, kernelEntry, drives, accelerator, vgaRom }: BoardFacts,
): BoardConfig {
  return {
    ramBytes: config.ramBytes,
    cpus: config.cpus,
    romBytes: romBytes ?? BUILTIN_ROM_BYTES,
    firmware: romBytes === undefined ? "builtin" : "image",
    kernelEntry,
    drives,
    networks: config.networks.map(cardOf),
    shares: config.shares.map(({ tag }) => ({ tag })),
    vsock: config.vsock && { cid: config.vsock.cid },
    bootOrder: config.bootOrder,
    serialPorts: config.serialPorts,
    virtioConsole: config.virtioConsole,
    balloon: config.balloon,
    ports: config.ports,
    rng: config.rng,
    virtioTransport: config.virtioTransport,
    virtioPacked: config.virtioPacked,
    testDevices: config.testDevices,
    accelerator,
    vgaRom,
  };
}
