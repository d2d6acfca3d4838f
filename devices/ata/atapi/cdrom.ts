/**
 * ATAPI CD-ROM drive: the PACKET feature set with the multimedia commands, one data track of 2048-byte
 * sectors, a tray that opens, locks and reports what was put into it. A medium of more than 80 minutes
 * passes for a DVD.
 *
 * MMC-4 (T10 1545D), SPC-3 (T10 1416D), SFF-8020i. Left out: audio tracks, several sessions,
 * MODE SELECT, READ DVD STRUCTURE, changers; raw sectors (READ CD, F8h) have no error correction codes.
 *
 * Lock: the controller's (see ide_channel.ts).
 */

import {
  BLOCK_BUFFER_BYTES,
  BlockOp,
  type BlockPort,
  BlockResult,
} from "../../../hv/core/media/block.ts";
import { flag, nested, record, u32, u8 } from "../../../hv/core/state/record.ts";
import type { DriveIdentity } from "../ata_identify.ts";
import {
  IGNORES_ATTENTION,
  lbaToMsf,
  msfToLba,
  NEEDS_MEDIUM,
  Packet,
  SENSE,
  type Sense,
} from "./commands.ts";
import { AtapiDrive, AtapiDriveState } from "./drive.ts";
import * as reply from "./replies.ts";

const SECTOR_BYTES = 2048;
/** Synchronisation, header, data and error correction. */
const RAW_SECTOR_BYTES = 2352;
const RAW_DATA_OFFSET = 16;
/** Shared by all threads. */
export const AtapiCdromState = record("atapi.cdrom", 1, {
  packet: nested(AtapiDriveState),
  /** A medium has come and nobody has been told. */
  attention: flag,
  /** One of `MediaEvent`. */
  mediaEvent: u8,
  trayOpen: flag,
  /** The host forbids that the medium be taken out. */
  locked: flag,
  /** Next sector, sectors left, sectors in the chunk under way; are they raw? */
  lba: u32,
  remaining: u32,
  chunkSectors: u32,
  raw: flag,
});
/** A view of `AtapiCdromState`. */
export type AtapiCdromState = InstanceType<typeof AtapiCdromState>;

/** See above. */
export class AtapiCdrom extends AtapiDrive {
  readonly #state: AtapiCdromState;

  /** @param port The disc: a whole number of 2048-byte sectors; comes and goes. */
  constructor(state: AtapiCdromState, port: BlockPort, identity: DriveIdentity) {
    super(state.packet, port, identity);
    this.#state = state;
  }

  /**
   * The button on the front: opens the tray, or tells the guest that somebody would like to have it
   * open. Under the controller's lock.
   *
   * @returns Is the tray open now?
   */
  pressEject(): boolean {
    const state = this.#state;
    if (state.locked) state.mediaEvent = reply.MediaEvent.ejectRequest;
    else this.#openTray();
    return state.trayOpen;
  }

  protected override powerOn(): void {
    super.powerOn();
    const state = this.#state;
    state.attention = state.trayOpen = false;
    state.mediaEvent = reply.MediaEvent.none;
  }

  protected override commandLost(): void {
    super.commandLost();
    const state = this.#state;
    state.raw = state.locked = false;
    state.lba = state.remaining = state.chunkSectors = 0;
  }

  get #present(): boolean {
    return this.port.present && !this.#state.trayOpen;
  }

  get #sectors(): number {
    return this.#present ? Math.floor(this.port.sizeBytes / SECTOR_BYTES) : 0;
  }

  protected override mediumDone(result: BlockResult): void {
    const state = this.#state;
    if (result === BlockResult.ok) {
      if (state.raw) this.#makeRaw();
      const length = state.chunkSectors * (state.raw ? RAW_SECTOR_BYTES : SECTOR_BYTES);
      this.moveChunk(length, { interrupt: true });
    } else if (result === BlockResult.noMedium) this.bad(this.#noMedium);
    else if (result === BlockResult.outOfRange) this.bad(SENSE.addressOutOfRange);
    else this.bad(SENSE.unrecoveredRead);
  }

  get #noMedium(): Sense {
    return this.#state.trayOpen ? SENSE.noMediumTrayOpen : SENSE.noMediumTrayClosed;
  }

  /** A medium was changed since the last command: the tray must have been opened and shut. */
  #noticeChange(): void {
    const state = this.#state;
    if (!this.port.state.changed) return;
    this.port.state.changed = false;
    state.trayOpen = false;
    this.#mediumMoved();
  }

  #mediumMoved(): void {
    const state = this.#state;
    state.attention = this.#present;
    state.mediaEvent = this.#present ? reply.MediaEvent.newMedia : reply.MediaEvent.mediaRemoval;
  }

  #openTray(): void {
    if (this.#state.trayOpen) return;
    this.#state.trayOpen = true;
    this.#mediumMoved();
  }

  protected override perform(packet: DataView): void {
    const state = this.#state;
    const opcode = packet.getUint8(0);
    state.remaining = 0;
    this.#noticeChange();
    if (state.attention && !IGNORES_ATTENTION.has(opcode)) {
      state.attention = false;
      return this.bad(SENSE.mediumChanged);
    }
    if (NEEDS_MEDIUM.has(opcode) && !this.#present) return this.bad(this.#noMedium);
    if (opcode !== Packet.REQUEST_SENSE) this.sense = SENSE.none;
    this.#execute(opcode, packet);
  }

  protected override dataMoved(): void {
    const state = this.#state;
    if (state.remaining === 0) return this.good();
    state.lba += state.chunkSectors;
    state.remaining -= state.chunkSectors;
    if (state.remaining > 0) this.#readChunk();
    else this.good();
  }

  #execute(opcode: number, cdb: DataView): void {
    const out = this.port.buffer;
    const state = this.#state;
    switch (opcode) {
      case Packet.TEST_UNIT_READY:
      case Packet.SET_CD_SPEED:
      case Packet.STOP_PLAY:
        return this.good();
      case Packet.SEEK_10:
        return cdb.getUint32(2) < this.#sectors ? this.good() : this.bad(SENSE.addressOutOfRange);
      case Packet.PREVENT_ALLOW_MEDIUM_REMOVAL:
        state.locked = (cdb.getUint8(4) & 1) !== 0;
        return this.good();
      case Packet.START_STOP_UNIT:
        return this.#startStop(cdb.getUint8(4));
      case Packet.REQUEST_SENSE:
        return this.#requestSense(cdb.getUint8(4));
      case Packet.INQUIRY:
        // Vital product data are not there.
        if ((cdb.getUint8(1) & 1) !== 0 || cdb.getUint8(2) !== 0) break;
        return this.reply(reply.inquiry(out, this.identity), cdb.getUint16(3));
      case Packet.READ_CAPACITY:
        return this.reply(reply.capacity(out, this.#sectors), 8);
      case Packet.READ_10:
        return this.#read(cdb.getUint32(2), cdb.getUint16(7));
      case Packet.READ_12:
        return this.#read(cdb.getUint32(2), cdb.getUint32(6));
      case Packet.READ_CD:
        return this.#readCd(cdb, cdb.getUint32(2), cdb.getUint32(5) & 0xff_ffff);
      case Packet.READ_CD_MSF: {
        const msf = (at: number) =>
          msfToLba(cdb.getUint8(at), cdb.getUint8(at + 1), cdb.getUint8(at + 2));
        return this.#readCd(cdb, msf(3), msf(6) - msf(3));
      }
      case Packet.MODE_SENSE_6:
      case Packet.MODE_SENSE_10:
        return this.#modeSense(cdb, opcode === Packet.MODE_SENSE_6);
      case Packet.MECHANISM_STATUS:
        return this.reply(reply.mechanismStatus(out, state.trayOpen), cdb.getUint16(8));
      case Packet.READ_DISC_INFORMATION:
        if ((cdb.getUint8(1) & 7) !== 0) break;
        return this.reply(reply.discInformation(out), cdb.getUint16(7));
      case Packet.GET_CONFIGURATION:
        return this.reply(
          reply.configuration(out, {
            requestType: cdb.getUint8(1) & 3,
            start: cdb.getUint16(2),
            sectors: this.#sectors,
          }),
          cdb.getUint16(7),
        );
      case Packet.READ_TOC:
        return this.#readToc(cdb);
      case Packet.READ_SUB_CHANNEL: {
        const q = (cdb.getUint8(2) & 0x40) !== 0;
        const length = reply.subChannel(out, { q, format: cdb.getUint8(3) });
        return this.reply(length, cdb.getUint16(7));
      }
      case Packet.GET_EVENT_STATUS_NOTIFICATION:
        return this.#eventStatus(cdb);
      default:
        return this.bad(SENSE.invalidCommand);
    }
    this.bad(SENSE.invalidField);
  }

  #requestSense(allocation: number): void {
    const state = this.#state;
    if (this.sense.key === 0 && state.attention) {
      state.attention = false;
      this.sense = SENSE.mediumChanged;
    }
    const length = reply.senseData(this.port.buffer, this.sense);
    this.sense = SENSE.none;
    this.reply(length, allocation);
  }

  #startStop(operation: number): void {
    const state = this.#state;
    const load = operation & 3;
    // Power conditions, and stopping or starting the motor, change nothing that a host can see.
    if (operation >> 4 !== 0 || (load & 2) === 0) return this.good();
    if (load === 3) {
      if (state.trayOpen) {
        state.trayOpen = false;
        this.#mediumMoved();
      }
    } else if (state.locked) {
      return this.bad(SENSE.removalPrevented);
    } else {
      this.#openTray();
    }
    this.good();
  }

  #readToc(cdb: DataView): void {
    // SFF-8020i has the format in the last byte's upper bits, MMC in byte 2.
    const format = (cdb.getUint8(2) & 0x0f) || cdb.getUint8(9) >> 6;
    const length = reply.toc(this.port.buffer, {
      format,
      msf: (cdb.getUint8(1) & 2) !== 0,
      start: cdb.getUint8(6),
      sectors: this.#sectors,
    });
    this.reply(length, cdb.getUint16(7));
  }

  #modeSense(cdb: DataView, six: boolean): void {
    const control = cdb.getUint8(2) >> 6;
    if (control === 3) return this.bad(SENSE.savingNotSupported);
    const { trayOpen, locked } = this.#state;
    const length = reply.modeSense(this.port.buffer, {
      page: cdb.getUint8(2) & 0x3f,
      changeable: control === 1,
      six,
      present: this.#present,
      trayOpen,
      locked,
    });
    this.reply(length, six ? cdb.getUint8(4) : cdb.getUint16(7));
  }

  #eventStatus(cdb: DataView): void {
    // Only polled: nothing here waits for an event to come.
    if ((cdb.getUint8(1) & 1) === 0) return this.bad(SENSE.invalidField);
    const state = this.#state;
    const wanted = cdb.getUint8(4);
    const length = reply.eventStatus(this.port.buffer, {
      wanted,
      event: state.mediaEvent,
      present: this.#present,
      trayOpen: state.trayOpen,
    });
    if (length > 4) state.mediaEvent = reply.MediaEvent.none;
    this.reply(length, cdb.getUint16(7));
  }

  #readCd(cdb: DataView, lba: number, count: number): void {
    const type = (cdb.getUint8(1) >> 2) & 7;
    const fields = cdb.getUint8(9);
    // Any type or mode 1; all other tracks are not on this disc.
    if (type > 2 || type === 1) return this.bad(SENSE.wrongTrackMode);
    if (fields === 0x00) return this.good();
    const supported = (fields === 0x10 || fields === 0xf8) && (cdb.getUint8(10) & 7) === 0;
    if (!supported) return this.bad(SENSE.invalidField);
    this.#read(lba, count, { raw: fields === 0xf8 });
  }

  #read(lba: number, count: number, { raw = false } = {}): void {
    if (count === 0) return this.good();
    if (lba < 0 || count < 0 || lba + count > this.#sectors) {
      return this.bad(SENSE.addressOutOfRange);
    }
    const state = this.#state;
    state.lba = lba;
    state.remaining = count;
    state.raw = raw;
    // Whole sectors a block where the host's limit lets them: some drivers know no others.
    const sectorBytes = raw ? RAW_SECTOR_BYTES : SECTOR_BYTES;
    const limit = this.blockLimit;
    const blockBytes = limit >= sectorBytes ? limit - (limit % sectorBytes) : limit;
    if (!this.beginData(blockBytes)) return;
    this.#readChunk();
  }

  #readChunk(): void {
    const state = this.#state;
    const sectorBytes = state.raw ? RAW_SECTOR_BYTES : SECTOR_BYTES;
    const most = Math.floor(BLOCK_BUFFER_BYTES / sectorBytes);
    state.chunkSectors = Math.min(state.remaining, most);
    const length = state.chunkSectors * SECTOR_BYTES;
    this.startMedium(BlockOp.read, state.lba * SECTOR_BYTES, length);
  }

  /** Spreads the chunk's data out into raw sectors, from the last to the first. */
  #makeRaw(): void {
    const { buffer } = this.port;
    const { lba, chunkSectors } = this.#state;
    const bcd = (n: number) => (Math.floor(n / 10) << 4) | (n % 10);
    for (let i = chunkSectors - 1; i >= 0; i--) {
      const at = i * RAW_SECTOR_BYTES;
      buffer.copyWithin(at + RAW_DATA_OFFSET, i * SECTOR_BYTES, (i + 1) * SECTOR_BYTES);
      buffer.fill(0, at + RAW_DATA_OFFSET + SECTOR_BYTES, at + RAW_SECTOR_BYTES);
      buffer.fill(0xff, at, at + 12);
      buffer[at] = buffer[at + 11] = 0;
      buffer.set([...lbaToMsf(lba + i).map(bcd), 1], at + 12);
    }
  }
}
