/** The command line, from words to `MachineOptions` and the host's ends of it. */

import { parseArgs } from "node:util";
import type { BootDevice } from "../../core/media/drive_kind.ts";
import { nearestName } from "../../core/edit_distance.ts";
import type { AcceleratorChoice } from "../../accel/choose.ts";
import type { MachineOptions } from "../../options/config.ts";
import { UsageError } from "../../errors.ts";
import { oneOf } from "./one_of.ts";
import { type CommandSpec, RUN } from "./option_table.ts";
import { parseDrive } from "./parse_drive.ts";
import { parseNetworks } from "./parse_network.ts";
import { parseShare } from "./parse_share.ts";
import { parseVsock } from "./parse_vsock.ts";

/** Values of a command's options. */
export interface ParsedCommand {
  readonly values: { readonly [name: string]: string | boolean | string[] | undefined };
  readonly positionals: readonly string[];
}

/** Where a character device goes. */
export type CharacterEnd =
  | { readonly kind: "stdio" | "null" }
  | { readonly kind: "file" | "unix"; readonly path: string };

/** What `hv run` was asked for. */
export interface RunRequest {
  readonly options: MachineOptions;
  /** The positional argument, whose kind is found out by looking at it. */
  readonly image: string | undefined;
  readonly serial: readonly CharacterEnd[] | undefined;
  /** Of the virtio console, where it was said. */
  readonly console: CharacterEnd | undefined;
  /** Of the virtio ports, by name. */
  readonly ports: ReadonlyMap<string, CharacterEnd>;
  readonly debugConsole: CharacterEnd;
  readonly display: "none" | "text" | undefined;
  /** Where a picture of the screen goes at the end. */
  readonly screenshot: string | undefined;
  readonly timeoutMs: number | undefined;
  /** What the console shows when the guest takes input from a pipe, where that is known. */
  readonly inputAfter?: string;
}

/**
 * Words to option values.
 *
 * @throws {UsageError} For an unknown option (naming the nearest), a missing or superfluous value.
 */
export function parseCommand(spec: CommandSpec, words: readonly string[]): ParsedCommand {
  const { tokens, values, positionals } = parseArgs({
    args: [...words],
    strict: false,
    allowPositionals: true,
    tokens: true,
    options: Object.fromEntries(
      spec.options.map(({ name, value, multiple, short }) => [name, {
        type: value === undefined ? "boolean" as const : "string" as const,
        ...(multiple ? { multiple } : {}),
        ...(short ? { short } : {}),
      }]),
    ),
  });
  const seen = new Set<string>();
  for (const token of tokens) {
    if (token.kind !== "option") continue;
    const option = spec.options.find(({ name }) => name === token.name);
    if (option === undefined) {
      const nearest = nearestName(token.name, spec.options.map(({ name }) => name));
      const hint = nearest === undefined ? "" : `; did you mean --${nearest}?`;
      throw new UsageError(`hv ${spec.name} has no option ${token.rawName}${hint}`);
    }
    if (option.value === undefined && token.value !== undefined) {
      throw new UsageError(`Option --${option.name} takes no value, "${token.value}" was given`);
    }
    const isMissing = token.value === undefined || (token.value === "" && !option.mayBeEmpty);
    if (option.value !== undefined && isMissing) {
      throw new UsageError(
        `Option --${option.name} needs a value: --${option.name} ${option.value}`,
      );
    }
    if (seen.has(option.name) && !option.multiple) {
      throw new UsageError(`Option --${option.name} can be given once only`);
    }
    seen.add(option.name);
  }
  const most = spec.positional?.split(" ").length ?? 0;
  if (positionals.length > most) {
    throw new UsageError(`hv ${spec.name} does not know what to do with "${positionals[most]}"`);
  }
  return { values: values as ParsedCommand["values"], positionals };
}

/**
 * The words of `hv run`, or of a command with the same options.
 *
 * @throws {UsageError}
 */
export function parseRun(
  words: readonly string[],
  command: CommandSpec = RUN,
): RunRequest & { help: boolean } {
  const { values, positionals: [positional] } = parseCommand(command, words);
  const text = (name: string) => values[name] as string | undefined;
  const texts = (name: string) => values[name] as string[] | undefined;
  const drives = (name: string) => texts(name)?.map((value) => parseDrive(name, value));
  const console = parseConsole(text("console") ?? "serial");
  const ports = (texts("port") ?? []).map(parsePort);
  const options: MachineOptions = {
    memory: text("memory"),
    cpus: number("cpus", text("cpus")),
    accelerator: oneOf<AcceleratorChoice>("accel", text("accel"), ["auto", "kvm", "soft"]),
    cpu: text("cpu"),
    kernel: text("kernel"),
    initrd: text("initrd"),
    append: text("append"),
    kernelEntry: oneOf("kernel-entry", text("kernel-entry"), ["auto", "real16", "long64"]),
    floppy: drives("floppy"),
    disk: drives("disk"),
    cdrom: drives("cdrom"),
    network: parseNetworks(texts("net")),
    share: texts("share")?.map(parseShare),
    vsock: parseVsock(text("vsock")),
    boot: text("boot")?.split(",").map((device) =>
      oneOf<BootDevice>("boot", device.trim(), ["floppy", "disk", "cdrom", "kernel"])!
    ),
    bios: text("bios"),
    serialPorts: texts("serial")?.length,
    console: console.kind,
    ports: ports.map(({ name }) => name),
    balloon: text("balloon-target") ?? values.balloon === true,
    rng: values.rng === true,
    virtioTransport: oneOf("virtio", text("virtio"), ["pci", "mmio"]),
    virtioPacked: values["virtio-packed"] === true,
    testDevices: values["test-devices"] === true,
    noReboot: values["no-reboot"] === true,
  };
  const seconds = number("timeout", text("timeout"));
  if (seconds !== undefined && !(seconds > 0 && seconds <= 2_000_000)) {
    throw new UsageError(`Cannot use --timeout ${seconds}: a positive number of seconds is needed`);
  }
  return {
    help: values.help === true,
    options,
    image: positional,
    serial: texts("serial")?.map((value) => parseEnd("serial", value)),
    console: console.end,
    ports: new Map(ports.map(({ name, end }) => [name, end])),
    debugConsole: parseEnd("debugcon", text("debugcon") ?? "null"),
    display: oneOf("display", text("display"), ["none", "text"]),
    screenshot: text("screenshot"),
    timeoutMs: seconds === undefined ? undefined : seconds * 1000,
  };
}

/** @param before What stands before the end in the option's value, for the error. */
function parseEnd(option: string, value: string, before = ""): CharacterEnd {
  if (value === "stdio" || value === "null") return { kind: value };
  const match = /^(file|unix):(.+)$/.exec(value);
  if (match === null) {
    throw new UsageError(
      `Cannot use --${option} ${before}${value}: stdio, null, file:PATH or unix:PATH is possible`,
    );
  }
  return { kind: match[1] as "file" | "unix", path: match[2] };
}

/** `serial`, `virtio` or `virtio=END`. */
function parseConsole(value: string): { kind: "serial" | "virtio"; end?: CharacterEnd } {
  const end = value.startsWith("virtio=")
    ? parseEnd("console", value.slice("virtio=".length), "virtio=")
    : undefined;
  const kind = end === undefined
    ? oneOf("console", value, ["serial", "virtio"] as const)!
    : "virtio";
  return { kind, end };
}

/** `NAME=END`; the name is checked with the machine's other options. */
function parsePort(value: string): { name: string; end: CharacterEnd } {
  const at = value.indexOf("=");
  if (at <= 0) {
    throw new UsageError(
      `Cannot use --port ${value}: NAME=stdio, null, file:PATH or unix:PATH is needed`,
    );
  }
  return {
    name: value.slice(0, at),
    end: parseEnd("port", value.slice(at + 1), value.slice(0, at + 1)),
  };
}

function number(option: string, value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const parsed = /^\s*\d+(\.\d+)?\s*$/.test(value) ? Number(value) : NaN;
  if (Number.isNaN(parsed)) throw new UsageError(`Cannot use --${option} ${value}: not a number`);
  return parsed;
}
