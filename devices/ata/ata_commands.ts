/** Command codes of ATA/ATAPI-6 (T13 1410D), table 10, and the parameters of those that move data. */

/** Commands other than those of `TRANSFERS`. */
export const Command = {
  NOP: 0x00,
  DEVICE_RESET: 0x08,
  READ_NATIVE_MAX_ADDRESS_EXT: 0x27,
  INITIALIZE_DEVICE_PARAMETERS: 0x91,
  STANDBY_IMMEDIATE_OLD: 0x94,
  IDLE_IMMEDIATE_OLD: 0x95,
  STANDBY_OLD: 0x96,
  IDLE_OLD: 0x97,
  CHECK_POWER_MODE_OLD: 0x98,
  SLEEP_OLD: 0x99,
  PACKET: 0xa0,
  IDENTIFY_PACKET_DEVICE: 0xa1,
  SET_MULTIPLE_MODE: 0xc6,
  STANDBY_IMMEDIATE: 0xe0,
  IDLE_IMMEDIATE: 0xe1,
  STANDBY: 0xe2,
  IDLE: 0xe3,
  READ_BUFFER: 0xe4,
  CHECK_POWER_MODE: 0xe5,
  SLEEP: 0xe6,
  FLUSH_CACHE: 0xe7,
  WRITE_BUFFER: 0xe8,
  FLUSH_CACHE_EXT: 0xea,
  IDENTIFY_DEVICE: 0xec,
  SET_FEATURES: 0xef,
  SECURITY_FREEZE_LOCK: 0xf5,
  READ_NATIVE_MAX_ADDRESS: 0xf8,
} as const;

/** RECALIBRATE and SEEK take sixteen codes each, of which the low four bits once were a step rate. */
export const RECALIBRATE_GROUP = 0x1;
/** See `RECALIBRATE_GROUP`. */
export const SEEK_GROUP = 0x7;

/** What a command does with sectors. */
export interface Transfer {
  readonly kind: "read" | "write" | "verify";
  /** 48-bit address and 16-bit count. */
  readonly ext: boolean;
  readonly dma: boolean;
  /** DRQ blocks of as many sectors as SET MULTIPLE MODE said, instead of one. */
  readonly multiple: boolean;
}

const transfer = (
  kind: Transfer["kind"],
  options: { ext?: boolean; dma?: boolean; multiple?: boolean } = {},
): Transfer => ({ kind, ext: false, dma: false, multiple: false, ...options });

/** Commands that move sectors; odd codes are the old ones "without retries". */
export const TRANSFERS: ReadonlyMap<number, Transfer> = new Map([
  [0x20, transfer("read")],
  [0x21, transfer("read")],
  [0x24, transfer("read", { ext: true })],
  [0x25, transfer("read", { ext: true, dma: true })],
  [0x29, transfer("read", { ext: true, multiple: true })],
  [0x30, transfer("write")],
  [0x31, transfer("write")],
  [0x34, transfer("write", { ext: true })],
  [0x35, transfer("write", { ext: true, dma: true })],
  [0x39, transfer("write", { ext: true, multiple: true })],
  [0x3c, transfer("write")], // WRITE VERIFY, withdrawn in ATA-4
  [0x40, transfer("verify")],
  [0x41, transfer("verify")],
  [0x42, transfer("verify", { ext: true })],
  [0xc4, transfer("read", { multiple: true })],
  [0xc5, transfer("write", { multiple: true })],
  [0xc8, transfer("read", { dma: true })],
  [0xc9, transfer("read", { dma: true })],
  [0xca, transfer("write", { dma: true })],
  [0xcb, transfer("write", { dma: true })],
]);

/** Subcommands of SET FEATURES (8.46, table 46). */
export const Feature = {
  enableWriteCache: 0x02,
  setTransferMode: 0x03,
  disableLookAhead: 0x55,
  keepOnReset: 0x66,
  disableWriteCache: 0x82,
  enableLookAhead: 0xaa,
  revertOnReset: 0xcc,
} as const;
