/**
 * What all system description tables begin with.
 *
 * Reference: ACPI 6.4, 5.2.6 "System description table header".
 */

import { TableWriter } from "../table_writer.ts";

/** Bytes of the header. */
export const HEADER_BYTES = 36;
/** Offset of the header's checksum. */
export const HEADER_CHECKSUM = 9;

const OEM_ID = "HV    ";
const OEM_TABLE_ID = "HVBOARD ";
const CREATOR_ID = "HV  ";

/** The table `signature` with its header around `body`; the checksum is 0 yet. */
export function table(signature: string, revision: number, body: Uint8Array): Uint8Array {
  const header = new TableWriter().text(signature).u32(HEADER_BYTES + body.length)
    .u8(revision, 0).text(OEM_ID).text(OEM_TABLE_ID).u32(1).text(CREATOR_ID).u32(1);
  const whole = new Uint8Array(HEADER_BYTES + body.length);
  whole.set(header.bytes());
  whole.set(body, HEADER_BYTES);
  return whole;
}

/** Root pointer's OEM ID, the same as the tables'. */
export const RSDP_OEM_ID = OEM_ID;
