/**
 * Debian's kernel with busybox, loaded directly, from the start of the process to the guest's power-off:
 * hv's software CPU against QEMU's TCG, in turn, with the same kernel, initial RAM file system and
 * command line. Needs the packages that `hv boot` fetches.
 */

import { initramfs } from "../hv/linux/initramfs.ts";
import { BUSYBOX, fetchPackage, KERNEL } from "../hv/linux/packages.ts";
import { figure, machineLine, showTable } from "./support/report.ts";
import { type Measured, median, medianRatio, timeInTurn } from "./support/measure.ts";
import { qemu } from "./support/programs.ts";

const ROUNDS = Number(Deno.env.get("ROUNDS") ?? 5);
const MEMORY = "256M";
const COMMAND_LINE = "console=ttyS0";
const INIT = `#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox ps
/bin/busybox poweroff -f
`;

/** Measures and shows the table. */
export async function linuxBoot(): Promise<void> {
  console.log(`## Linux to power-off\n\n${await machineLine()}; ${ROUNDS} rounds\n`);
  const [kernelFolder, busybox] = [await fetchPackage(KERNEL), await fetchPackage(BUSYBOX)];
  const [{ name: release }] = Deno.readDirSync(`${kernelFolder}/lib/modules`);
  const kernel = `${kernelFolder}/boot/vmlinuz-${release}`;
  const initrd = await Deno.makeTempFile({ prefix: "hv-bench-" });
  try {
    const parts = { release, modules: [], init: INIT, profile: "" };
    await Deno.writeFile(
      initrd,
      initramfs({ ...parts, busybox: Deno.readFileSync(`${busybox}/bin/busybox`) }),
    );
    const loaded = ["-kernel", kernel, "-initrd", initrd, "-append", COMMAND_LINE];
    const hv = [
      ...[Deno.execPath(), "run", "--allow-all", new URL("../main.ts", import.meta.url).pathname],
      ...["run", "--accel", "soft", "--memory", MEMORY, "--display", "none"],
      ...loaded.map((word) => word.replace(/^-(?=kernel|initrd|append)/, "--")),
    ];
    const measured: Measured[] = [{ name: "hv --accel soft", command: hv, status: 0 }];
    if (await qemu("tcg") !== undefined) {
      const command = ["qemu-system-x86_64", "-M", "pc", "-accel", "tcg", "-m", MEMORY, ...loaded];
      const ends = ["-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot"];
      measured.push({ name: "QEMU TCG", command: [...command, ...ends], status: 0 });
    }
    const times = await timeInTurn(measured, ROUNDS);
    const walls = times.map((list) => list.map(({ wallMs }) => wallMs));
    showTable([
      ["program", "wall, s", "least, s", "processor time, s", "hv / this"],
      ...measured.map(({ name }, i) => [
        name,
        figure(median(walls[i]) / 1000, 1),
        figure(Math.min(...walls[i]) / 1000, 1),
        figure(median(times[i].map(({ cpuMs }) => cpuMs)) / 1000, 1),
        figure(medianRatio(walls[0], walls[i]), 2),
      ]),
    ]);
  } finally {
    await Deno.remove(initrd);
  }
}

if (import.meta.main) await linuxBoot();
