/** What the board is, for the tables of any firmware. */

import { type BoardDescription, describeBoard } from "../../bios/board_description.ts";
import { LOW_RAM_LIMIT } from "../core/guest_memory.ts";
import { VERSION } from "../version.ts";
import type { BoardConfig } from "./board_config.ts";

/** The machine's identity in SMBIOS. */
export const IDENTITY = { version: VERSION, uuid: new Uint8Array(16) };

/** The board of `config`. */
export function boardOf(config: BoardConfig): BoardDescription {
  const lowRamBytes = Math.min(config.ramBytes, LOW_RAM_LIMIT);
  return describeBoard({
    cpus: config.cpus,
    lowRamBytes,
    highRamBytes: config.ramBytes - lowRamBytes,
    serialPorts: config.serialPorts,
    hasFloppy: config.drives.some(({ kind }) => kind === "floppy"),
  });
}
