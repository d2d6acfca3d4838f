/**
 * 82077AA, execution phase of the commands that look at the medium: READ DATA, READ DELETED DATA, READ
 * TRACK, WRITE DATA, WRITE DELETED DATA, FORMAT TRACK, VERIFY (data sheet 5.1) and READ ID (5.2.1).
 *
 * Sectors pass in runs: as many as follow each other on one side of the cylinder go in one request to
 * the medium, through the port's buffer; between buffer and host they pass by DMA or, in non-DMA mode,
 * through the FIFO. A DMA channel that is not ready is asked again for half a second, then it is an
 * overrun; so nothing that a guest programs keeps the controller busy for ever.
 *
 * The file is long because its commands are steps of one run, which they begin, pass and end together.
 *
 * The images hold sectors only: an ID field is what the place on the medium says (N = 2), data marks
 * are never deleted ones, and the recording is MFM.
 */

import { BlockOp, type BlockPort, BlockResult } from "../../hv/core/media/block.ts";
import {
  type DataRate,
  driveTracks,
  FLOPPY_SECTOR_BYTES,
  type FloppyDriveType,
  type FloppyFormat,
  floppyFormat,
} from "../../hv/core/media/floppy_formats.ts";
import type { DmaChannel } from "../system/i8237.ts";
import * as fdc from "./state.ts";
import { Command, End, type I82077State, Stage } from "./state.ts";

/** A drive: what it takes, and the medium in it. */
export interface FloppyDrive {
  readonly type: FloppyDriveType;
  readonly port: BlockPort;
}

/** What the execution phase asks of the chip around it; all under the device's lock. */
export interface ExecutionHost {
  readonly state: I82077State;
  readonly drives: readonly (FloppyDrive | undefined)[];
  readonly dma: DmaChannel;
  /** Calls `pump` a little later. */
  retry(): void;
  /** The FIFO wants the processor (non-DMA mode): raises or drops the interrupt. */
  fifoRequest(level: boolean): void;
  /** Begins the result phase with these bytes; `soon`: after the access that is under way. */
  finish(result: readonly number[], soon: boolean): void;
}

/** Times that a DMA channel is found not ready before it is an overrun. */
const MAX_STALLS = 500;
const SECTOR_SIZE_CODE = 2;
const OPCODE = 0x1f;

/** Where a sector is looked for; or what is wrong. */
type Place =
  | { readonly port: BlockPort; readonly format: FloppyFormat; readonly cylinder: number }
  | undefined;

/** See above. */
export class Execution {
  readonly #host: ExecutionHost;

  constructor(host: ExecutionHost) {
    this.#host = host;
  }

  /** Begins the command in `state.command`, whose bytes are complete. */
  start(): void {
    const { state } = this.#host;
    const { command } = state;
    state.head = (command[1] >> 2) & 1;
    state.st1 = 0;
    state.st2 = 0;
    state.end = End.none;
    state.stalls = 0;
    state.single = false;
    state.position = 0;
    state.runBytes = 0;
    state.runSectors = 0;
    state.sectorsLeft = 0xffff;
    switch (this.#opcode) {
      case Command.readId:
        return this.#readId();
      case Command.formatTrack:
        return this.#startFormat();
    }
    state.cylinder = command[2];
    state.idHead = command[3];
    state.sector = command[4];
    state.lastEot = command[6];
    if (this.#opcode === Command.readTrack) {
      // Sectors are taken as they come, from the index on (5.1.3).
      const place = this.#place();
      const found = command[2] === place?.cylinder && command[3] === state.head && command[4] === 1;
      if (!found) state.st1 |= fdc.ST1_NO_DATA;
      state.sector = 1;
      state.sectorsLeft = command[6];
    } else if (this.#opcode === Command.verify && (command[1] & fdc.VERIFY_ENABLE_COUNT)) {
      state.sectorsLeft = command[8];
    } else if (this.#opcode === Command.readDeletedData) {
      // Table 5-7: no sector has the mark that is sought.
      state.st2 |= fdc.ST2_CONTROL_MARK;
      if (command[0] & fdc.COMMAND_SKIP) state.sectorsLeft = 0;
    }
    const error = this.#check();
    if (error !== 0) return this.#fail(error, true);
    if (state.sectorsLeft === 0) return this.#finish(0, true);
    this.#nextRun();
  }

  /** The medium of drive `drive` has ended a request. */
  mediumDone(drive: number, result: BlockResult): void {
    const { state } = this.#host;
    if (drive !== this.#drive) return;
    if (state.stage === Stage.oldRequest) {
      return this.#opcode === Command.formatTrack ? this.#nextId() : this.#nextRun();
    }
    if (state.stage !== Stage.medium) return;
    switch (result) {
      case BlockResult.ok:
        break;
      case BlockResult.readOnly:
        return this.#fail(fdc.ST1_NOT_WRITABLE);
      case BlockResult.noMedium:
        return this.#fail(fdc.ST1_MISSING_ADDRESS_MARK);
      case BlockResult.outOfRange:
        return this.#fail(fdc.ST1_NO_DATA);
      default:
        if (this.#reads && state.runSectors > 1) {
          state.single = true;
          return this.#nextRun();
        }
        state.st2 |= fdc.ST2_DATA_ERROR;
        return this.#fail(fdc.ST1_DATA_ERROR);
    }
    if (!this.#reads) return this.#runDone();
    if (this.#opcode === Command.verify) {
      state.position = state.runBytes;
      return this.#runDone();
    }
    this.#exchange();
  }

  /** Goes on where the DMA controller was not ready. */
  pump(): void {
    if (this.#host.state.stage === Stage.dma) this.#transferByDma();
  }

  /** Does the FIFO have a byte for the processor, or want one? */
  get fifoReady(): boolean {
    return this.#host.state.stage === Stage.fifo;
  }

  /** Does data pass from the medium to the host? */
  get toHost(): boolean {
    return this.#reads;
  }

  /** The processor reads the FIFO in the execution phase. */
  readFifo(): number {
    const { state } = this.#host;
    if (!this.fifoReady || !this.#reads) return 0;
    const byte = this.#buffer()?.[state.position++] ?? 0;
    if (state.position >= state.runBytes) this.#fifoRunDone();
    return byte;
  }

  /** The processor writes the FIFO in the execution phase. */
  writeFifo(value: number): void {
    const { state } = this.#host;
    if (!this.fifoReady || this.#reads) return;
    const buffer = this.#buffer();
    if (buffer !== undefined) buffer[state.position] = value;
    state.position++;
    if (state.position >= state.runBytes) this.#fifoRunDone();
  }

  #fifoRunDone(): void {
    this.#host.fifoRequest(false);
    if (this.#reads) this.#runDone();
    else this.#store();
  }

  get #opcode(): number {
    return this.#host.state.command[0] & OPCODE;
  }

  get #drive(): number {
    return this.#host.state.command[1] & 3;
  }

  get #reads(): boolean {
    const opcode = this.#opcode;
    return opcode !== Command.writeData && opcode !== Command.writeDeletedData &&
      opcode !== Command.formatTrack;
  }

  get #usesFifo(): boolean {
    return (this.#host.state.specify[1] & 1) !== 0;
  }

  /** What passes between controller and host: sectors, or the ID fields of FORMAT. */
  #buffer(): Uint8Array | undefined {
    return this.#opcode === Command.formatTrack
      ? this.#host.state.id
      : this.#host.drives[this.#drive]?.port.buffer;
  }

  /** The track under the head, if it can be read at all at this rate and density. */
  #place(): Place {
    const { state, drives } = this.#host;
    const drive = drives[this.#drive];
    if (drive === undefined || !drive.port.present) return undefined;
    const { port } = drive;
    const format = floppyFormat(port.sizeBytes);
    if ((state.command[0] & fdc.COMMAND_MFM) === 0) return undefined;
    if (!format.rates.includes((state.dsr & 3) as DataRate) || state.head >= format.heads) {
      return undefined;
    }
    // In a drive with twice the tracks, each cylinder of the diskette lies under two of them.
    const wide = format.cylinders <= 42 && driveTracks(drive.type) > 42;
    const cylinder = state.track[this.#drive] >> (wide ? 1 : 0);
    return cylinder < format.cylinders ? { port, format, cylinder } : undefined;
  }

  /** ST1 for the next sector: 0 when it is there. */
  #check(): number {
    const { state } = this.#host;
    const place = this.#place();
    if (place === undefined) return fdc.ST1_MISSING_ADDRESS_MARK;
    if (!this.#reads && place.port.readOnly) return fdc.ST1_NOT_WRITABLE;
    if (this.#opcode !== Command.readTrack) {
      if (state.cylinder !== place.cylinder) {
        state.st2 |= fdc.ST2_WRONG_CYLINDER;
        return fdc.ST1_NO_DATA;
      }
      if (state.idHead !== state.head) return fdc.ST1_NO_DATA;
    }
    const size = this.#opcode === Command.formatTrack ? state.id[3] : state.command[5];
    const exists = state.sector >= 1 && state.sector <= place.format.sectors &&
      size === SECTOR_SIZE_CODE;
    return exists ? 0 : fdc.ST1_NO_DATA;
  }

  /** Takes up the next sectors, as many as one request can. */
  #nextRun(): void {
    const { state, dma } = this.#host;
    const error = this.#check();
    if (error !== 0) return this.#fail(error);
    const { port, format } = this.#place()!;
    if (port.busy) {
      state.stage = Stage.oldRequest;
      return;
    }
    const last = state.sector <= state.lastEot
      ? Math.min(state.lastEot, format.sectors)
      : format.sectors;
    let sectors = Math.min(last - state.sector + 1, state.sectorsLeft);
    if (this.#opcode === Command.readDeletedData || state.single) sectors = 1;
    if (this.#usesFifo && !this.#reads) sectors = 1;
    const wanted = this.#usesFifo || this.#opcode === Command.verify ? 0 : dma.remaining();
    if (wanted > 0) sectors = Math.min(sectors, Math.ceil(wanted / FLOPPY_SECTOR_BYTES));
    state.runSectors = sectors;
    state.runBytes = sectors * FLOPPY_SECTOR_BYTES;
    state.position = 0;
    if (!this.#reads) return this.#exchange();
    const offset = this.#offset();
    // Of an image shorter than its format, what is missing reads as zeros.
    const length = Math.max(0, Math.min(state.runBytes, port.sizeBytes - offset));
    port.buffer.fill(0, length, state.runBytes);
    state.stage = Stage.medium;
    port.start(BlockOp.read, length === 0 ? 0 : offset, length);
  }

  /** Byte offset of the next sector on the medium. */
  #offset(): number {
    const { state } = this.#host;
    const { format, cylinder } = this.#place()!;
    const { heads, sectors } = format;
    return ((cylinder * heads + state.head) * sectors + state.sector - 1) * FLOPPY_SECTOR_BYTES;
  }

  /** Passes the run between buffer and host. */
  #exchange(): void {
    if (!this.#usesFifo) return this.#transferByDma();
    this.#host.state.stage = Stage.fifo;
    this.#host.fifoRequest(true);
  }

  #transferByDma(): void {
    const { state, dma } = this.#host;
    const part = this.#buffer()?.subarray(state.position, state.runBytes) ?? new Uint8Array(0);
    dma.request(true);
    const { done, terminalCount } = this.#reads ? dma.toMemory(part) : dma.fromMemory(part);
    dma.request(false);
    state.position += done;
    if (terminalCount) state.end = End.terminalCount;
    const complete = state.position >= state.runBytes || terminalCount;
    if (!complete) {
      state.stalls = done > 0 ? 0 : state.stalls + 1;
      if (state.stalls <= MAX_STALLS) {
        state.stage = Stage.dma;
        dma.request(true);
        return this.#host.retry();
      }
      state.end = End.overrun;
    }
    state.stalls = 0;
    if (this.#reads) this.#runDone();
    else this.#store();
  }

  /** Writes what the host has given. */
  #store(): void {
    const { state } = this.#host;
    if (this.#opcode === Command.formatTrack) return this.#formatSector();
    // A sector cut off by TC is filled with zeros (5.1.4); one cut off by an overrun is lost.
    const whole = state.end === End.overrun
      ? Math.floor(state.position / FLOPPY_SECTOR_BYTES)
      : Math.ceil(state.position / FLOPPY_SECTOR_BYTES);
    if (whole === 0) return this.#runDone();
    const error = this.#check();
    if (error !== 0) return this.#fail(error);
    const { port } = this.#place()!;
    port.buffer.fill(
      0,
      Math.min(state.position, whole * FLOPPY_SECTOR_BYTES),
      whole * FLOPPY_SECTOR_BYTES,
    );
    this.#write(port, whole);
  }

  #write(port: BlockPort, sectors: number): void {
    const { state } = this.#host;
    const offset = this.#offset();
    const length = sectors * FLOPPY_SECTOR_BYTES;
    if (offset + length > port.sizeBytes) return this.#fail(fdc.ST1_NO_DATA);
    state.runSectors = sectors;
    state.stage = Stage.medium;
    port.start(BlockOp.write, offset, length);
  }

  /** A run is over: goes on, or ends the command. */
  #runDone(): void {
    const { state } = this.#host;
    if (this.#opcode === Command.formatTrack) return this.#formatted();
    if (state.end === End.overrun) return this.#fail(fdc.ST1_OVERRUN);
    if (this.#opcode === Command.readDeletedData) return this.#finish(0);
    const used = state.end === End.terminalCount && this.#reads
      ? Math.ceil(state.position / FLOPPY_SECTOR_BYTES)
      : state.runSectors;
    if (state.sectorsLeft !== 0xffff) state.sectorsLeft -= Math.min(used, state.sectorsLeft);
    const endOfSide = this.#advance(used);
    if (state.end === End.terminalCount || state.sectorsLeft === 0) return this.#finish(0);
    if (endOfSide === "end of cylinder") {
      // VERIFY without a count ends where the cylinder does (5.1.6); others were to end by TC.
      if (this.#opcode === Command.verify) return this.#finish(0);
      return this.#fail(fdc.ST1_END_OF_CYLINDER);
    }
    this.#nextRun();
  }

  /** Steps `sectors` on, past EOT as table 5-6 tells. */
  #advance(sectors: number): "same side" | "other side" | "end of cylinder" {
    const { state } = this.#host;
    const last = state.sector + sectors - 1;
    state.sector = last + 1;
    if (last !== state.lastEot) return "same side";
    state.sector = 1;
    const wasHead = state.head;
    const multiTrack = (state.command[0] & fdc.COMMAND_MULTI_TRACK) !== 0 &&
      this.#opcode !== Command.readTrack;
    if (multiTrack) state.idHead ^= 1;
    if (multiTrack && wasHead === 0) {
      state.head = 1;
      return "other side";
    }
    state.cylinder++;
    return "end of cylinder";
  }

  #readId(): void {
    const { state } = this.#host;
    const place = this.#place();
    if (place === undefined) return this.#fail(fdc.ST1_MISSING_ADDRESS_MARK, true);
    state.cylinder = place.cylinder;
    state.idHead = state.head;
    state.sector = 1;
    this.#finish(0, true, SECTOR_SIZE_CODE);
  }

  #startFormat(): void {
    const { state } = this.#host;
    const { command } = state;
    state.lastEot = command[3];
    state.sectorsLeft = command[3];
    const place = this.#place();
    if (place === undefined) return this.#fail(fdc.ST1_MISSING_ADDRESS_MARK, true);
    if (place.port.readOnly) return this.#fail(fdc.ST1_NOT_WRITABLE, true);
    if (state.sectorsLeft === 0) return this.#finish(0, true);
    if (place.port.busy) {
      state.stage = Stage.oldRequest;
      return;
    }
    this.#nextId();
  }

  #nextId(): void {
    const { state } = this.#host;
    state.position = 0;
    state.runBytes = state.id.length;
    this.#exchange();
  }

  /** The ID of a sector has come: writes the sector, full of the data pattern (5.1.7). */
  #formatSector(): void {
    const { state } = this.#host;
    if (state.position < state.id.length) return this.#fail(fdc.ST1_OVERRUN);
    [state.cylinder, state.idHead, state.sector] = state.id;
    const error = this.#check();
    // A format that the image cannot hold.
    if (error !== 0) return this.#fail(error);
    const { port } = this.#place()!;
    port.buffer.fill(state.command[5], 0, FLOPPY_SECTOR_BYTES);
    this.#write(port, 1);
  }

  #formatted(): void {
    const { state } = this.#host;
    state.sectorsLeft--;
    if (state.sectorsLeft === 0 || state.end !== End.none) return this.#finish(0);
    this.#nextId();
  }

  #fail(st1: number, soon = false): void {
    this.#host.state.st1 |= st1;
    this.#finish(fdc.ST0_ABNORMAL, soon);
  }

  #finish(st0: number, soon = false, size = this.#host.state.command[5]): void {
    const { state } = this.#host;
    const { st1, st2, head, cylinder, idHead, sector } = state;
    const status = st0 | (head << 2) | this.#drive;
    const code = this.#opcode === Command.formatTrack ? state.command[2] : size;
    this.#host.finish([status, st1, st2, cylinder, idHead, sector, code], soon);
  }
}
