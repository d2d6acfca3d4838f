/**
 * Fetches the guests that tests boot but that this repository does not carry: Debian packages, by
 * name, unpacked without root into the cache that `hv boot` uses. What is already there stays. Tests
 * that miss a guest are skipped and say so.
 *
 *     deno run -A tests/fetch_guests.ts
 */

import {
  BUSYBOX,
  fetchPackage,
  GENERAL_KERNEL,
  KERNEL,
  packageFolder,
} from "../hv/linux/packages.ts";
import { INSTALLER, ISOLINUX, SYSLINUX } from "./support/guest/guest_cache.ts";

for (const one of [KERNEL, GENERAL_KERNEL, BUSYBOX, ISOLINUX, SYSLINUX, INSTALLER]) {
  await fetchPackage(one);
  console.log(`${one.name}: ${packageFolder(one)}`);
}
