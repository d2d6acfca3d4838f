/**
 * ATA disk: a hard disk with the general feature set, power management, 48-bit addresses and DMA.
 *
 * ATA/ATAPI-6 (T13 1410D), section 8 for the commands and 9 for the protocols; ATA-2 (X3.279) for
 * cylinder, head and sector. Sectors have 512 bytes. The port's buffer is the drive's: a command's
 * sectors pass through it in chunks of at most 256, and the data register reads and writes it.
 *
 * A range that runs past the end fails whole, with IDNF, before anything moves. After a failed read
 * of many sectors they are read one by one, so that the error names the right one. SLEEP is left by
 * any command, not only by a reset. Left out: SMART, security (but FREEZE LOCK does nothing, well),
 * host protected area, queueing, streaming, READ/WRITE LONG, FORMAT TRACK.
 *
 * Lock: the controller's (see ide_channel.ts).
 */

import {
  BLOCK_BUFFER_BYTES,
  BlockOp,
  type BlockPort,
  BlockResult,
} from "../../hv/core/media/block.ts";
import { f64, flag, nested, record, u32, u8 } from "../../hv/core/state/record.ts";
import {
  type AddressForm,
  addressForm,
  readAddress,
  readCount,
  writeAddress,
} from "./ata_address.ts";
import {
  Command,
  Feature,
  RECALIBRATE_GROUP,
  SEEK_GROUP,
  type Transfer,
  TRANSFERS,
} from "./ata_commands.ts";
import { chooseMode, type DriveIdentity, writeIdentify } from "./ata_identify.ts";
import { ataGeometry } from "../../hv/core/media/disk_geometry.ts";
import { IdeDrive, IdeDriveState } from "./ide_drive.ts";
import { DeviceBit, ErrorBit, READY } from "./ide_registers.ts";

const SECTOR_BYTES = 512;
const MAX_CHUNK_SECTORS = BLOCK_BUFFER_BYTES / SECTOR_BYTES;
/** Most sectors a DRQ block of READ and WRITE MULTIPLE. */
const MAX_MULTIPLE = 16;
const MAX_LBA28 = 0x0fff_ffff;
/** CHECK POWER MODE (8.8): in standby, and active or idle. */
const POWER_STANDBY = 0x00;
const POWER_ACTIVE = 0xff;

/** What the medium's answer, or the host's data, are for. */
const Task = { none: 0, read: 1, write: 2, verify: 3, flush: 4, scratch: 5 } as const;

/** Shared by all threads. */
export const AtaDiskState = record("ata.disk", 1, {
  drive: nested(IdeDriveState),
  /** One of `Task`. */
  task: u8,
  /** The address is given, and reported, in 48 bits. */
  ext: flag,
  /** Read sectors one by one, to find the one that fails. */
  singly: flag,
  /** Sectors a block of READ and WRITE MULTIPLE; 0: not set. */
  multiple: u8,
  heads: u8,
  sectorsPerTrack: u8,
  multiwordMode: u8,
  ultraMode: u8,
  writeCache: flag,
  lookAhead: flag,
  /** SRST brings back the settings of power-on. */
  revertOnReset: flag,
  power: u8,
  /** Next sector of the command, sectors left, and sectors in the chunk under way. */
  lba: f64,
  remaining: u32,
  chunkSectors: u32,
});
/** A view of `AtaDiskState`. */
export type AtaDiskState = InstanceType<typeof AtaDiskState>;

/** See above. */
export class AtaDisk extends IdeDrive {
  override readonly takesDeviceReset = false;
  protected override readonly signature = [0x00, 0x00] as const;
  protected override readonly statusAfterReset: number = READY;
  readonly #state: AtaDiskState;
  readonly #identity: DriveIdentity;

  /** @param port The medium: a whole number of sectors, always present. */
  constructor(state: AtaDiskState, port: BlockPort, identity: DriveIdentity) {
    super(state.drive, port);
    this.#state = state;
    this.#identity = identity;
  }

  protected override powerOn(): void {
    const state = this.#state;
    state.power = POWER_ACTIVE;
    state.revertOnReset = false;
    this.#defaults();
  }

  protected override commandLost(): void {
    const state = this.#state;
    state.task = Task.none;
    state.ext = state.singly = false;
    state.lba = state.remaining = state.chunkSectors = 0;
    state.power = POWER_ACTIVE;
    if (state.revertOnReset) this.#defaults();
  }

  #defaults(): void {
    const state = this.#state;
    const { heads, sectors } = ataGeometry(this.port.sizeBytes);
    state.heads = heads;
    state.sectorsPerTrack = sectors;
    state.multiple = 0;
    state.multiwordMode = state.ultraMode = 0;
    state.writeCache = state.lookAhead = true;
  }

  override execute(opcode: number): void {
    const transfer = TRANSFERS.get(opcode);
    if (transfer !== undefined) return this.#transfer(transfer);
    if (opcode >> 4 === RECALIBRATE_GROUP) return this.complete();
    if (opcode >> 4 === SEEK_GROUP) return this.#seek();
    switch (opcode) {
      case Command.IDENTIFY_DEVICE:
        this.#writeIdentify();
        return this.#scratch({ toHost: true });
      case Command.READ_BUFFER:
        return this.#scratch({ toHost: true });
      case Command.WRITE_BUFFER:
        return this.#scratch({ toHost: false });
      case Command.SET_FEATURES:
        return this.#setFeatures();
      case Command.SET_MULTIPLE_MODE:
        return this.#setMultiple();
      case Command.INITIALIZE_DEVICE_PARAMETERS:
        return this.#initializeParameters();
      case Command.FLUSH_CACHE:
      case Command.FLUSH_CACHE_EXT:
        this.#state.task = Task.flush;
        return this.startMedium(BlockOp.flush, 0, 0);
      case Command.READ_NATIVE_MAX_ADDRESS:
        return this.#readNativeMax(addressForm(this.registers, false));
      case Command.READ_NATIVE_MAX_ADDRESS_EXT:
        return this.#readNativeMax("lba48");
      case Command.SECURITY_FREEZE_LOCK:
        return this.complete();
      default:
        return this.#power(opcode);
    }
  }

  #power(opcode: number): void {
    const state = this.#state;
    switch (opcode) {
      case Command.STANDBY:
      case Command.STANDBY_OLD:
      case Command.STANDBY_IMMEDIATE:
      case Command.STANDBY_IMMEDIATE_OLD:
      case Command.SLEEP:
      case Command.SLEEP_OLD:
        state.power = POWER_STANDBY;
        return this.complete();
      case Command.IDLE:
      case Command.IDLE_OLD:
      case Command.IDLE_IMMEDIATE:
      case Command.IDLE_IMMEDIATE_OLD:
        state.power = POWER_ACTIVE;
        return this.complete();
      case Command.CHECK_POWER_MODE:
      case Command.CHECK_POWER_MODE_OLD:
        this.registers.count = state.power;
        return this.complete();
      default:
        return this.abort();
    }
  }

  get #sectors(): number {
    return Math.floor(this.port.sizeBytes / SECTOR_BYTES);
  }

  #transfer({ kind, ext, dma, multiple }: Transfer): void {
    const state = this.#state;
    if (multiple && state.multiple === 0) return this.abort();
    const form = addressForm(this.registers, ext);
    const lba = readAddress(this.registers, form, state);
    const count = readCount(this.registers, ext);
    const sectors = this.#sectors;
    if (lba < 0) return this.fail(ErrorBit.IDNF);
    if (lba + count > sectors) {
      if (lba < sectors) writeAddress(this.registers, form, sectors, state);
      return this.fail(ErrorBit.IDNF);
    }
    state.task = Task[kind];
    state.ext = ext;
    state.singly = false;
    state.lba = lba;
    state.remaining = count;
    state.power = POWER_ACTIVE;
    const blockBytes = (multiple ? state.multiple : 1) * SECTOR_BYTES;
    this.beginTransfer({ dma, toHost: kind !== "write", blockBytes });
    if (kind === "write") this.#takeChunk(blockBytes, { interrupt: false });
    else this.#readChunk();
  }

  #readChunk(): void {
    const state = this.#state;
    state.chunkSectors = state.singly ? 1 : Math.min(state.remaining, MAX_CHUNK_SECTORS);
    const length = state.chunkSectors * SECTOR_BYTES;
    this.startMedium(BlockOp.read, state.lba * SECTOR_BYTES, length);
  }

  /** Asks the host for sectors; without a write cache no more than one block before each is written. */
  #takeChunk(blockBytes: number, { interrupt }: { interrupt: boolean }): void {
    const state = this.#state;
    const most = state.writeCache ? MAX_CHUNK_SECTORS : blockBytes / SECTOR_BYTES;
    state.chunkSectors = Math.min(state.remaining, most);
    this.moveChunk(state.chunkSectors * SECTOR_BYTES, { interrupt });
  }

  protected override chunkMoved(): void {
    const state = this.#state;
    if (state.task === Task.read) {
      this.#advance();
      if (state.remaining > 0) this.#readChunk();
      // The last block of a PIO read announced itself when it began; DMA announces its end.
      else this.complete({ interrupt: this.usesDma });
    } else if (state.task === Task.write) {
      const length = state.chunkSectors * SECTOR_BYTES;
      this.startMedium(BlockOp.write, state.lba * SECTOR_BYTES, length);
    } else {
      this.complete({ interrupt: !this.toHost });
    }
  }

  protected override mediumDone(result: BlockResult): void {
    const state = this.#state;
    if (result !== BlockResult.ok) return this.#mediumFailed(result);
    if (state.task === Task.read) {
      this.moveChunk(state.chunkSectors * SECTOR_BYTES, { interrupt: true });
    } else if (state.task === Task.verify) {
      this.#advance();
      if (state.remaining > 0) this.#readChunk();
      else this.complete();
    } else if (state.task === Task.write) {
      this.#advance();
      if (state.remaining > 0) this.#takeChunk(state.drive.blockBytes, { interrupt: true });
      else this.complete();
    } else {
      this.complete();
    }
  }

  #mediumFailed(result: BlockResult): void {
    const state = this.#state;
    const { task } = state;
    const reads = task === Task.read || task === Task.verify;
    if (reads && result === BlockResult.ioError && state.chunkSectors > 1) {
      state.singly = true;
      return this.#readChunk();
    }
    if (task === Task.flush) return this.abort();
    writeAddress(this.registers, addressForm(this.registers, state.ext), state.lba, state);
    this.registers.count = state.remaining;
    if (state.ext) this.registers.hobCount = state.remaining >> 8;
    if (result === BlockResult.outOfRange) this.fail(ErrorBit.IDNF);
    else if (result === BlockResult.ioError && reads) this.fail(ErrorBit.UNC);
    else this.abort();
  }

  #advance(): void {
    const state = this.#state;
    state.lba += state.chunkSectors;
    state.remaining -= state.chunkSectors;
  }

  /** 512 bytes that do not come from or go to the medium. */
  #scratch({ toHost }: { toHost: boolean }): void {
    this.#state.task = Task.scratch;
    this.beginTransfer({ dma: false, toHost, blockBytes: SECTOR_BYTES });
    this.moveChunk(SECTOR_BYTES, { interrupt: toHost });
  }

  #seek(): void {
    const lba = readAddress(this.registers, addressForm(this.registers, false), this.#state);
    if (lba < 0 || lba >= this.#sectors) this.fail(ErrorBit.IDNF);
    else this.complete();
  }

  #readNativeMax(form: AddressForm): void {
    const last = Math.max(0, this.#sectors - 1);
    const max = form === "lba48" ? last : Math.min(last, MAX_LBA28 - 1);
    writeAddress(this.registers, form, max, this.#state);
    this.complete();
  }

  #setMultiple(): void {
    const { count } = this.registers;
    const powerOfTwo = (count & (count - 1)) === 0;
    if (count > MAX_MULTIPLE || !powerOfTwo) return this.abort();
    this.#state.multiple = count;
    this.complete();
  }

  #initializeParameters(): void {
    const { count, device } = this.registers;
    if (count === 0) return this.abort();
    this.#state.sectorsPerTrack = count;
    this.#state.heads = (device & DeviceBit.HEAD) + 1;
    this.complete();
  }

  #setFeatures(): void {
    const state = this.#state;
    const { features, count } = this.registers;
    if (features === Feature.setTransferMode) {
      const now = { multiword: state.multiwordMode, ultra: state.ultraMode };
      const mode = chooseMode(count, now);
      if (mode === undefined) return this.abort();
      state.multiwordMode = mode.multiword;
      state.ultraMode = mode.ultra;
    } else if (features === Feature.enableWriteCache || features === Feature.disableWriteCache) {
      state.writeCache = features === Feature.enableWriteCache;
    } else if (features === Feature.enableLookAhead || features === Feature.disableLookAhead) {
      state.lookAhead = features === Feature.enableLookAhead;
    } else if (features === Feature.keepOnReset || features === Feature.revertOnReset) {
      state.revertOnReset = features === Feature.revertOnReset;
    } else {
      return this.abort();
    }
    this.complete();
  }

  #writeIdentify(): void {
    const state = this.#state;
    const sectors = this.#sectors;
    const standard = ataGeometry(sectors * SECTOR_BYTES);
    const { heads, sectorsPerTrack } = state;
    const cylinders = Math.min(65535, Math.floor(sectors / (heads * sectorsPerTrack)));
    const chsSectors = cylinders * heads * sectorsPerTrack;
    const lba28 = Math.min(sectors, MAX_LBA28);
    const enabled = (state.writeCache ? 0x0020 : 0) | (state.lookAhead ? 0x0040 : 0);
    const word = (value: number, n: number) => Math.floor(value / 2 ** (16 * n)) & 0xffff;
    writeIdentify(this.port.buffer, {
      identity: this.#identity,
      dma: { multiword: state.multiwordMode, ultra: state.ultraMode },
      isDevice1: (this.registers.device & DeviceBit.DEV) !== 0,
      words: {
        0: 0x0040, // a fixed disk
        1: standard.cylinders,
        2: 0xc837, // complete, and nothing need be done to spin up
        3: standard.heads,
        4: standard.sectors * SECTOR_BYTES,
        5: SECTOR_BYTES,
        6: standard.sectors,
        20: 3, // a cache
        21: BLOCK_BUFFER_BYTES / SECTOR_BYTES,
        22: 4,
        47: 0x8000 | MAX_MULTIPLE,
        49: 0x2f00, // standby timer, IORDY, LBA, DMA
        50: 0x4000,
        54: cylinders,
        55: heads,
        56: sectorsPerTrack,
        57: word(chsSectors, 0),
        58: word(chsSectors, 1),
        59: state.multiple === 0 ? 0 : 0x0100 | state.multiple,
        60: word(lba28, 0),
        61: word(lba28, 1),
        82: 0x7068, // NOP, buffers, look-ahead, write cache, power management
        83: 0x7400, // FLUSH CACHE (EXT), 48-bit addresses
        84: 0x4000,
        85: 0x7008 | enabled,
        86: 0x3400,
        87: 0x4000,
        100: word(sectors, 0),
        101: word(sectors, 1),
        102: word(sectors, 2),
      },
    });
  }
}
