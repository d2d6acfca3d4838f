/** The root file system of the Linux that hv offers to try: busybox, the modules of its devices, a shell. */

import { cpioArchive, type CpioEntry } from "../boot/cpio.ts";
import { type KernelModule, modulesAlias, modulesDep } from "./kernel_modules.ts";

/** What `udhcpc` calls: sets address, way out and name servers, as far as they were given. */
const DHCP = `#!/bin/busybox sh
case $1 in
bound | renew)
  ip -4 addr flush dev $interface
  ip addr add $ip/\${mask:-24} dev $interface
  [ "$router" ] && ip route add default via \${router%% *} dev $interface
  for server in $dns; do echo nameserver $server; done > /etc/resolv.conf
  ;;
esac
`;

/** What it is built of. */
export interface InitramfsParts {
  /** The program. */
  readonly busybox: Uint8Array;
  /** The kernel's release: the name of its folder of modules. */
  readonly release: string;
  /** Each after those that it needs. */
  readonly modules: readonly KernelModule[];
  /** The first program, a script for `/bin/busybox sh`. */
  readonly init: string;
  /** What every interactive shell reads first. */
  readonly profile: string;
}

/** The archive, uncompressed: unpacking costs the guest more than reading. */
export function initramfs(
  { busybox, release, modules, init, profile }: InitramfsParts,
): Uint8Array {
  const moduleFolder = `lib/modules/${release}`;
  const files: CpioEntry[] = [
    { name: "dev/console", kind: "character device", permissions: 0o600, device: [5, 1] },
    { name: "bin/busybox", kind: "file", data: busybox },
    { name: "init", kind: "file", data: init },
    ...modules.map(({ path, data }): CpioEntry => ({
      name: `${moduleFolder}/${path}`,
      kind: "file",
      permissions: 0o644,
      data,
    })),
    text(`${moduleFolder}/modules.dep`, modulesDep(modules)),
    text(`${moduleFolder}/modules.alias`, modulesAlias(modules)),
    text("etc/profile", profile),
    // Where Debian's busybox looks for it.
    { name: "etc/udhcpc/default.script", kind: "file", data: DHCP },
    text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
    text("etc/group", "root:x:0:\n"),
  ];
  const empty = ["proc", "sys", "tmp", "root", "mnt", "dev", "run"];
  return cpioArchive([
    ...folders([...files.map(({ name }) => name), ...empty.map((f) => `${f}/`)]),
    ...files,
  ]);
}

const text = (name: string, data: string): CpioEntry => ({
  name,
  kind: "file",
  permissions: 0o644,
  data,
});

/** Every folder that the names are in, the outer ones first. */
function folders(names: readonly string[]): CpioEntry[] {
  const found = new Set<string>();
  for (const name of names) {
    for (let at = name.indexOf("/"); at > 0; at = name.indexOf("/", at + 1)) {
      found.add(name.slice(0, at));
    }
  }
  return [...found].sort().map((name) => ({ name, kind: "folder" }));
}
