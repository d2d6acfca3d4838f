/**
 * Registers, bits and sizes of the 82540EM, as its manual names them.
 *
 * Reference: PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual
 * (317453-006), chapter 13.
 */

/** Registers by offset. */
export const Reg = {
  CTRL: 0x0000,
  STATUS: 0x0008,
  EECD: 0x0010,
  EERD: 0x0014,
  MDIC: 0x0020,
  VET: 0x0038,
  ICR: 0x00c0,
  ITR: 0x00c4,
  ICS: 0x00c8,
  IMS: 0x00d0,
  IMC: 0x00d8,
  RCTL: 0x0100,
  TCTL: 0x0400,
  PBA: 0x1000,
  RDBAL: 0x2800,
  RDBAH: 0x2804,
  RDLEN: 0x2808,
  RDH: 0x2810,
  RDT: 0x2818,
  TDBAL: 0x3800,
  TDBAH: 0x3804,
  TDLEN: 0x3808,
  TDH: 0x3810,
  TDT: 0x3818,
  /** Statistics from here up to 40FFh; each is cleared by being read. */
  CRCERRS: 0x4000,
  MPC: 0x4010,
  GPRC: 0x4074,
  GPTC: 0x4080,
  GORCL: 0x4088,
  GORCH: 0x408c,
  GOTCL: 0x4090,
  GOTCH: 0x4094,
  TPR: 0x40d0,
  TPT: 0x40d4,
  RXCSUM: 0x5000,
  MTA: 0x5200,
  RAL: 0x5400,
  RAH: 0x5404,
  VFTA: 0x5600,
} as const;

/** The end of the statistics. */
export const STATISTICS_END = 0x4100;
/** Bytes of the register window that have a register at all; the window itself has 128 KiB. */
export const REGISTER_BYTES = 0x6000;
/** Receive addresses (RAL/RAH pairs). */
export const RECEIVE_ADDRESSES = 16;

/** CTRL: set link up, reset, VLAN mode, reset of the PHY. */
export const CTRL_SLU = 1 << 6;
export const CTRL_RST = 1 << 26;
export const CTRL_VME = 1 << 30;
export const CTRL_PHY_RST = 0x8000_0000;
/** CTRL after power-on: full duplex, automatic speed, 1000 Mbit/s. */
export const CTRL_RESET = 0x0000_0201 | CTRL_SLU;
/** STATUS: full duplex, link up, 1000 Mbit/s. */
export const STATUS_FD = 1;
export const STATUS_LU = 2;
export const STATUS_SPEED_1000 = 0x80;

/** MDIC: register, PHY, operation, ready, interrupt, error. */
export const MDIC_READ = 2;
export const MDIC_WRITE = 1;
export const MDIC_READY = 1 << 28;
export const MDIC_ERROR = 1 << 30;
export const PHY_ADDRESS = 1;

/** Interrupt causes (ICR, ICS, IMS, IMC). */
export const Cause = {
  /** A transmit descriptor was written back. */
  TXDW: 1 << 0,
  /** The transmit queue is empty. */
  TXQE: 1 << 1,
  /** The link's status has changed. */
  LSC: 1 << 2,
  /** Few receive descriptors are left (RCTL.RDMTS). */
  RXDMT0: 1 << 4,
  /** A frame was lost for lack of a receive descriptor. */
  RXO: 1 << 6,
  /** A frame was received. */
  RXT0: 1 << 7,
  /** A PHY access has ended. */
  MDAC: 1 << 9,
} as const;
/** Bits that causes have. */
export const CAUSES = 0x1_ffff;

/** RCTL. */
export const RCTL_EN = 1 << 1;
export const RCTL_UPE = 1 << 3;
export const RCTL_MPE = 1 << 4;
export const RCTL_LPE = 1 << 5;
export const RCTL_BAM = 1 << 15;
export const RCTL_VFE = 1 << 18;
export const RCTL_SECRC = 1 << 26;
/** TCTL: enable. */
export const TCTL_EN = 1 << 1;
/** RAH: address valid. */
export const RAH_AV = 0x8000_0000;

/** Bytes of every descriptor. */
export const DESCRIPTOR_BYTES = 16;

/** Bits of a transmit descriptor's command byte (3.3.3, 3.3.7). */
export const Tcmd = {
  EOP: 0x01,
  /** Legacy: insert the checksum; context: the packet is TCP. */
  IC: 0x04,
  /** Data and context: cut into segments. */
  TSE: 0x04,
  RS: 0x08,
  DEXT: 0x20,
  VLE: 0x40,
} as const;
/** Context descriptor's TUCMD: TCP, IPv4. */
export const TUCMD_TCP = 1;
export const TUCMD_IPV4 = 2;
/** Data descriptor's POPTS: insert the IP and the TCP/UDP checksum. */
export const POPTS_IXSM = 1;
export const POPTS_TXSM = 2;
/** A descriptor's status: done. */
export const DD = 1;

/** Bits of a receive descriptor's status byte (3.2.3.1). */
export const Rstatus = {
  DD: 1,
  EOP: 2,
  IXSM: 4,
  VP: 8,
  TCPCS: 0x20,
  IPCS: 0x40,
  PIF: 0x80,
} as const;

/** Bytes of the frame check sequence, which the card adds and, unless told otherwise, hands over. */
export const FCS_BYTES = 4;
