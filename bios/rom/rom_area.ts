/** Where the firmware's ROM is seen below 1 MiB; the same bytes are below 4 GiB. */

/** Physical address of the ROM. */
export const ROM_BASE = 0xf_0000;
/** Its length. */
export const ROM_BYTES = 0x1_0000;
