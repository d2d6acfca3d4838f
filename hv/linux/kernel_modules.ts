/**
 * Kernel modules for an initial RAM file system: which of a kernel's package are needed, and the file
 * by which `modprobe` finds what each one needs first.
 *
 * References: modules.dep(5); the section `.modinfo` of a module holds `depends=` and `alias=` strings
 * that end in zero bytes (Linux include/linux/moduleparam.h).
 */

/** A module of a kernel's package. */
export interface KernelModule {
  /** As `modprobe` calls it: `virtio_net`. */
  readonly name: string;
  /** From the folder of the kernel's modules: `kernel/drivers/net/virtio_net.ko`. */
  readonly path: string;
  readonly data: Uint8Array;
  /** Names of modules that it needs. */
  readonly depends: readonly string[];
  /** Patterns of devices that it drives. */
  readonly aliases: readonly string[];
}

/** What a module's file says of itself. */
export function moduleInfo(data: Uint8Array): Pick<KernelModule, "depends" | "aliases"> {
  const text = new TextDecoder("latin1").decode(data);
  const all = (key: string) =>
    [...text.matchAll(new RegExp(`\0${key}=([^\0]*)`, "g"))].map(([, value]) => value);
  const depends = (all("depends")[0] ?? "").split(",").filter((name) => name !== "");
  return { depends: depends.map(moduleName), aliases: all("alias") };
}

/** Dashes and underscores are the same to the kernel. */
const moduleName = (name: string): string => name.replaceAll("-", "_");

/**
 * The modules named, as far as the package has them, with all that they need: each after those.
 *
 * @param folder The kernel's modules, with `kernel/` in it.
 */
export function selectModules(folder: string, wanted: readonly string[]): KernelModule[] {
  const paths = new Map(
    [...modulePaths(folder, "kernel")].map((path) => [
      moduleName(path.slice(path.lastIndexOf("/") + 1).replace(/\.ko$/, "")),
      path,
    ]),
  );
  const chosen = new Map<string, KernelModule>();
  const add = (name: string, above: readonly string[]) => {
    const path = paths.get(name);
    if (path === undefined || chosen.has(name) || above.includes(name)) return;
    const data = Deno.readFileSync(`${folder}/${path}`);
    const info = moduleInfo(data);
    for (const needed of info.depends) add(needed, [...above, name]);
    chosen.set(name, { name, path, data, ...info });
  };
  for (const name of wanted) add(moduleName(name), []);
  return [...chosen.values()];
}

function* modulePaths(folder: string, path: string): Generator<string> {
  for (const entry of Deno.readDirSync(`${folder}/${path}`)) {
    const inner = `${path}/${entry.name}`;
    if (entry.isDirectory) yield* modulePaths(folder, inner);
    else if (entry.name.endsWith(".ko")) yield inner;
  }
}

/**
 * `modules.dep` of the modules: every one with all that it needs, each before what it needs itself, for
 * `modprobe` loads from the end.
 */
export function modulesDep(modules: readonly KernelModule[]): string {
  const byName = new Map(modules.map((module) => [module.name, module]));
  const collect = (module: KernelModule, seen: Set<KernelModule>, found: string[]): string[] => {
    seen.add(module);
    for (const name of module.depends) {
      const other = byName.get(name);
      if (other === undefined || seen.has(other)) continue;
      collect(other, seen, found).push(other.path);
    }
    return found;
  };
  return modules.map((module) => {
    const needed = collect(module, new Set(), []).reverse();
    return `${module.path}:${needed.map((path) => ` ${path}`).join("")}\n`;
  }).join("");
}

/** `modules.alias` of the modules. */
export const modulesAlias = (modules: readonly KernelModule[]): string =>
  modules.flatMap(({ name, aliases }) => aliases.map((alias) => `alias ${alias} ${name}\n`)).join(
    "",
  );
