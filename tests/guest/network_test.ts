/** Whole guests on networks: fetching, serving, pinging. */

import assert from "node:assert/strict";
import { Machine, type NetworkOptions } from "../../hv/mod.ts";
import { absent, guestTest, inTurn, PATIENCE_MS } from "../support/guest/guests.ts";
import { LINUX_GUEST, LinuxGuest } from "../support/guest/linux_guest.ts";
import { Scratch } from "../support/hv_process.ts";
import { QemuGuest } from "../support/guest/qemu_guest.ts";
import { serve, sha256, testFile } from "../support/guest/network_data.ts";
import { noTap, TAP } from "../support/guest/tap.ts";

const MIB = 2 ** 20;
const MODULES = ["virtio_pci", "virtio_net"];
const PASST = "/usr/bin/passt";
const QEMU = "/usr/bin/qemu-system-x86_64";
const IPXE = "/usr/lib/ipxe/ipxe.lkrn";

/** The first of the ports that Linux gives to whoever wants any (ip_local_port_range). */
const FIRST_OF_ANY = 32_768;

/** A port that nobody uses, and that nobody is given before it is used. */
function freePort(): number {
  for (let port = 10_000 + Deno.pid % 20_000; port < FIRST_OF_ANY; port++) {
    try {
      Deno.listen({ hostname: "127.0.0.1", port }).close();
      return port;
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
  throw new Error("every port is in use");
}

async function ip(...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command("ip", { args }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
}

/** Leaves a card as if it had not been used: the next has the same addresses, and serves on the same port. */
async function putAway(guest: LinuxGuest, eth: string): Promise<void> {
  await guest.run(`killall httpd; ip link set ${eth} down; ip addr flush dev ${eth}; rm -f /x /y`);
}

/** A user network: IPv4 and IPv6 to the host, a forward from there, and the cable. */
async function byUserNetwork(guest: LinuxGuest, eth: string): Promise<void> {
  const { data, sha256: expected } = await testFile(2 * MIB);
  await using server = serve(data, "127.0.0.1");
  await using server6 = serve(data, "::1");
  await guest.run(`ip link set ${eth} up; udhcpc -nq -i ${eth}`);
  assert.match(await guest.run(`ip addr show dev ${eth}`), /inet 10\.0\.2\.15\/24/);
  assert.match(await guest.run("ping -c 2 10.0.2.2"), / 0% packet loss/);
  await guest.run(`wget -q -O /x http://10.0.2.2:${server.port}/`);
  assert.match(await guest.run("sha256sum /x"), new RegExp(expected));
  // The address that it gives itself is another's until nobody has answered.
  await guest.run(
    `until ip addr show dev ${eth} | grep fd68:7600 | grep -qv tent; do sleep 1; done`,
  );
  await guest.run(`wget -q -O /y http://[fd68:7600::2]:${server6.port}/`);
  await guest.run("cmp /x /y");
  await guest.run("httpd -p 80 -h /");
  const [{ hostPort }] = guest.machine.forwards;
  const fetched = await fetch(`http://127.0.0.1:${hostPort}/x`);
  assert.equal(await sha256(await fetched.bytes()), expected, "from the guest");
  const [cable] = guest.machine.cables;
  const carrier = (is: number) =>
    guest.run(`until [ $(cat /sys/class/net/${eth}/carrier) = ${is} ]; do sleep 1; done`);
  await carrier(1);
  cable.unplug();
  await carrier(0);
  cable.plug();
  await carrier(1);
  assert.match(await guest.run("ping -c 2 10.0.2.2"), / 0% packet loss/);
}

/** passt, which forwards `hostPort`. */
async function byPasst(guest: LinuxGuest, eth: string, hostPort: number): Promise<void> {
  const { data, sha256: expected } = await testFile(MIB);
  await using server = serve(data, "127.0.0.1");
  await guest.run(`ip link set ${eth} up; udhcpc -nq -i ${eth}`);
  assert.match(await guest.run(`ip addr show dev ${eth}`), /inet 10\.0\.2\.15\/24/);
  await guest.run(`wget -q -O /x http://10.0.2.2:${server.port}/`);
  assert.match(await guest.run("sha256sum /x"), new RegExp(expected));
  await guest.run("httpd -p 80 -h /");
  const fetched = await fetch(`http://127.0.0.1:${hostPort}/x`);
  assert.equal(await sha256(await fetched.bytes()), expected, "from the guest");
}

/** A guest of QEMU's, which is connected to what listens at `socket`. */
async function withQemu(
  guest: LinuxGuest,
  eth: string,
  scratch: Scratch,
  socket: string,
): Promise<void> {
  await using theirs = await QemuGuest.start(scratch, MODULES, [
    ...["-netdev", `stream,id=n,server=off,addr.type=unix,addr.path=${socket}`],
    ...["-device", "virtio-net-pci,netdev=n,romfile="],
  ]);
  await theirs.run("ip addr add 198.18.8.2/24 dev eth0; ip link set eth0 up");
  await guest.run(`ip addr add 198.18.8.1/24 dev ${eth}; ip link set ${eth} up`);
  assert.match(await guest.run("ping -c 2 198.18.8.2"), / 0% packet loss/);
  assert.match(await theirs.run("ping -c 2 198.18.8.1"), / 0% packet loss/);
  for (const [from, to, address] of [[guest, theirs, 1], [theirs, guest, 2]] as const) {
    await from.run("dd if=/dev/urandom of=/x bs=1M count=1; httpd -p 80 -h /");
    await to.run(`wget -q -O /y http://198.18.8.${address}/x`);
    const [sent] = (await from.run("sha256sum /x | tail -n 1")).split(" ");
    assert.match(sent, /^[0-9a-f]{64}$/);
    assert.match(await to.run("sha256sum /y"), new RegExp(sent));
  }
}

/** A TAP interface of the host's. */
async function byTap(guest: LinuxGuest, eth: string): Promise<void> {
  const { data, sha256: expected } = await testFile(2 * MIB);
  const [host, inside] = [1, 2].map((end) => TAP.address(end).join("."));
  await ip("addr", "add", `${host}/30`, "dev", TAP.name);
  await ip("link", "set", TAP.name, "up");
  await using server = serve(data, host);
  await guest.run(`ip addr add ${inside}/30 dev ${eth}; ip link set ${eth} up`);
  assert.match(await guest.run(`ping -c 2 ${host}`), / 0% packet loss/);
  await guest.run(`wget -q -O /x http://${host}:${server.port}/`);
  assert.match(await guest.run("sha256sum /x"), new RegExp(expected));
  await guest.run("httpd -p 80 -h /");
  const fetched = await fetch(`http://${inside}/x`);
  assert.equal(await sha256(await fetched.bytes()), expected, "from the guest");
}

guestTest("guests reach the host and the host reaches them", [
  {
    name: "Linux with two processors and four network cards",
    needs: LINUX_GUEST,
    accelerator: "soft",
    async body(t) {
      using scratch = new Scratch();
      const socket = `${scratch.path}/net`;
      const hostPort = freePort();
      const noPasst = absent(PASST);
      const noQemu = absent(QEMU);
      // Where there is no passt or TAP, a second user network keeps the others' names.
      const instead = { user: {} };
      const ends: NetworkOptions["end"][] = [
        { user: { forwards: ["tcp:0:80"] } },
        noPasst === "" ? { user: { via: "passt", forwards: [`tcp:${hostPort}:80`] } } : instead,
        { socket, listen: true },
        noTap === "" ? { tap: TAP.name } : instead,
      ];
      await using guest = await LinuxGuest.start({
        modules: MODULES,
        cpus: 2,
        network: ends.map((end, i) => ({ end, mac: `52:54:00:00:01:0${i}` })),
        onWarning: (line) => {
          // QEMU's guest leaves; of the other networks there is nothing to be said.
          if (!line.includes(socket)) assert.fail(line);
        },
      });
      const on = (eth: string, body: () => Promise<void>) => async () => {
        await body();
        await putAway(guest, eth);
      };
      await inTurn(t, {
        "fetches from the host over a user network, IPv4 and IPv6, serves by a forward, and sees its cable pulled":
          on("eth0", () => byUserNetwork(guest, "eth0")),
        "fetches from the host by passt, and serves by a forward": noPasst ||
          on("eth1", () => byPasst(guest, "eth1", hostPort)),
        "pings a guest of QEMU's, which pings back, and both copy files over a socket": noQemu ||
          on("eth2", () => withQemu(guest, "eth2", scratch, socket)),
        "fetches from the host over a TAP interface, and serves it": noTap ||
          on("eth3", () => byTap(guest, "eth3")),
      });
    },
  },
  ...([["e1000", "82540em"], ["ne2k_pci", "rtl8029"], ["virtio", "virtio-net"]] as const).map((
    [model, chip],
  ) => ({
    name: `iPXE's own driver gets an address and a file over ${model}`,
    needs: [IPXE],
    accelerator: "soft" as const,
    async body() {
      const { data } = await testFile(MIB / 2);
      await using server = serve(data, "127.0.0.1");
      const url = `http://10.0.2.2:${server.port}/blob`;
      await using m = await Machine.start({
        kernel: IPXE,
        append: "dhcp && echo address ${net0/ip} && " +
          `imgfetch --name blob ${url} && imgstat && echo chip \${net0/chip} && sleep 1000`,
        memory: "64M",
        accelerator: "soft",
        network: { end: "user", model },
      });
      await m.screen.waitFor(new RegExp(`chip ${chip}`), { timeoutMs: PATIENCE_MS });
      assert.match(m.screen.text(), /address 10\.0\.2\.15/);
      assert.match(m.screen.text(), new RegExp(`blob : ${data.length} bytes`));
    },
  })),
]);
