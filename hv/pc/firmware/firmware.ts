/**
 * The board's firmware: our own, served in TypeScript (bios/), or an image such as SeaBIOS or OVMF, which
 * learns about the machine through fw_cfg.
 */

import { FwCfg, fwCfgState } from "../../../devices/fw_cfg/fw_cfg.ts";
import { FwCfgContents, FwCfgKey } from "../../../devices/fw_cfg/contents.ts";
import type { Vcpu } from "../../accel/accelerator.ts";
import type { BoardConfig } from "../board_config.ts";
import type { PcBuilder } from "../builder.ts";
import type { BuiltinFirmware } from "./builtin_firmware.ts";
import type { imageFiles } from "./image_files.ts";
import type { PcMemory } from "../memory.ts";
import type { PcStorage } from "../storage.ts";

/** What the threads that serve firmware, the processors', have of it; main has `BuiltinFirmware`, too. */
export interface FirmwareParts {
  readonly BuiltinFirmware?: typeof BuiltinFirmware;
  /** What an image asks fw_cfg for. */
  readonly imageFiles?: typeof imageFiles;
}

/** See above. */
export class PcFirmware {
  readonly #memory: PcMemory;
  readonly #builtin: BuiltinFirmware | undefined;

  constructor(
    builder: PcBuilder,
    memory: PcMemory,
    storage: PcStorage,
    { BuiltinFirmware: Builtin, imageFiles }: FirmwareParts,
  ) {
    this.#memory = memory;
    this.#builtin = Builtin && new Builtin(builder, memory, storage);
    const contents = fwCfgContents(builder.config, imageFiles);
    const b = builder;
    const lock = b.lock("fw_cfg");
    const fwCfg = b.device(new FwCfg(b.state(fwCfgState(contents)), contents, b.memory));
    const { ports, dma } = fwCfg;
    b.ports.claim({
      name: "fw_cfg",
      base: 0x510,
      length: 2,
      device: ports,
      widths: { max: 2 },
      lock,
    });
    b.ports.claim({
      name: "fw_cfg",
      base: 0x514,
      length: 8,
      device: dma,
      widths: { max: 4 },
      lock,
    });
  }

  /**
   * Puts the firmware into its ROM.
   *
   * @param image Default: our own.
   */
  reset(image = this.#builtin?.image()): void {
    if (image !== undefined) this.#memory.rom.bytes.set(image);
  }

  /** Connects the built-in firmware to the processor that this thread runs. */
  attachVcpu(vcpu: Vcpu): void {
    this.#builtin?.attachVcpu(vcpu);
  }

  /**
   * What POST does without the processor, for a kernel that is entered directly. Main calls it while
   * nothing runs.
   */
  prepareWithoutPost(): void {
    this.#builtin?.prepareWithoutPost();
  }
}

function fwCfgContents(
  config: BoardConfig,
  files: FirmwareParts["imageFiles"],
): FwCfgContents {
  const { firmware, ramBytes, cpus } = config;
  const contents = new FwCfgContents();
  // Some kernels ask for these, too, whatever the firmware is.
  contents.number(FwCfgKey.ramSize, ramBytes, 8);
  contents.number(FwCfgKey.nbCpus, cpus, 2);
  contents.number(FwCfgKey.maxCpus, cpus, 2);
  contents.number(FwCfgKey.noGraphic, 0, 2);
  if (firmware === "builtin") return contents;
  if (files !== undefined) {
    contents.filesLater(() => {
      for (const [name, bytes] of files(config)) contents.file(name, bytes);
    });
  }
  return contents;
}
