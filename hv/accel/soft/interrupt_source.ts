/** Where a processor's maskable interrupts come from: an 8259 pair or a local APIC. */
export interface InterruptSource {
  /** Is there something to deliver? Asked with interrupts enabled. */
  pending(): boolean;
  /** Takes the most urgent interrupt: its vector, or -1 when it went away meanwhile. */
  acknowledge(): number;
}
