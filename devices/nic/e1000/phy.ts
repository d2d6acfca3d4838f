/**
 * The card's PHY, as far as drivers look at it: a link at 1000 Mbit/s that is there at once.
 *
 * Reference: IEEE 802.3, clause 22 (registers 0 to 15); 317453-006, 8.10 (16 to 31).
 */

import { record, u16s } from "../../../hv/core/state/record.ts";

const PCTRL = 0;
const PSTATUS = 1;
const PHY_ID1 = 2;
const PHY_ID2 = 3;
const ANA = 4;
const LPA = 5;
const GCON = 9;
const GSTATUS = 10;
const ESTATUS = 15;
const PSCON = 16;
const PSSTAT = 17;

/** PCTRL: reset and restart of the negotiation clear themselves. */
const PCTRL_SELF_CLEARING = 0x8200;
/** PSTATUS: link, negotiation complete, what it is able to. */
const PSTATUS_LINK = 0x0004;
const PSTATUS_DONE = 0x0020;
const PSTATUS_ABLE = 0x7949;
/** PSSTAT: 1000 Mbit/s, full duplex, resolved; the link. */
const PSSTAT_SPEED = 0xa800;
const PSSTAT_LINK = 0x0400;

const READ_ONLY = [PSTATUS, PHY_ID1, PHY_ID2, LPA, GSTATUS, ESTATUS, PSSTAT];

/** The registers. */
export const E1000PhyState = record("e1000_phy", 1, { registers: u16s(32) });
/** A view of `E1000PhyState`. */
export type E1000PhyState = InstanceType<typeof E1000PhyState>;

/** See above. */
export class E1000Phy {
  readonly #registers: Uint16Array;

  constructor(state: E1000PhyState) {
    this.#registers = state.registers;
  }

  reset(): void {
    const r = this.#registers;
    r.fill(0);
    r[PCTRL] = 0x1140;
    r[PHY_ID1] = 0x0141;
    r[PHY_ID2] = 0x0c20;
    r[ANA] = 0x0de1;
    r[LPA] = 0xc5e1;
    r[GCON] = 0x0e00;
    r[GSTATUS] = 0x3c00;
    r[ESTATUS] = 0x3000;
    r[PSCON] = 0x0360;
  }

  /** Register 0 to 31, with the link as it is. */
  read(register: number, isUp: boolean): number {
    if (register === PSTATUS) return PSTATUS_ABLE | (isUp ? PSTATUS_LINK | PSTATUS_DONE : 0);
    if (register === PSSTAT) return PSSTAT_SPEED | (isUp ? PSSTAT_LINK : 0);
    return this.#registers[register];
  }

  write(register: number, value: number): void {
    if (READ_ONLY.includes(register)) return;
    this.#registers[register] = register === PCTRL ? value & ~PCTRL_SELF_CLEARING : value;
  }
}
