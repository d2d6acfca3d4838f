/** The board's drives: the floppy controller with its DMA channel, two IDE channels. */

import { AtaDisk, AtaDiskState } from "../../devices/ata/ata_disk.ts";
import { AtapiCdrom, AtapiCdromState } from "../../devices/ata/atapi/cdrom.ts";
import { I82077, I82077State } from "../../devices/floppy/i82077.ts";
import { I8237, I8237State } from "../../devices/system/i8237.ts";
import { IdeBusMaster, IdeBusMasterState } from "../../devices/ata/ide_bus_master.ts";
import { IdeChannel, IdeChannelState } from "../../devices/ata/ide_channel.ts";
import type { IdeDrive } from "../../devices/ata/ide_drive.ts";
import type { DriveConfig } from "./board_config.ts";
import type { BlockPort } from "../core/media/block.ts";
import type { IoHandler } from "../core/bus/device.ts";
import { floppyDriveType } from "../core/media/floppy_formats.ts";
import type { RateLimit } from "../core/time/rate_limit.ts";
import type { Lock } from "../core/state/lock.ts";
import type { DriveSlot, PcBuilder } from "./builder.ts";
import type { PciSlot } from "./pci_slot.ts";
import { VERSION } from "../version.ts";

const FLOPPY_IRQ = 6;
const FLOPPY_DMA = 2;
const CHANNELS = [
  { name: "ide0", command: 0x1f0, control: 0x3f6, irq: 14 },
  { name: "ide1", command: 0x170, control: 0x376, irq: 15 },
] as const;

/** A drive of the board with the ends of its medium. */
export interface PcDrive extends DriveSlot {
  readonly config: DriveConfig;
  /** The built-in firmware's end. */
  readonly firmwarePort: BlockPort;
}

/** A disk that comes and goes, as the built-in firmware knows it. */
export interface HotDrive extends Pick<PcDrive, "config" | "firmwarePort" | "limit"> {
  /** Held while a request on the port is ended. */
  readonly lock: Lock;
}

/** See above. */
export class PcStorage {
  readonly drives: PcDrive[] = [];
  /** Another list whenever a disk has come or gone. */
  hotDrives: readonly HotDrive[] = [];
  readonly busMaster: IdeBusMaster;
  /** Guards channel 0, channel 1 and the bus master: a transfer touches both sides. */
  readonly ideLock: Lock;
  readonly #builder: PcBuilder;

  constructor(builder: PcBuilder) {
    this.#builder = builder;
    this.#addFloppies();
    this.ideLock = builder.lock("ide");
    this.busMaster = this.#addIde();
  }

  /** Tells controllers and firmware what media there are; main does so once, before the start. */
  insertMedia(): void {
    for (const { config, ports } of this.drives) {
      const { sizeBytes, readOnly } = config;
      for (const { port } of ports) {
        port.setMedium(sizeBytes === undefined ? undefined : { sizeBytes, readOnly });
        port.state.changed = false;
      }
    }
  }

  /** A drive whose controller is elsewhere: the built-in firmware's end of its medium. */
  addFirmwareDrive(name: string, medium: number, limit: RateLimit | undefined): void {
    const b = this.#builder;
    const firmwarePort = b.blockPort(`${name}.firmware`);
    const ports = [{ port: firmwarePort, lock: b.lock(`${name}.firmware`) }];
    this.drives.push({ medium, ports, config: b.config.drives[medium], firmwarePort, limit });
  }

  /** The same for a disk in `slot`, while it is there. */
  addHotDrive(slot: PciSlot, config: DriveConfig, limit: RateLimit | undefined): HotDrive {
    const firmwarePort = this.#builder.blockPort("firmware", slot);
    const drive = { config, firmwarePort, lock: slot.lock("firmware"), limit };
    this.hotDrives = [...this.hotDrives, drive];
    slot.onRemoval(() => this.hotDrives = this.hotDrives.filter((other) => other !== drive));
    return drive;
  }

  #addFloppies(): void {
    const b = this.#builder;
    const dmaLock = b.lock("dma");
    const dma = b.device(
      new I8237({ state: b.state(I8237State), memory: b.memory, lock: dmaLock }),
    );
    const claim = (name: string, base: number, length: number, device: IoHandler) =>
      b.ports.claim({ name, base, length, device, lock: dmaLock });
    claim("dma 0-3", 0x00, 16, dma.first);
    claim("dma 4-7", 0xc0, 32, dma.second);
    claim("dma pages", 0x80, 16, dma.pages);

    const lock = b.lock("floppy");
    const drives = [0, 1].map((unit) => {
      const drive = this.#drive("floppy", unit, lock);
      return drive === undefined
        ? undefined
        : { type: floppyDriveType(drive.config.sizeBytes), port: drive.port };
    });
    const floppy = b.device(
      new I82077({
        state: b.state(I82077State),
        clock: b.clock,
        timer: b.timers.create("floppy", lock),
        irq: b.irq(FLOPPY_IRQ),
        dma: dma.channel(FLOPPY_DMA),
        drives,
      }),
    );
    b.ports.claim({ name: "floppy", base: 0x3f0, length: 6, device: floppy.registers, lock });
    b.ports.claim({ name: "floppy", base: 0x3f7, length: 1, device: floppy.control, lock });
  }

  #addIde(): IdeBusMaster {
    const b = this.#builder;
    const lock = this.ideLock;
    const channels = CHANNELS.map(({ name, command, control, irq }, index) => {
      const channel = b.device(
        new IdeChannel(b.state(IdeChannelState, name), {
          irq: b.irq(irq),
          drives: [this.#ideDrive(index * 2), this.#ideDrive(index * 2 + 1)],
        }),
      );
      const widths = { max: 4 } as const;
      b.ports.claim({ name, base: command, length: 8, device: channel.commandBlock, widths, lock });
      b.ports.claim({ name, base: control, length: 1, device: channel.controlBlock, lock });
      return channel;
    });
    return b.device(
      new IdeBusMaster(b.state(IdeBusMasterState), b.memory, [channels[0], channels[1]]),
    );
  }

  #ideDrive(unit: number): IdeDrive | undefined {
    const b = this.#builder;
    const firmware = VERSION.slice(0, 8);
    const serial = `HV${String(unit).padStart(5, "0")}`;
    const disk = this.#drive("disk", unit, this.ideLock);
    if (disk !== undefined) {
      const identity = { model: "HV HARDDISK", serial: disk.config.serial ?? serial, firmware };
      return new AtaDisk(b.state(AtaDiskState, `disk${unit}`), disk.port, identity);
    }
    const cdrom = this.#drive("cdrom", unit, this.ideLock);
    if (cdrom === undefined) return undefined;
    const identity = { model: "HV DVD-ROM", serial, firmware };
    return new AtapiCdrom(b.state(AtapiCdromState, `cdrom${unit}`), cdrom.port, identity);
  }

  #drive(kind: DriveConfig["kind"], unit: number, lock: Lock) {
    const b = this.#builder;
    const medium = b.config.drives.findIndex((d) =>
      d.kind === kind && d.unit === unit && d.interface !== "virtio"
    );
    if (medium < 0) return undefined;
    const config = b.config.drives[medium];
    const name = `${kind}${unit}`;
    const port = b.blockPort(`${name}.medium`);
    const firmwarePort = b.blockPort(`${name}.firmware`);
    const ports = [{ port, lock }, { port: firmwarePort, lock: b.lock(`${name}.firmware`) }];
    const limit = b.rateLimit(name, config.rates);
    // The ports are looked at again.
    if (limit !== undefined) limit.timer.onExpire = () => b.control.ringIo();
    this.drives.push({ medium, ports, config, firmwarePort, limit });
    return { config, port };
  }
}
