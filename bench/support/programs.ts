/** The programs that are measured on the same ROM: hv, the C loop and QEMU; where each is there. */

const PROJECT = new URL("../..", import.meta.url).pathname;
const MEMORY_MIB = 64;

/** Something that runs a ROM of bench/support/payload.ts. */
export interface Program {
  readonly name: string;
  /** The command line for `rom`, with `cpus` processors (the C loop has always one). */
  command(rom: string, cpus?: number): string[];
}

const hvOn = (name: string, accelerator: string, main = `${PROJECT}main.ts`): Program => ({
  name,
  command: (rom, cpus = 1) => [
    ...[Deno.execPath(), "run", "--allow-all", main, "run"],
    ...["--bios", rom, "--memory", `${MEMORY_MIB}M`, "--cpus", `${cpus}`],
    ...["--accel", accelerator, "--display", "none", "--serial", "null"],
  ],
});

/** hv as it runs from the checkout, on KVM. */
export const HV: Program = hvOn("hv", "kvm");
/** As `deno task compile` bundles it, on KVM. */
export const hvBundled = (main: string): Program => hvOn("hv, bundled", "kvm", main);
/** As the self-contained file, which unpacks itself below `cache`, on KVM. */
export const hvFile = (file: string, cache: string): Program => ({
  name: "hv, one file",
  command: (rom, cpus = 1) => [
    ...["env", `XDG_CACHE_HOME=${cache}`, file, "run", "--bios", rom, "--memory", `${MEMORY_MIB}M`],
    ...["--cpus", `${cpus}`, "--accel", "kvm", "--display", "none", "--serial", "null"],
  ],
});
/** On its software CPU. */
export const HV_SOFT: Program = hvOn("hv --accel soft", "soft");

const qemuOn = (name: string, accelerator: string): Program => ({
  name,
  command: (rom, cpus = 1) => [
    ...["qemu-system-x86_64", "-M", "pc", "-accel", accelerator, "-m", `${MEMORY_MIB}`],
    ...["-smp", `${cpus}`, "-bios", rom, "-nodefaults", "-display", "none", "-serial", "null"],
    ...["-device", "isa-debug-exit,iobase=0xf4,iosize=4"],
  ],
});

/** QEMU with the same board and nothing on it but a serial port; its command is in bench/README.md. */
export const QEMU: Program = qemuOn("QEMU", "kvm");
const QEMU_TCG: Program = qemuOn("QEMU TCG", "tcg");

/** The npm package v86, which emulates 32-bit processors in WebAssembly, too. */
export const V86: Program = {
  name: "v86",
  command: (rom) => [
    ...[Deno.execPath(), "run", "--allow-all", "--no-lock", "--no-config"],
    ...[`${PROJECT}bench/support/v86_run.ts`, rom, `${MEMORY_MIB}`],
  ],
};

/** The C loop, compiled into `directory`; undefined, with the reason printed, where it cannot be. */
export async function cLoop(directory: string): Promise<Program | undefined> {
  const program = `${directory}/exit_loop`;
  const source = `${PROJECT}bench/exit_loop.c`;
  const compiled = await tried(["gcc", "-O2", "-Wall", "-o", program, source]);
  if (compiled !== undefined) {
    console.log(`without the C loop: ${compiled}`);
    return undefined;
  }
  return { name: "C", command: (rom) => [program, rom] };
}

/** QEMU where it is installed; undefined, with the reason printed, where it is not. */
export async function qemu(accelerator: "kvm" | "tcg" = "kvm"): Promise<Program | undefined> {
  const missing = await tried(["qemu-system-x86_64", "--version"]);
  if (missing !== undefined) console.log(`without QEMU: ${missing}`);
  return missing !== undefined ? undefined : accelerator === "kvm" ? QEMU : QEMU_TCG;
}

/** Why the command failed; undefined when it did not. */
async function tried([program, ...args]: string[]): Promise<string | undefined> {
  try {
    const command = new Deno.Command(program, { args, stdout: "null", stderr: "piped" });
    const { code, stderr } = await command.output();
    return code === 0 ? undefined : `${program}: ${new TextDecoder().decode(stderr).trim()}`;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return `${program} is not installed`;
    throw error;
  }
}
