/** From the words of the command line to an exit code. Only here are errors shown and codes chosen. */

import { HostError, UsageError } from "../errors.ts";
import { print, say } from "./say.ts";
import { VERSION } from "../version.ts";
import { BOOT, commandHelp, COMMANDS, ExitCode, programHelp } from "./words/option_table.ts";
import { nearestName } from "../core/edit_distance.ts";
import { parseCommand, parseRun } from "./words/parse.ts";

/** Carries out the command line; gives the exit code. Never throws. */
export async function main(words: readonly string[]): Promise<number> {
  try {
    return await dispatch(words);
  } catch (error) {
    return report(error);
  }
}

async function dispatch([command, ...rest]: readonly string[]): Promise<number> {
  switch (command) {
    case "run": {
      const request = parseRun(rest);
      if (request.help) return help("run");
      const { run } = await import("./run.ts");
      return await run(request);
    }
    case "boot": {
      const request = parseRun(rest, BOOT);
      if (request.help) return help("boot");
      const { boot } = await import("./boot.ts");
      return await boot(request);
    }
    case "info": {
      const spec = COMMANDS.find(({ name }) => name === "info")!;
      if (parseCommand(spec, rest).values.help === true) return help("info");
      const { info } = await import("./info.ts");
      return await info();
    }
    case "disk": {
      const { disk } = await import("./disk/disk.ts");
      return await disk(rest);
    }
    case "--version":
    case "-V":
      print(`hv ${VERSION}`);
      return ExitCode.ok;
    case "--help":
    case "-h":
    case "help":
      if (rest[0] === "disk") return await dispatch(["disk", ...rest.slice(1), "--help"]);
      if (command === "help" && rest.length > 0) return help(rest[0]);
      print(programHelp(VERSION));
      return ExitCode.ok;
    case undefined:
      say(programHelp(VERSION));
      return ExitCode.usage;
    default:
      throw unknownCommand(command);
  }
}

function help(command: string): number {
  const spec = COMMANDS.find(({ name }) => name === command);
  if (spec === undefined) throw unknownCommand(command);
  print(commandHelp(spec));
  return ExitCode.ok;
}

function unknownCommand(command: string): UsageError {
  const nearest = nearestName(command, COMMANDS.map(({ name }) => name));
  const hint = nearest === undefined ? "hv --help lists them" : `did you mean hv ${nearest}?`;
  return new UsageError(`hv has no command "${command}"; ${hint}`);
}

/** Errors whose message is one clear line for the user, by name: they come from several layers. */
const USAGE_ERRORS = ["UsageError", "BootError", "DiskError", "ShareError", "CpuError"];
const HOST_ERRORS = ["HostError", "SysError"];

function report(error: unknown): number {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  if (error instanceof UsageError || USAGE_ERRORS.includes(name)) {
    say(`hv: ${message}`);
    return ExitCode.usage;
  }
  if (error instanceof HostError || HOST_ERRORS.includes(name)) {
    say(`hv: ${message}`);
    return ExitCode.hostError;
  }
  // A fault of ours: the trace is what we need to mend it.
  say(
    `hv: internal error, please report it: ${error instanceof Error ? error.stack : error}`,
  );
  return ExitCode.hostError;
}
