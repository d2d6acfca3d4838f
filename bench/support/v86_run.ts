/** Runs a ROM in v86 until it writes to isa-debug-exit's port; arguments: the ROM, memory in MiB. */

import { EXIT_STATUS } from "./payload.ts";

/** Named where Deno does not look for it: only who runs this bench is to download it. */
const PACKAGE = "npm:v86@0.5.462";

const DEBUG_EXIT = 0xf4;

const [rom, mebibytes] = Deno.args;
const { V86 } = await import(PACKAGE);
const wasm = new URL(import.meta.resolve(`${PACKAGE}/build/v86.wasm`));
// deno-lint-ignore no-explicit-any
const emulator: any = new V86({
  wasm_fn: async (imports: WebAssembly.Imports) =>
    (await WebAssembly.instantiate(await Deno.readFile(wasm), imports)).instance.exports,
  bios: { buffer: (await Deno.readFile(rom)).buffer },
  memory_size: Number(mebibytes) << 20,
  autostart: true,
  disable_keyboard: true,
  disable_mouse: true,
  disable_speaker: true,
});
emulator.add_listener("emulator-loaded", () => {
  emulator.v86.cpu.io.register_write(DEBUG_EXIT, undefined, () => Deno.exit(EXIT_STATUS));
});
