/**
 * 82077AA, control commands (data sheet 5.2 but for READ ID): those that set the controller up, ask it,
 * or move heads, and look at no medium.
 */

import { driveTracks } from "../../hv/core/media/floppy_formats.ts";
import type { FloppyDrive } from "./execution.ts";
import * as fdc from "./state.ts";
import { Command, type I82077State } from "./state.ts";

/** What VERSION answers (5.2.8). */
const ENHANCED_CONTROLLER = 0x90;
/** Steps that RECALIBRATE makes at most (5.2.2). */
const RECALIBRATE_STEPS = 79;

/** What these commands ask of the chip around them; all under the device's lock. */
export interface ControlHost {
  readonly state: I82077State;
  readonly drives: readonly (FloppyDrive | undefined)[];
  /** Has the heads in `state.seeking` arrive a little later. */
  readonly later: () => void;
  readonly setInterrupt: (level: boolean) => void;
  /** Begins the result phase, without an interrupt. */
  readonly answer: (result: readonly number[]) => void;
}

/** See above. */
export class ControlCommands {
  readonly #host: ControlHost;

  constructor(host: ControlHost) {
    this.#host = host;
  }

  /**
   * Carries out the command in `state.command`, whose bytes are complete.
   *
   * @returns Whether it is one of these.
   */
  execute(command: Command): boolean {
    const { state, answer } = this.#host;
    const [code, first, second, third] = state.command;
    const drive = first & 3;
    switch (command) {
      case Command.specify:
        state.specify[0] = first;
        state.specify[1] = second;
        return true;
      case Command.senseDriveStatus:
        answer([this.#driveStatus(first & 7)]);
        return true;
      case Command.senseInterruptStatus:
        this.#senseInterrupt();
        return true;
      case Command.recalibrate:
        this.#recalibrate(drive);
        return true;
      case Command.seek:
        this.#seek(drive, second, second - state.pcn[drive]);
        return true;
      case Command.relativeSeek: {
        const steps = code & 0x40 ? second : -second;
        this.#seek(drive, (state.pcn[drive] + steps) & 0xff, steps);
        return true;
      }
      case Command.configure:
        state.configuration = second & 0x7f;
        state.precompensationTrack = third;
        return true;
      case Command.version:
        answer([ENHANCED_CONTROLLER]);
        return true;
      case Command.dumpreg:
        answer([
          ...state.pcn,
          ...state.specify,
          state.lastEot,
          (state.locked ? 0x80 : 0) | state.perpendicular,
          state.configuration,
          state.precompensationTrack,
        ]);
        return true;
      case Command.perpendicularMode:
        // D3-D0 change only with OW set.
        state.perpendicular = first & fdc.PERPENDICULAR_OVERWRITE
          ? first & 0x3f
          : (state.perpendicular & fdc.PERPENDICULAR_DRIVES) | (first & 3);
        return true;
      case Command.lock:
        state.locked = (code & 0x80) !== 0;
        answer([state.locked ? 0x10 : 0]);
        return true;
      default:
        return false;
    }
  }

  /** 4.4.4. */
  #driveStatus(select: number): number {
    const { state, drives } = this.#host;
    const number = select & 3;
    const drive = drives[number];
    const atTrack0 = drive !== undefined && state.track[number] === 0;
    const writeProtected = drive !== undefined && drive.port.present && drive.port.readOnly;
    return fdc.ST3_ALWAYS | select | (atTrack0 ? fdc.ST3_TRACK_0 : 0) |
      (writeProtected ? fdc.ST3_WRITE_PROTECTED : 0);
  }

  /** 5.2.4: what the interrupt was for, one cause at a time. */
  #senseInterrupt(): void {
    const { state, answer, setInterrupt } = this.#host;
    let drive: number;
    let status: number;
    if (state.polls > 0) {
      drive = 4 - state.polls--;
      status = fdc.ST0_POLLING | drive;
    } else if (state.seekEnd !== 0) {
      drive = [0, 1, 2, 3].find((n) => state.seekEnd & (1 << n))!;
      status = state.seekStatus[drive];
      state.seekEnd &= ~(1 << drive);
    } else {
      return answer([fdc.ST0_INVALID]);
    }
    answer([status, state.pcn[drive]]);
    setInterrupt(false);
    if (state.seekEnd !== 0) setInterrupt(true);
  }

  /** 5.2.2: steps outwards until the drive says track 0, but not more than 79 times. */
  #recalibrate(drive: number): void {
    const { state, drives } = this.#host;
    this.step(drive, 0, -RECALIBRATE_STEPS);
    const found = drives[drive] !== undefined && state.track[drive] === 0;
    const status = found ? 0 : fdc.ST0_ABNORMAL | fdc.ST0_EQUIPMENT_CHECK;
    this.#moving(drive, status);
  }

  /** 5.2.3, 5.2.9. */
  #seek(drive: number, newCylinder: number, steps: number): void {
    this.step(drive, newCylinder, steps);
    this.#moving(drive, 0);
  }

  #moving(drive: number, status: number): void {
    const { state, later } = this.#host;
    state.seekStatus[drive] = status | fdc.ST0_SEEK_END | drive;
    state.seekEnd &= ~(1 << drive);
    state.seeking |= 1 << drive;
    later();
  }

  /** Steps the head, as far as the drive's stops let it; a step resets the disk change line. */
  step(number: number, newCylinder: number, steps: number): void {
    const { state, drives } = this.#host;
    state.pcn[number] = newCylinder;
    const drive = drives[number];
    if (drive === undefined) return;
    const before = state.track[number];
    const last = driveTracks(drive.type) - 1;
    state.track[number] = Math.min(last, Math.max(0, before + steps));
    if (state.track[number] !== before && drive.port.present) drive.port.state.changed = false;
  }
}
