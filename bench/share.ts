/**
 * A shared directory in Debian's kernel: hv's on its software CPU against QEMU's `-virtfs` on TCG, with
 * the same kernel, initial RAM file system and mount options, one after the other. The host's clock says
 * when the guest has come to each of its marks. Fetches what it needs with apt-get.
 */

import { initramfs } from "../hv/linux/initramfs.ts";
import { selectModules } from "../hv/linux/kernel_modules.ts";
import { BUSYBOX, fetchPackage, GENERAL_KERNEL } from "../hv/linux/packages.ts";
import { qemu } from "./support/programs.ts";
import { figure, machineLine, showTable } from "./support/report.ts";

const MEMORY = "256M";
/** In memory: what a disk takes for a new file would be most of what is measured. */
const MEMORY_FOLDER = "/dev/shm";
const COMMAND_LINE = "console=ttyS0 mitigations=off no_timer_check random.trust_cpu=on";
/** What is timed, and the commands. */
const WORK: readonly (readonly [what: string, command: string])[] = [
  ["boot and mount", ":"],
  ["write 16 MiB", "dd if=/dev/zero of=/mnt/large bs=256k count=64 2>/dev/null"],
  ["read 16 MiB", "dd if=/mnt/large of=/dev/null bs=256k 2>/dev/null"],
  [
    "make 300 files",
    "mkdir /mnt/d; i=0; while [ $i -lt 300 ]; do echo $i > /mnt/d/$i; i=$((i+1)); done",
  ],
  ["list them with attributes", "ls -l /mnt/d > /dev/null"],
  ["read them", "cat /mnt/d/* > /dev/null"],
  ["remove them", "rm -r /mnt/d /mnt/large"],
];
const MARK = "=mark=";
const INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in virtio_pci 9pnet_virtio 9p; do modprobe $module; done
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 src /mnt
${WORK.map(([, command]) => `${command}; echo ${MARK}`).join("\n")}
poweroff -f
`;

/** Seconds that the guest took to each of its marks from the one before. */
async function run(command: readonly string[]): Promise<number[]> {
  const child = new Deno.Command(command[0], {
    args: command.slice(1),
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  let before = performance.now();
  const seconds: number[] = [];
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of child.stdout) {
    text += decoder.decode(chunk, { stream: true });
    for (let at = text.indexOf(MARK); at >= 0; at = text.indexOf(MARK)) {
      const now = performance.now();
      seconds.push((now - before) / 1000);
      before = now;
      text = text.slice(at + MARK.length);
    }
  }
  await child.status;
  if (seconds.length !== WORK.length) throw new Error(`${command[0]}: ${text.slice(-2000)}`);
  return seconds;
}

/** Measures and shows the table. */
export async function share(): Promise<void> {
  console.log(`## Shared directories\n\n${await machineLine()}\n`);
  const [kernelFolder, busybox] = [await fetchPackage(GENERAL_KERNEL), await fetchPackage(BUSYBOX)];
  const [{ name: release }] = Deno.readDirSync(`${kernelFolder}/lib/modules`);
  const kernel = `${kernelFolder}/boot/vmlinuz-${release}`;
  const modules = selectModules(`${kernelFolder}/lib/modules/${release}`, [
    ...["virtio_pci", "9pnet_virtio", "9p"],
  ]);
  const folder = await Deno.makeTempDir({ dir: MEMORY_FOLDER, prefix: "hv-bench-" });
  try {
    const [initrd, shared] = [`${folder}/initrd`, `${folder}/shared`];
    await Deno.mkdir(shared);
    const program = Deno.readFileSync(`${busybox}/bin/busybox`);
    await Deno.writeFile(
      initrd,
      initramfs({ busybox: program, release, modules, init: INIT, profile: "" }),
    );
    const loaded = ["-kernel", kernel, "-initrd", initrd, "-append", COMMAND_LINE];
    const hv = await run([
      ...[Deno.execPath(), "run", "--allow-all", new URL("../main.ts", import.meta.url).pathname],
      ...["run", "--accel", "soft", "--memory", MEMORY, "--display", "none"],
      ...["--share", `${shared}:src`],
      ...loaded.map((word) => word.replace(/^-(?=kernel|initrd|append)/, "--")),
    ]);
    const other = await qemu("tcg") === undefined ? undefined : await run([
      ...["qemu-system-x86_64", "-M", "pc", "-accel", "tcg", "-m", MEMORY, ...loaded],
      ...["-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot"],
      ...["-virtfs", `local,path=${shared},mount_tag=src,security_model=none`],
    ]);
    showTable([
      ["what", "hv, s", "QEMU TCG, s", "hv / QEMU"],
      ...WORK.map(([what], i) => [
        what,
        figure(hv[i], 2),
        other === undefined ? "-" : figure(other[i], 2),
        other === undefined ? "-" : figure(hv[i] / other[i], 1),
      ]),
    ]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

if (import.meta.main) await share();
