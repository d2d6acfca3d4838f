/** Where something lies in an address space. */

/** A range of ports or of guest-physical memory. */
export interface AddressRange {
  /** First address. */
  readonly base: number;
  /** How many addresses: of memory, bytes. */
  readonly length: number;
}
