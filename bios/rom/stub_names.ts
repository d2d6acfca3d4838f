/** What the stubs and the services behind them know of each other. */

/** Where the stubs call the firmware. No device of a PC is there; one byte, write only. */
export const FIRMWARE_PORT = 0xa8;

/** What a stub asks for. */
export type ServiceName =
  | "reset"
  | "post"
  | "optionRom"
  | "int09"
  | "int09Key"
  | "int10"
  | "int13"
  | "int14"
  | "int15"
  | "int15Wait"
  | "int16"
  | "int17"
  | "int19"
  | "int1a"
  | "int70"
  | "int74"
  | "monitor"
  | "bios32"
  | "pciBios32";

/** Places to which a service may send the guest. */
export type StubLabel =
  | "coldStart"
  | "warmJump"
  | "warmJumpEoi"
  | "retry13"
  | "retry19"
  | "bootNow"
  | "wait14"
  | "wait15"
  | "spin15"
  | "wait16"
  | "idle16"
  | "keyHook"
  | "keyBreak"
  | "keyPrint"
  | "keyPause"
  | "keyNothing"
  | "reboot"
  | "powerOff"
  | "alarm"
  | "farReturn"
  | "mouseDone"
  | "optionRomNext"
  | "monitor"
  | "monitorWait"
  | "monitorCpuid"
  | "startMonitor"
  | "bootAgain"
  | "pciBios32";

/** Emits the call of a service. */
export type Emit = (name: ServiceName) => void;
