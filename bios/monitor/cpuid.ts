/**
 * The monitor's `cpu` command: every leaf of CPUID, executed by the guest, a leaf a call.
 *
 * Reference: Intel SDM volume 2, CPUID.
 */

import { hex } from "../../hv/core/hex.ts";
import { Ebda } from "../bda.ts";
import type { Console } from "./console.ts";
import type { Guest } from "../guest.ts";

/** No leaf has been asked for yet. */
const FIRST = 0xffff_ffff;
const EXTENDED = 0x8000_0000;
/** Leaves shown of each range at most, whatever the processor claims to have. */
const MOST = 0x20;
const BRAND = [0x8000_0002, 0x8000_0003, 0x8000_0004];

const hex8 = (value: number): string => hex(value >>> 0, 8);

/**
 * Prints the leaf that the guest has executed and has it execute the next.
 *
 * @returns Whether there is a next.
 */
export function showCpuid(guest: Guest, console: Console): boolean {
  const { registers, host: { memory } } = guest;
  const leaf = memory.readU32(Ebda.monitorArgument);
  if (leaf === FIRST) {
    console.print("leaf     eax      ebx      ecx      edx\n");
    return ask(guest, 0);
  }
  const { eax, ebx, ecx, edx } = registers;
  const empty = eax === 0 && ebx === 0 && ecx === 0 && edx === 0;
  if (!empty) {
    console.print(
      `${hex8(leaf)} ${[eax, ebx, ecx, edx].map(hex8).join(" ")}${text(guest, leaf)}\n`,
    );
  }
  const limit = Ebda.monitorLimit;
  if (leaf === 0 || leaf === EXTENDED) {
    const count = Math.min((eax - leaf) >>> 0, MOST);
    memory.writeU32(limit, (leaf + count) >>> 0);
  }
  if (leaf < memory.readU32(limit)) return ask(guest, leaf + 1);
  return leaf < EXTENDED ? ask(guest, EXTENDED) : false;
}

function ask(guest: Guest, leaf: number): true {
  guest.host.memory.writeU32(Ebda.monitorArgument, leaf);
  guest.registers.eax = leaf;
  guest.registers.ecx = 0;
  guest.goTo("monitorCpuid");
  return true;
}

/** The letters that a leaf holds: vendor, or a part of the brand. */
function text({ registers }: Guest, leaf: number): string {
  const { eax, ebx, ecx, edx } = registers;
  const order = leaf === 0 ? [ebx, edx, ecx] : BRAND.includes(leaf) ? [eax, ebx, ecx, edx] : [];
  const bytes = order.flatMap((value) => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff));
  const letters = bytes.map((byte) =>
    byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : " "
  );
  return bytes.length === 0 ? "" : `  ${letters.join("")}`;
}
