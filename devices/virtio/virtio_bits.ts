/**
 * Bits that every virtio device has: its status, and the features that belong to rings and transports.
 *
 * Reference: Virtual I/O Device (VIRTIO) 1.3, 2.1 "Device Status Field", 6 "Reserved Feature Bits".
 */

/** The device status field (2.1). */
export const VirtioStatus = {
  ACKNOWLEDGE: 1,
  DRIVER: 2,
  DRIVER_OK: 4,
  FEATURES_OK: 8,
  DEVICE_NEEDS_RESET: 64,
  FAILED: 128,
} as const;

/** Feature bits by number (6); those below 24 and from 50 to 127 are each device's own. */
export const VirtioFeature = {
  INDIRECT_DESC: 28,
  EVENT_IDX: 29,
  VERSION_1: 32,
  RING_PACKED: 34,
  IN_ORDER: 35,
  NOTIFICATION_DATA: 38,
  RING_RESET: 40,
} as const;

/** Most features that there are: 128 bits, of which drivers of today use 64. */
export const FEATURE_WORDS = 4;

/** Feature bits, by number, as the 32-bit words in which drivers read and write them. */
export function featureWords(bits: readonly number[]): Uint32Array {
  const words = new Uint32Array(FEATURE_WORDS);
  for (const bit of bits) words[bit >>> 5] |= 1 << (bit & 31);
  return words;
}
