/**
 * The PACKET feature set: how a drive takes a command of twelve bytes, moves the data of its answer
 * and says how it ended. What the commands are is its subclass's affair.
 *
 * ATA/ATAPI-6 (T13 1410D), 8.23 and 9.8 to 9.10. Left out: overlap, data from the host, and the
 * interrupt before the packet that the first drives raised.
 */

import type { BlockPort } from "../../../hv/core/media/block.ts";
import { bytes, flag, nested, record, u16, u8 } from "../../../hv/core/state/record.ts";
import { Command, Feature } from "../ata_commands.ts";
import { chooseMode, type DriveIdentity, writeIdentify } from "../ata_identify.ts";
import { SENSE, type Sense } from "./commands.ts";
import { IdeDrive, IdeDriveState } from "../ide_drive.ts";
import { DeviceBit, InterruptReason, setSignature } from "../ide_registers.ts";

const PACKET_BYTES = 12;
const IDENTIFY_BYTES = 512;
/** READ SECTORS of a disk: like IDENTIFY DEVICE, aborted with the signature of what is here. */
const READ_SECTORS = 0x20;
/** Features register of PACKET: data by DMA, and overlap. */
const PACKET_DMA = 0x01;
const PACKET_OVERLAP = 0x02;

/** What moves through the buffer. */
const Task = { none: 0, packet: 1, data: 2, identify: 3 } as const;

/** Shared by all threads. */
export const AtapiDriveState = record("atapi.drive", 1, {
  drive: nested(IdeDriveState),
  /** One of `Task`. */
  task: u8,
  packet: bytes(PACKET_BYTES),
  packetDma: flag,
  /** Most bytes a DRQ block, as the host said. */
  byteLimit: u16,
  senseKey: u8,
  senseCode: u8,
  senseQualifier: u8,
  multiwordMode: u8,
  ultraMode: u8,
  power: u8,
});
/** A view of `AtapiDriveState`. */
export type AtapiDriveState = InstanceType<typeof AtapiDriveState>;

/** See above. */
export abstract class AtapiDrive extends IdeDrive {
  override readonly takesDeviceReset = true;
  protected override readonly signature = [0x14, 0xeb] as const;
  // DRDY stays clear until the first command (9.12): drivers tell a PACKET device by that.
  protected override readonly statusAfterReset: number = 0;
  protected readonly identity: DriveIdentity;
  readonly #state: AtapiDriveState;

  constructor(state: AtapiDriveState, port: BlockPort, identity: DriveIdentity) {
    super(state.drive, port);
    this.#state = state;
    this.identity = identity;
  }

  /** Carries out the command in `packet`: ends in `good`, `bad`, `reply` or `beginData`. */
  protected abstract perform(packet: DataView): void;
  /** The data of `beginData`, as far as `moveChunk` was given them, have been moved. */
  protected abstract dataMoved(): void;

  protected override powerOn(): void {
    const state = this.#state;
    state.multiwordMode = state.ultraMode = 0;
    state.power = 0xff;
  }

  protected override commandLost(): void {
    const state = this.#state;
    state.task = Task.none;
    state.packet.fill(0);
    state.packetDma = false;
    state.byteLimit = 0;
    this.sense = SENSE.none;
  }

  /** What REQUEST SENSE tells. */
  protected get sense(): Sense {
    const { senseKey, senseCode, senseQualifier } = this.#state;
    return { key: senseKey, asc: senseCode, ascq: senseQualifier };
  }

  protected set sense({ key, asc, ascq }: Sense) {
    this.#state.senseKey = key;
    this.#state.senseCode = asc;
    this.#state.senseQualifier = ascq;
  }

  override execute(opcode: number): void {
    const { registers } = this;
    const state = this.#state;
    switch (opcode) {
      case Command.PACKET:
        return this.#takePacket();
      case Command.DEVICE_RESET:
        return this.deviceReset();
      case Command.IDENTIFY_PACKET_DEVICE:
        this.#writeIdentify();
        state.task = Task.identify;
        this.beginTransfer({ dma: false, toHost: true, blockBytes: IDENTIFY_BYTES });
        return this.moveChunk(IDENTIFY_BYTES, { interrupt: true });
      case Command.IDENTIFY_DEVICE:
      case READ_SECTORS:
        setSignature(registers, ...this.signature);
        return this.abort();
      case Command.SET_FEATURES:
        return this.#setFeatures();
      case Command.STANDBY_IMMEDIATE:
      case Command.SLEEP:
        state.power = 0;
        return this.complete();
      case Command.IDLE_IMMEDIATE:
        state.power = 0xff;
        return this.complete();
      case Command.CHECK_POWER_MODE:
        registers.count = state.power;
        return this.complete();
      default:
        return this.abort();
    }
  }

  #takePacket(): void {
    const { features, lbaMid, lbaHigh } = this.registers;
    if ((features & PACKET_OVERLAP) !== 0) return this.abort();
    const state = this.#state;
    state.packetDma = (features & PACKET_DMA) !== 0;
    state.byteLimit = lbaMid | (lbaHigh << 8);
    state.task = Task.packet;
    state.power = 0xff;
    this.beginTransfer({ dma: false, toHost: false, blockBytes: PACKET_BYTES });
    this.moveChunk(PACKET_BYTES, { interrupt: false });
  }

  protected override blockStarts(length: number): void {
    const { registers } = this;
    const { task } = this.#state;
    if (task === Task.packet) {
      registers.count = InterruptReason.CD;
    } else if (task !== Task.identify) {
      registers.count = InterruptReason.IO;
      registers.lbaMid = length;
      registers.lbaHigh = length >> 8;
    }
  }

  protected override chunkMoved(): void {
    const state = this.#state;
    if (state.task === Task.packet) {
      state.packet.set(this.port.buffer.subarray(0, PACKET_BYTES));
      this.perform(new DataView(state.packet.slice().buffer));
    } else if (state.task === Task.data) {
      this.dataMoved();
    } else {
      this.complete({ interrupt: false });
    }
  }

  /** The command in the packet is done. */
  protected good(): void {
    this.#state.task = Task.none;
    this.registers.count = InterruptReason.CD | InterruptReason.IO;
    this.complete();
  }

  /** CHECK CONDITION: the sense data say why. */
  protected bad(sense: Sense): void {
    this.#state.task = Task.none;
    this.sense = sense;
    this.registers.count = InterruptReason.CD | InterruptReason.IO;
    this.fail(sense.key << 4);
  }

  /** Sends the first `length` bytes of the buffer, or as many as the host has room for. */
  protected reply(length: number | undefined, allocation: number): void {
    if (length === undefined) return this.bad(SENSE.invalidField);
    const sent = Math.min(length, allocation);
    if (sent === 0) return this.good();
    if (this.beginData(this.blockLimit)) this.moveChunk(sent, { interrupt: true });
  }

  /** Even, and FFFFh means FFFEh (8.23.4). */
  protected get blockLimit(): number {
    return this.#state.byteLimit === 1 ? 2 : this.#state.byteLimit & 0xfffe;
  }

  /** Starts the data phase; false if the host allows no bytes a block, which aborts the command. */
  protected beginData(blockBytes: number): boolean {
    const { packetDma } = this.#state;
    if (!packetDma && blockBytes === 0) {
      this.#state.task = Task.none;
      this.abort();
      return false;
    }
    this.#state.task = Task.data;
    this.beginTransfer({ dma: packetDma, toHost: true, blockBytes });
    return true;
  }

  #setFeatures(): void {
    const state = this.#state;
    const { features, count } = this.registers;
    const keeps = features === Feature.keepOnReset || features === Feature.revertOnReset;
    if (features !== Feature.setTransferMode) return keeps ? this.complete() : this.abort();
    const now = { multiword: state.multiwordMode, ultra: state.ultraMode };
    const mode = chooseMode(count, now);
    if (mode === undefined) return this.abort();
    state.multiwordMode = mode.multiword;
    state.ultraMode = mode.ultra;
    this.complete();
  }

  #writeIdentify(): void {
    const state = this.#state;
    writeIdentify(this.port.buffer, {
      identity: this.identity,
      dma: { multiword: state.multiwordMode, ultra: state.ultraMode },
      isDevice1: (this.registers.device & DeviceBit.DEV) !== 0,
      words: {
        0: 0x85c0, // PACKET, CD-ROM, removable, DRQ within 50 µs, packets of 12 bytes
        49: 0x0f00, // IORDY, LBA, DMA
        71: 30, // ns until the bus is free after PACKET and SERVICE
        72: 30,
        82: 0x0218, // DEVICE RESET, PACKET, power management
        83: 0x4000,
        84: 0x4000,
        85: 0x0218,
        87: 0x4000,
      },
    });
  }
}
