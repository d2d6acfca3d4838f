/**
 * The BIOS data area at 0040:0000 and the extended one: where everything lies that the firmware
 * remembers. It has no other state, so that any thread may serve any call and a snapshot has it all.
 *
 * Reference: IBM PS/2 and PC BIOS Interface Technical Reference, "BIOS data areas".
 */

/** Physical addresses in the BIOS data area. */
export const Bda = {
  /** Four words: port bases of COM1 to COM4. */
  serialPorts: 0x400,
  /** Three words: port bases of LPT1 to LPT3. */
  parallelPorts: 0x408,
  /** Word: segment of the EBDA. */
  ebdaSegment: 0x40e,
  /** Word: what INT 11h returns. */
  equipment: 0x410,
  /** Word: what INT 12h returns, KiB. */
  memoryKib: 0x413,
  /** Shift keys and locks held. */
  keyFlags: 0x417,
  /** More shift keys held; bit 3: pause. */
  keyFlags2: 0x418,
  /** Number being typed with Alt and the keypad. */
  altNumber: 0x419,
  /** Word: offset of the next key in the buffer. */
  keyHead: 0x41a,
  /** Word: offset behind the last key in the buffer. */
  keyTail: 0x41c,
  /** Sixteen words. */
  keyBuffer: 0x41e,
  /** Bit 7: the diskette interrupt came. */
  floppyRecalibrate: 0x43e,
  floppyMotor: 0x43f,
  /** Ticks until the motor goes off. */
  floppyMotorTicks: 0x440,
  /** Status of the last diskette operation. */
  floppyStatus: 0x441,
  videoMode: 0x449,
  /** Word. */
  videoColumns: 0x44a,
  /** Word: bytes of a page. */
  videoPageBytes: 0x44c,
  /** Word: offset of the page shown. */
  videoPageStart: 0x44e,
  /** Eight words: row (high), column (low). */
  cursorPositions: 0x450,
  /** Word: start line (high), end line (low). */
  cursorShape: 0x460,
  videoPage: 0x462,
  /** Word: port of the CRT controller's index. */
  crtcPort: 0x463,
  /** Last value of the CGA mode register. */
  cgaMode: 0x465,
  /** Last value of the CGA palette register. */
  cgaPalette: 0x466,
  /** Far pointer to which a warm reset with shutdown code 5 or Ah jumps. */
  resetVector: 0x467,
  /** Doubleword: timer ticks since midnight. */
  ticks: 0x46c,
  /** Midnights passed since the ticks were last read. */
  midnight: 0x470,
  /** Bit 7: Ctrl-Break. */
  breakFlag: 0x471,
  /** Word: 1234h when a reset shall skip the memory test. */
  resetFlag: 0x472,
  /** Status of the last hard-disk operation. */
  diskStatus: 0x474,
  diskCount: 0x475,
  /** Time-outs of LPT1 to LPT3. */
  parallelTimeouts: 0x478,
  /** Time-outs of COM1 to COM4. */
  serialTimeouts: 0x47c,
  /** Word: start of the key buffer, offset in segment 40h. */
  keyBufferStart: 0x480,
  /** Word: end of the key buffer. */
  keyBufferEnd: 0x482,
  /** Text rows less one. */
  videoRows: 0x484,
  /** Word: lines of a character. */
  characterHeight: 0x485,
  videoControl: 0x487,
  videoSwitches: 0x488,
  videoModeOptions: 0x489,
  /** Display combination code: index in the table. */
  displayCombination: 0x48a,
  /** FFh once the disk's interrupt came. */
  diskInterrupt: 0x48e,
  /** Media state of floppies 0 and 1. */
  floppyMedia: 0x490,
  /** Bit 4: 101/102-key keyboard; bits 0-3: E0h, E1h prefix, right Ctrl, right Alt. */
  keyboardStatus: 0x496,
  /** LEDs and acknowledgements. */
  keyboardLeds: 0x497,
  /** Far pointer to the flag of INT 15h AH=83h. */
  waitFlag: 0x498,
  /** Doubleword: microseconds left of that wait. */
  waitMicroseconds: 0x49c,
  /** Bit 0: a wait is under way. */
  waitActive: 0x4a0,
  /** Far pointer to the video save-pointer table. */
  videoSavePointer: 0x4a8,
  /** End of the area that POST clears. */
  end: 0x501,
} as const;

/** Segment of the EBDA: the last KiB of the first 640. */
export const EBDA_SEGMENT = 0x9fc0;
const EBDA = EBDA_SEGMENT * 16;

/** Physical addresses in the EBDA. */
export const Ebda = {
  /** Size in KiB. */
  sizeKib: EBDA,
  /** Far pointer to the mouse handler of INT 15h AX=C207h. */
  mouseHandler: EBDA + 0x22,
  /** Bytes of the packet received so far (bits 0-2). */
  mouseCount: EBDA + 0x26,
  /** Bit 7: a handler is set; bits 0-2: bytes a packet less one. */
  mouseFlags: EBDA + 0x27,
  /** The packet being received: eight bytes. */
  mousePacket: EBDA + 0x28,
  /** Hard-disk parameter tables (INT 41h, 46h): sixteen bytes each. */
  diskParameters0: EBDA + 0x3d,
  diskParameters1: EBDA + 0x4d,

  /** 1 while a boot image emulates a drive. */
  emulating: EBDA + 0x80,
  /** Boot media type of El Torito: 0 none, 1-3 floppy, 4 hard disk. */
  emulatedMedia: EBDA + 0x81,
  /** INT 13h number of the emulated drive, or of the CD-ROM without emulation. */
  emulatedDrive: EBDA + 0x82,
  /** INT 13h number of the CD-ROM the image lies on. */
  emulatedOn: EBDA + 0x83,
  /** Doubleword: first 2048-byte block of the image. */
  emulatedBlock: EBDA + 0x84,
  /** Word: load segment. */
  emulatedSegment: EBDA + 0x88,
  /** Word: 512-byte sectors loaded. */
  emulatedSectors: EBDA + 0x8a,
  /** Word: cylinders of the emulated drive. */
  emulatedCylinders: EBDA + 0x8c,
  emulatedHeads: EBDA + 0x8e,
  emulatedSectorsPerTrack: EBDA + 0x8f,
  /** Extended read tables: CD-ROM trays locked, a count for each of 8. */
  trayLocks: EBDA + 0x90,

  /** Deadline of INT 15h AH=86h, guest time in microseconds: low and high doubleword; 0: none. */
  waitDeadline: EBDA + 0xa0,
  /** Deadline of an INT 14h AH=02h or 01h, the same. */
  serialDeadline: EBDA + 0xa8,
  /** Doubleword: address of the option ROM that was looked at last. */
  optionRom: EBDA + 0xb0,
  /** Index of the boot device to try next. */
  bootIndex: EBDA + 0xb4,
  /** Kind of device that the monitor wants booted: 0 all in order, else index in `BOOT_KINDS` + 1. */
  bootOnly: EBDA + 0xb5,
  /** Word: low word of the ticks at the last INT 16h that found no key; word: how many in that tick. */
  idleTick: EBDA + 0xb8,
  idlePolls: EBDA + 0xba,
  /** Word for each 2 KiB from C8000h to DFFFFh: 8000h plus the PCI function an image came from. */
  optionRomOrigins: EBDA + 0xc0,

  /** Monitor: state, length of the line, command under way and its argument. */
  monitorState: EBDA + 0x140,
  monitorLength: EBDA + 0x141,
  /** Calls in a row that found nothing typed while nobody was there. */
  monitorIdle: EBDA + 0x142,
  /** Doubleword. */
  monitorArgument: EBDA + 0x144,
  /** Line being typed: 120 bytes. */
  monitorLine: EBDA + 0x148,
  /** Doubleword: last leaf of CPUID in this range. */
  monitorLimit: EBDA + 0x1c0,
  end: EBDA + 0x400,
} as const;
