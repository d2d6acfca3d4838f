/** Where tests/fetch_guests.ts puts guests, and how tests find them. */

/** The cache's folder. */
export function guestCache(): string {
  const base = Deno.env.get("XDG_CACHE_HOME") || `${Deno.env.get("HOME")}/.cache`;
  return `${base}/hv-tests`;
}

/** The first file in `folder` whose name begins with `prefix`, or undefined. */
export function findFile(folder: string, prefix: string): string | undefined {
  try {
    const names = [...Deno.readDirSync(folder)].map((entry) => entry.name);
    const name = names.filter((name) => name.startsWith(prefix)).sort()[0];
    return name === undefined ? undefined : `${folder}/${name}`;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Debian's kernel for virtual machines, or undefined when it has not been fetched. */
export const debianKernel = (): string | undefined =>
  findFile(`${guestCache()}/linux-cloud-amd64/boot`, "vmlinuz-");
