/** Who has a file open: found in /proc, as far as this user may look. For messages only. */

/** See above. */
export interface ImageHolders {
  /** Whether this process has it open itself. */
  readonly own: boolean;
  /** Other programs that have, e.g. `qemu-system-x86 (pid 7)`. */
  readonly others: readonly string[];
}

/** Who has `path` open. */
export function imageHolders(path: string): ImageHolders {
  const others: string[] = [];
  let own = false;
  try {
    const target = Deno.realPathSync(path);
    for (const { name } of Deno.readDirSync("/proc")) {
      if (!/^\d+$/.test(name) || !hasOpen(name, target)) continue;
      if (Number(name) === Deno.pid) own = true;
      else others.push(`${Deno.readTextFileSync(`/proc/${name}/comm`).trim()} (pid ${name})`);
    }
  } catch {
    // /proc may not be read, or who was found has just ended.
  }
  return { own, others };
}

function hasOpen(pid: string, target: string): boolean {
  try {
    for (const { name } of Deno.readDirSync(`/proc/${pid}/fd`)) {
      if (Deno.readLinkSync(`/proc/${pid}/fd/${name}`) === target) return true;
    }
  } catch {
    // Another user's process, or one that has just ended.
  }
  return false;
}
