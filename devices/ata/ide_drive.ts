/**
 * What a disk and a CD-ROM drive on an IDE channel have in common: registers, the data register over
 * the port's buffer, the DMA data phase, resets and the interrupt. A drive is in one of these phases:
 *
 * - idle: a command may come;
 * - pio: DRQ, the host moves a chunk of the buffer through the data register, block by block;
 * - dma: a chunk of the buffer waits for the bus master;
 * - medium: BSY, a request is with the thread that holds the medium;
 * - reset: BSY, until SRST is released and a request that was under way has ended.
 */

import { type BlockOp, type BlockPort, BlockResult } from "../../hv/core/media/block.ts";
import { flag, nested, record, u32, u8 } from "../../hv/core/state/record.ts";
import {
  DIAGNOSTIC_PASSED,
  ErrorBit,
  IdeRegisters,
  READY,
  setSignature,
  Status,
} from "./ide_registers.ts";

const Phase = { idle: 0, pio: 1, dma: 2, medium: 3, reset: 4 } as const;

/** Shared by both kinds of drive. */
export const IdeDriveState = record("ide.drive", 1, {
  registers: nested(IdeRegisters),
  /** One of `Phase`. */
  phase: u8,
  /** The channel's SRST is set. */
  srst: flag,
  /** The command under way moves its data by DMA. */
  dma: flag,
  /** Data go from the drive to the host. */
  toHost: flag,
  /** Next byte of the buffer to be moved, end of the DRQ block, end of the chunk. */
  position: u32,
  blockEnd: u32,
  chunkEnd: u32,
  /** Longest DRQ block of the command, bytes. */
  blockBytes: u32,
});
/** A view of `IdeDriveState`. */
export type IdeDriveState = InstanceType<typeof IdeDriveState>;

/** See above. The channel's lock guards it. */
export abstract class IdeDrive {
  /** Called when `registers.interrupt` has changed; the channel sets it. */
  onInterrupt: () => void = () => {};
  /** Called when a chunk waits for the bus master; the channel sets it. */
  onDma: () => void = () => {};
  readonly registers: IdeRegisters;
  protected readonly port: BlockPort;
  readonly #drive: IdeDriveState;
  readonly #data: DataView;

  constructor(drive: IdeDriveState, port: BlockPort) {
    this.#drive = drive;
    this.registers = drive.registers;
    this.port = port;
    this.#data = new DataView(port.buffer.buffer, port.buffer.byteOffset, port.buffer.length);
    port.onDone = (result) => this.#mediumDone(result);
  }

  /** LBA Mid and High after a reset. */
  protected abstract readonly signature: readonly [mid: number, high: number];
  /** Carries out a command; called while the drive is idle. */
  abstract execute(opcode: number): void;
  /** May the host break a command under way off with DEVICE RESET? */
  abstract readonly takesDeviceReset: boolean;
  /** Everything of the drive's own to its power-on state. */
  protected abstract powerOn(): void;
  /** SRST or DEVICE RESET: what of the drive's own does not outlive it. */
  protected abstract commandLost(): void;
  /** The chunk given to `sendChunk` or `takeChunk` has been moved. */
  protected abstract chunkMoved(): void;
  /** A request of `startMedium` has ended. */
  protected abstract mediumDone(result: BlockResult): void;
  /** A DRQ block of `length` bytes begins. */
  protected blockStarts(_length: number): void {}
  /** Status after a reset. */
  protected abstract readonly statusAfterReset: number;

  /** Power-on. */
  reset(): void {
    const { registers } = this;
    registers.features = registers.hobFeatures = 0;
    registers.device = 0;
    const drive = this.#drive;
    drive.dma = drive.toHost = drive.srst = false;
    drive.blockBytes = 0;
    this.powerOn();
    this.#startReset();
    this.#endReset();
  }

  /** The channel's SRST bit was set or cleared (9.2, software reset). */
  softReset(level: boolean): void {
    this.#drive.srst = level;
    if (level) this.#startReset();
    else this.#endReset();
  }

  /** DEVICE RESET (8.10): like SRST, for this drive alone. */
  protected deviceReset(): void {
    const selected = this.registers.device;
    this.#startReset();
    this.registers.device = selected;
    this.#endReset();
  }

  /** EXECUTE DEVICE DIAGNOSTIC (8.11): passed. */
  diagnose(): void {
    this.#showSignature();
  }

  /** Reads the data register; `size` 1, 2 or 4. */
  readData(size: number): number {
    const drive = this.#drive;
    if (drive.phase !== Phase.pio || !drive.toHost) return 0;
    const { position } = drive;
    const left = drive.blockEnd - position;
    let value = 0;
    if (left >= size) {
      value = size === 2
        ? this.#data.getUint16(position, true)
        : size === 4
        ? this.#data.getUint32(position, true)
        : this.#data.getUint8(position);
      drive.position = position + size;
    } else {
      // The last word of an odd block, or half of a double word.
      for (let i = 0; i < left; i++) value += this.#data.getUint8(position + i) * 2 ** (i * 8);
      drive.position = drive.blockEnd;
    }
    if (left <= size) this.#blockMoved();
    return value;
  }

  /** Writes the data register; `size` 1, 2 or 4. */
  writeData(size: number, value: number): void {
    const drive = this.#drive;
    if (drive.phase !== Phase.pio || drive.toHost) return;
    const { position } = drive;
    const left = drive.blockEnd - position;
    if (size === 2 && left >= 2) {
      this.#data.setUint16(position, value, true);
    } else {
      for (let i = 0; i < size && i < left; i++) {
        this.#data.setUint8(position + i, value >>> (i * 8));
      }
    }
    drive.position = position + Math.min(size, left);
    if (left <= size) this.#blockMoved();
  }

  /** What the bus master is to move next, or undefined when nothing waits for it. */
  get dmaWindow(): Uint8Array | undefined {
    const { phase, position, chunkEnd } = this.#drive;
    return phase === Phase.dma ? this.port.buffer.subarray(position, chunkEnd) : undefined;
  }

  /** Is `dmaWindow` to be written to memory? Otherwise it is to be filled from memory. */
  get dmaToHost(): boolean {
    return this.#drive.toHost;
  }

  /** The bus master has moved the first `length` bytes of `dmaWindow`. */
  dmaMoved(length: number): void {
    const drive = this.#drive;
    drive.position += length;
    if (drive.position >= drive.chunkEnd) this.#chunkMoved();
  }

  /** The bus master cannot go on (no memory at an address): the command ends in error. */
  dmaFailed(): void {
    if (this.#drive.phase === Phase.dma) this.abort();
  }

  /** How the data of the command under way move. */
  protected beginTransfer(
    { dma, toHost, blockBytes }: { dma: boolean; toHost: boolean; blockBytes: number },
  ): void {
    this.#drive.dma = dma;
    this.#drive.toHost = toHost;
    this.#drive.blockBytes = blockBytes;
  }

  /** Does the command under way move its data by DMA? */
  protected get usesDma(): boolean {
    return this.#drive.dma;
  }

  /** Do the data of the command under way go to the host? */
  protected get toHost(): boolean {
    return this.#drive.toHost;
  }

  /** Offers the first `length` bytes of the buffer to the host, or asks for them. */
  protected moveChunk(length: number, { interrupt }: { interrupt: boolean }): void {
    const drive = this.#drive;
    drive.position = 0;
    drive.chunkEnd = length;
    if (drive.dma) {
      drive.phase = Phase.dma;
      this.registers.status = READY | Status.DRQ;
      this.onDma();
    } else {
      this.#nextBlock(interrupt);
    }
  }

  /** Posts a request to the medium; BSY until `mediumDone`. */
  protected startMedium(op: BlockOp, offset: number, length: number): void {
    // The port is this drive's alone; were it shared by mistake, a request must not be overwritten.
    if (this.port.busy) return this.abort();
    this.#drive.phase = Phase.medium;
    this.registers.status = Status.BSY | READY;
    this.port.start(op, offset, length);
  }

  /** The command has ended well. */
  protected complete({ interrupt = true }: { interrupt?: boolean } = {}): void {
    this.#end(READY, 0, interrupt);
  }

  /** The command has ended with the Error register `error`. */
  protected fail(error: number): void {
    this.#end(READY | Status.ERR, error, true);
  }

  /** The command is unknown, or cannot be carried out. */
  protected abort(): void {
    this.fail(ErrorBit.ABRT);
  }

  #end(status: number, error: number, interrupt: boolean): void {
    this.#drive.phase = Phase.idle;
    this.registers.status = status;
    this.registers.error = error;
    if (interrupt) this.#interrupt();
  }

  #interrupt(): void {
    this.registers.interrupt = true;
    this.onInterrupt();
  }

  #nextBlock(interrupt: boolean): void {
    const drive = this.#drive;
    const length = Math.min(drive.blockBytes, drive.chunkEnd - drive.position);
    drive.blockEnd = drive.position + length;
    drive.phase = Phase.pio;
    this.registers.status = READY | Status.DRQ;
    this.blockStarts(length);
    if (interrupt) this.#interrupt();
  }

  #blockMoved(): void {
    if (this.#drive.position < this.#drive.chunkEnd) this.#nextBlock(true);
    else this.#chunkMoved();
  }

  #chunkMoved(): void {
    // Whatever follows, the data register is shut until it says otherwise.
    this.#drive.phase = Phase.idle;
    this.registers.status = READY;
    this.chunkMoved();
  }

  #mediumDone(result: BlockResult): void {
    const drive = this.#drive;
    if (drive.phase === Phase.reset) this.#endReset();
    else if (drive.phase === Phase.medium) this.mediumDone(result);
  }

  #startReset(): void {
    const drive = this.#drive;
    drive.phase = Phase.reset;
    drive.position = drive.blockEnd = drive.chunkEnd = 0;
    this.commandLost();
    this.registers.status = Status.BSY;
    this.registers.interrupt = false;
    this.onInterrupt();
  }

  #endReset(): void {
    // A request cannot be taken back: the drive stays busy until it has ended.
    if (this.#drive.srst || this.port.busy) return;
    this.#drive.phase = Phase.idle;
    this.#showSignature();
  }

  #showSignature(): void {
    setSignature(this.registers, ...this.signature);
    this.registers.error = DIAGNOSTIC_PASSED;
    this.registers.status = this.statusAfterReset;
  }
}
