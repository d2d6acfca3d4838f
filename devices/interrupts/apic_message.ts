/**
 * Interrupt messages: what I/O APICs, devices (MSI) and processors (IPI) send to local APICs.
 *
 * References: Intel SDM volume 3, 11.6 "Issuing interprocessor interrupts", 11.11 "Message signalled
 * interrupts"; 82093AA data sheet (290566), 3.2.4.
 */

/** How a message is taken (bits 10-8 of ICR, LVT, redirection entries and MSI data). */
export const DeliveryMode = {
  fixed: 0,
  /** Fixed, to the processor of the lowest priority among those addressed. */
  lowestPriority: 1,
  smi: 2,
  nmi: 4,
  init: 5,
  /** The start-up interrupt (SIPI): the vector is the page where the processor starts. */
  startUp: 6,
  /** The vector comes from the 8259s. */
  extInt: 7,
} as const;
/** Any of the eight codes: a guest writes reserved ones as well; nobody takes those. */
export type DeliveryMode = number;

/** Destination that every local APIC hears, physical or logical. */
export const BROADCAST = 0xffff_ffff;
/** What `BROADCAST` is in destinations of 8 bits. */
const BROADCAST_8 = 0xff;

/** An interrupt message. */
export interface ApicMessage {
  /** APIC ID, logical destination, or `BROADCAST`. */
  readonly destination: number;
  readonly logical: boolean;
  readonly mode: DeliveryMode;
  /** 0 to 255; below 16 is an error that the receiver reports. */
  readonly vector: number;
  /** Asserted (true) or taken back; only level-triggered messages can be taken back. */
  readonly level: boolean;
  /** Level-triggered: its end (EOI) is broadcast to the I/O APICs. */
  readonly levelTriggered: boolean;
}

/** What carries messages to the local APICs. May be called on any thread, under any device's lock. */
export interface ApicBus {
  /**
   * Delivers a message.
   *
   * @param except Number of a processor that does not hear it (shorthand "all excluding self").
   * @returns Did a local APIC accept it?
   */
  deliver(message: ApicMessage, except?: number): boolean;
}

/** An 8-bit destination (xAPIC, I/O APIC, MSI) as messages have it. */
export const wideDestination = (destination: number): number =>
  destination === BROADCAST_8 ? BROADCAST : destination;

/** Fields of an MSI (SDM volume 3, figures 11-24 and 11-25). */
const MSI_BASE = 0xfee;
const MSI_LOGICAL = 1 << 2;
const MSI_REDIRECTION_HINT = 1 << 3;
const MSI_ASSERT = 1 << 14;
const MSI_LEVEL = 1 << 15;

/**
 * The message that a write of `data` to `address` is, or undefined where that is no message address
 * (FEExxxxxh). A redirection hint makes a fixed interrupt one for the lowest priority.
 */
export function msiMessage(address: number, data: number): ApicMessage | undefined {
  if (Math.floor(address / 0x10_0000) !== MSI_BASE) return undefined;
  const mode = (data >>> 8) & 7;
  const redirected = (address & MSI_REDIRECTION_HINT) !== 0 && mode === DeliveryMode.fixed;
  const levelTriggered = (data & MSI_LEVEL) !== 0;
  return {
    destination: wideDestination((address >>> 12) & 0xff),
    logical: (address & MSI_LOGICAL) !== 0,
    mode: redirected ? DeliveryMode.lowestPriority : mode,
    vector: data & 0xff,
    level: !levelTriggered || (data & MSI_ASSERT) !== 0,
    levelTriggered,
  };
}
