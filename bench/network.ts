/**
 * A guest's network: Debian's kernel with busybox on the software CPU, over each of hv's host ends, against
 * the same kernel and programs in QEMU's TCG over its own. Fetched and served is one file by HTTP, a
 * process of the host's at the other end; the figures are for the whole command in the guest. Needs the
 * packages that `hv boot` fetches; TAP interfaces need root.
 */

import { closeDescriptor } from "../hv/sys/descriptor.ts";
import { openTap } from "../hv/sys/net/tap.ts";
import type { NetworkOptions } from "../hv/mod.ts";
import { Scratch } from "../tests/support/hv_process.ts";
import { LinuxGuest } from "../tests/support/guest/linux_guest.ts";
import { serve, testFile } from "../tests/support/guest/network_data.ts";
import { QemuGuest } from "../tests/support/guest/qemu_guest.ts";
import { figure, machineLine, showTable } from "./support/report.ts";

const MIB = Number(Deno.env.get("MIB") ?? 100);
const MODULES = ["virtio_pci", "virtio_net"];
const USER = "ip link set eth0 up; udhcpc -nq -i eth0";
const TAP = "ip addr add 198.18.9.2/24 dev eth0; ip link set eth0 up";

/** A guest that runs commands. */
interface Guest extends AsyncDisposable {
  run(command: string): Promise<string>;
}

/** A way to have one, and how the two reach each other. */
interface Setup {
  readonly name: string;
  start(scratch: Scratch): Promise<Guest>;
  readonly configure: string;
  /** The host as the guest sees it. */
  readonly host: string;
  /** The guest's server as the host sees it. */
  readonly server: string;
  /** Where the host's server listens. */
  readonly listen: string;
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

const start = (network: NetworkOptions) => () =>
  LinuxGuest.start({ modules: MODULES, memory: "512M", network });

function setups(): Setup[] {
  const [builtin, passt, slirp] = [freePort(), freePort(), freePort()];
  const user = { configure: USER, host: "10.0.2.2", listen: "127.0.0.1" };
  const tap = { configure: TAP, host: "198.18.9.1", server: "198.18.9.2", listen: "198.18.9.1" };
  const forwarded = (port: number) => ({ forwards: [`tcp:${port}:80`] });
  const list: Setup[] = [
    {
      ...user,
      name: "hv, user",
      server: `127.0.0.1:${builtin}`,
      start: start({ end: { user: forwarded(builtin) } }),
    },
    {
      ...user,
      name: "hv, user by passt",
      server: `127.0.0.1:${passt}`,
      start: start({ end: { user: { ...forwarded(passt), via: "passt" } } }),
    },
    {
      ...user,
      name: "QEMU, user (slirp)",
      server: `127.0.0.1:${slirp}`,
      start: (scratch) =>
        QemuGuest.start(scratch, MODULES, [
          ...["-netdev", `user,id=n,hostfwd=tcp:127.0.0.1:${slirp}-:80`],
          ...["-device", "virtio-net-pci,netdev=n,romfile="],
        ]),
    },
    { ...tap, name: "hv, tap", start: start({ end: { tap: "hvbench0" } }) },
    {
      ...tap,
      name: "QEMU, tap",
      start: (scratch) =>
        QemuGuest.start(scratch, MODULES, [
          ...["-netdev", "tap,id=n,ifname=hvbench0,script=no,downscript=no,vhost=off"],
          ...["-device", "virtio-net-pci,netdev=n,romfile="],
        ]),
    },
  ];
  try {
    closeDescriptor(openTap("hvbench0"));
    return list;
  } catch (error) {
    console.log(`without TAP interfaces: ${(error as Error).message}\n`);
    return list.filter(({ name }) => !name.endsWith("tap"));
  }
}

async function configureTap(): Promise<void> {
  for (const words of ["addr add 198.18.9.1/24 dev hvbench0", "link set hvbench0 up"]) {
    await new Deno.Command("ip", { args: words.split(" ") }).output();
  }
}

async function measure(setup: Setup): Promise<string[]> {
  using scratch = new Scratch();
  await using guest = await setup.start(scratch);
  if (setup.name.endsWith("tap")) await configureTap();
  await guest.run(setup.configure);
  const { data, sha256 } = await testFile(MIB << 20);
  await using server = serve(data, setup.listen);
  const seconds = async (work: () => Promise<unknown>) => {
    const startMs = performance.now();
    await work();
    return (performance.now() - startMs) / 1000;
  };
  const url = `http://${setup.host}:${server.port}/`;
  await guest.run(`wget -q -O /dev/null ${url}`);
  const fetched = await seconds(() => guest.run(`wget -q -O /dev/null ${url}`));
  await guest.run(`wget -q -O /x ${url}; httpd -p 80 -h /`);
  const served = await seconds(async () => {
    const bytes = await (await fetch(`http://${setup.server}/x`)).bytes();
    const digest = await crypto.subtle.digest("SHA-256", bytes);
    if (new Uint8Array(digest).toHex() !== sha256) throw new Error(`${setup.name}: it differs`);
  });
  const ping = await guest.run(`ping -c 50 -i 0.1 ${setup.host} || true`);
  // passt answers pings only where the host lets it send some.
  const average = /= [\d.]+\/([\d.]+)\//.exec(ping)?.[1];
  return [setup.name, figure(MIB / fetched, 1), figure(MIB / served, 1), average ?? "none"];
}

/** Measures and shows the table. */
export async function network(): Promise<void> {
  console.log(`## Network of Linux guests\n\n${await machineLine()}; ${MIB} MiB\n`);
  const rows: string[][] = [];
  for (const setup of setups()) rows.push(await measure(setup));
  showTable([["network", "fetched, MiB/s", "served, MiB/s", "ping, ms"], ...rows]);
}

if (import.meta.main) await network();
