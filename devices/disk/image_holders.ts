/** Who has a file open: found in /proc, as far as this user may look. For messages only. */

/** Programs that have `path` open, e.g. `qemu-system-x86 (pid 7)`. */
export function imageHolders(path: string): string[] {
  try {
    const target = Deno.realPathSync(path);
    const holders: string[] = [];
    for (const { name } of Deno.readDirSync("/proc")) {
      if (/^\d+$/.test(name) && hasOpen(name, target)) {
        const program = Deno.readTextFileSync(`/proc/${name}/comm`).trim();
        const own = Number(name) === Deno.pid ? ", this one" : "";
        holders.push(`${program} (pid ${name}${own})`);
      }
    }
    return holders;
  } catch {
    return [];
  }
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
