/**
 * The header with which the configuration space of every PCI function begins, of type 0.
 *
 * Reference: PCI Local Bus Specification 3.0, 6.1 and 6.2.
 */

/** Offsets of the header's registers. */
export const PciHeader = {
  VID: 0x00,
  DID: 0x02,
  PCICMD: 0x04,
  PCISTS: 0x06,
  RID: 0x08,
  /** Three bytes: interface, subclass, class. */
  CLASSC: 0x09,
  CLS: 0x0c,
  MLT: 0x0d,
  HEDT: 0x0e,
  /** The first of six. */
  BAR0: 0x10,
  SVID: 0x2c,
  SID: 0x2e,
  /** Expansion ROM. */
  ROMBAR: 0x30,
  CAPPTR: 0x34,
  INTLN: 0x3c,
  INTPN: 0x3d,
} as const;

/** Bits of the command register. */
export const PciCommand = {
  ioSpace: 1 << 0,
  memorySpace: 1 << 1,
  busMaster: 1 << 2,
  parityError: 1 << 6,
  systemError: 1 << 8,
  interruptDisable: 1 << 10,
} as const;
