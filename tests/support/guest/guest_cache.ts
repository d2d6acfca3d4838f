/** Guests from Debian's packages, which tests/fetch_guests.ts fetches, and how tests find them. */

import { KERNEL, type Package, packageFolder } from "../../../hv/linux/packages.ts";

/** ISOLINUX's loader. */
export const ISOLINUX: Package = { folder: "isolinux", name: "isolinux" };
/** SYSLINUX's modules, and memdisk. */
export const SYSLINUX: Package = { folder: "syslinux-common", name: "syslinux-common" };

/** The kernel and initial RAM file system that Debian 12's installer is started with from a network. */
export const INSTALLER: Package = {
  folder: "debian-installer-12-netboot-amd64",
  name: "debian-installer-12-netboot-amd64",
};

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

/** Debian's kernel for virtual machines, or another, or undefined when it has not been fetched. */
export const debianKernel = (kernel: Package = KERNEL): string | undefined =>
  findFile(`${packageFolder(kernel)}/boot`, "vmlinuz-");
