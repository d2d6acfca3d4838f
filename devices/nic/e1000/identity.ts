/** What the card says of itself (317453-006, 5.2). */

/** PCI vendor. */
export const INTEL = 0x8086;
/** 82540EM. */
export const E1000_DEVICE_ID = 0x100e;
