/** Formats of disk images, by name. */

/** One that can be opened; all but raw and qcow2 to be read only. */
export type ImageFormat = "raw" | "qcow2" | "vhd" | "vhdx" | "vmdk";
/** All of them. */
export const IMAGE_FORMATS: readonly ImageFormat[] = ["raw", "qcow2", "vhd", "vhdx", "vmdk"];
/** Those that can be made and written. */
export const WRITABLE_FORMATS: readonly ImageFormat[] = ["raw", "qcow2"];
