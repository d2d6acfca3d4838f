/** Who has a file open: found in /proc, as far as this user may look. For messages only. */

/** See above. */
export interface ImageHolders {
  /** Whether this process has it open itself. */
  readonly own: boolean;
  /** Other programs that have, e.g. `qemu-system-x86 (pid 7)`. */
  readonly others: readonly string[];
}

/**
 * Who has `path` open.
 *
 * @param proc Where the host's processes are found.
 */
export function imageHolders(path: string, proc = "/proc"): ImageHolders {
  const others: string[] = [];
  let own = false;
  try {
    const target = Deno.realPathSync(path);
    for (const { name } of Deno.readDirSync(proc)) {
      if (!/^\d+$/.test(name) || !hasOpen(`${proc}/${name}`, target)) continue;
      if (Number(name) === Deno.pid) {
        own = true;
        continue;
      }
      const command = commandName(`${proc}/${name}`);
      if (command !== undefined) others.push(`${command} (pid ${name})`);
    }
  } catch {
    // /proc may not be read.
  }
  return { own, others };
}

/** Undefined of one that has ended meanwhile: it has nothing open any more, and nobody can stop it. */
function commandName(process: string): string | undefined {
  try {
    return Deno.readTextFileSync(`${process}/comm`).trim();
  } catch {
    return undefined;
  }
}

function hasOpen(process: string, target: string): boolean {
  try {
    for (const { name } of Deno.readDirSync(`${process}/fd`)) {
      if (Deno.readLinkSync(`${process}/fd/${name}`) === target) return true;
    }
  } catch {
    // Another user's process, or one that has just ended.
  }
  return false;
}
