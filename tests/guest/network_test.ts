/** Whole guests on networks: fetching, serving, pinging. */

import assert from "node:assert/strict";
import { Machine } from "../../hv/mod.ts";
import { guestTest, onBoth, PATIENCE_MS, sharedImage } from "../support/guest/guests.ts";
import { LINUX_GUEST, LinuxGuest } from "../support/guest/linux_guest.ts";
import { Scratch } from "../support/hv_process.ts";
import { QemuGuest } from "../support/guest/qemu_guest.ts";
import { serve, sha256, testFile } from "../support/guest/network_data.ts";
import { noTap, TAP } from "../support/guest/tap.ts";

const MIB = 2 ** 20;
const MODULES = ["virtio_pci", "virtio_net"];
const PASST = "/usr/bin/passt";
const QEMU = "/usr/bin/qemu-system-x86_64";
const ELKS = sharedImage("elks-0.7.0.img");
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

guestTest("guests reach the host and the host reaches them", [
  {
    name:
      "Linux fetches from the host over a user network, IPv4 and IPv6, serves by a forward, and sees its cable pulled",
    needs: LINUX_GUEST,
    accelerator: "soft",
    async body() {
      const { data, sha256: expected } = await testFile(2 * MIB);
      await using server = serve(data, "127.0.0.1");
      await using server6 = serve(data, "::1");
      await using guest = await LinuxGuest.start({
        modules: MODULES,
        network: { end: { user: { forwards: ["tcp:0:80"] } } },
      });
      await guest.run("ip link set eth0 up; udhcpc -nq -i eth0");
      assert.match(await guest.run("ip addr show dev eth0"), /inet 10\.0\.2\.15\/24/);
      assert.match(await guest.run("ping -c 2 10.0.2.2"), / 0% packet loss/);
      await guest.run(`wget -q -O /x http://10.0.2.2:${server.port}/`);
      assert.match(await guest.run("sha256sum /x"), new RegExp(expected));
      // The address that it gives itself is another's until nobody has answered.
      await guest.run(
        "until ip addr show dev eth0 | grep fd68:7600 | grep -qv tent; do sleep 1; done",
      );
      await guest.run(`wget -q -O /y http://[fd68:7600::2]:${server6.port}/`);
      await guest.run("cmp /x /y");
      await guest.run("httpd -p 80 -h /");
      const [{ hostPort }] = guest.machine.forwards;
      const fetched = await fetch(`http://127.0.0.1:${hostPort}/x`);
      assert.equal(await sha256(await fetched.bytes()), expected, "from the guest");
      const [cable] = guest.machine.cables;
      const carrier = (is: number) =>
        guest.run(`until [ $(cat /sys/class/net/eth0/carrier) = ${is} ]; do sleep 1; done`);
      await carrier(1);
      cable.unplug();
      await carrier(0);
      cable.plug();
      await carrier(1);
      assert.match(await guest.run("ping -c 2 10.0.2.2"), / 0% packet loss/);
    },
  },
  {
    name: "Linux fetches from the host by passt, and serves by a forward",
    needs: [...LINUX_GUEST, PASST],
    accelerator: "soft",
    async body() {
      const { data, sha256: expected } = await testFile(MIB);
      await using server = serve(data, "127.0.0.1");
      const hostPort = freePort();
      const forwards = [`tcp:${hostPort}:80`];
      await using guest = await LinuxGuest.start({
        modules: MODULES,
        network: { end: { user: { via: "passt", forwards } } },
        onWarning: (line) => assert.fail(line),
      });
      await guest.run("ip link set eth0 up; udhcpc -nq -i eth0");
      assert.match(await guest.run("ip addr show dev eth0"), /inet 10\.0\.2\.15\/24/);
      await guest.run(`wget -q -O /x http://10.0.2.2:${server.port}/`);
      assert.match(await guest.run("sha256sum /x"), new RegExp(expected));
      await guest.run("httpd -p 80 -h /");
      const fetched = await fetch(`http://127.0.0.1:${hostPort}/x`);
      assert.equal(await sha256(await fetched.bytes()), expected, "from the guest");
    },
  },
  {
    name: "a guest of hv and one of QEMU ping each other and copy files over a socket",
    needs: [...LINUX_GUEST, QEMU],
    accelerator: "soft",
    async body() {
      using scratch = new Scratch();
      const socket = `${scratch.path}/net`;
      await using ours = await LinuxGuest.start({
        modules: MODULES,
        network: { end: { socket, listen: true } },
      });
      await using theirs = await QemuGuest.start(scratch, MODULES, [
        ...["-netdev", `stream,id=n,server=off,addr.type=unix,addr.path=${socket}`],
        ...["-device", "virtio-net-pci,netdev=n,romfile="],
      ]);
      await theirs.run("ip addr add 198.18.8.2/24 dev eth0; ip link set eth0 up");
      await ours.run("ip addr add 198.18.8.1/24 dev eth0; ip link set eth0 up");
      assert.match(await ours.run("ping -c 2 198.18.8.2"), / 0% packet loss/);
      assert.match(await theirs.run("ping -c 2 198.18.8.1"), / 0% packet loss/);
      for (const [from, to, address] of [[ours, theirs, 1], [theirs, ours, 2]] as const) {
        await from.run("dd if=/dev/urandom of=/x bs=1M count=1; httpd -p 80 -h /");
        await to.run(`wget -q -O /y http://198.18.8.${address}/x`);
        const [sent] = (await from.run("sha256sum /x | tail -n 1")).split(" ");
        assert.match(sent, /^[0-9a-f]{64}$/);
        assert.match(await to.run("sha256sum /y"), new RegExp(sent));
      }
    },
  },
  {
    name: "Linux with two processors fetches from the host over a TAP interface",
    needs: LINUX_GUEST,
    accelerator: "soft",
    skip: noTap === "" ? undefined : noTap,
    async body() {
      const { data, sha256: expected } = await testFile(2 * MIB);
      const [host, inside] = [1, 2].map((end) => TAP.address(end).join("."));
      await using guest = await LinuxGuest.start({
        modules: MODULES,
        network: { end: { tap: TAP.name } },
        cpus: 2,
      });
      await ip("addr", "add", `${host}/30`, "dev", TAP.name);
      await ip("link", "set", TAP.name, "up");
      await using server = serve(data, host);
      await guest.run(`ip addr add ${inside}/30 dev eth0; ip link set eth0 up`);
      assert.match(await guest.run(`ping -c 2 ${host}`), / 0% packet loss/);
      await guest.run(`wget -q -O /x http://${host}:${server.port}/`);
      assert.match(await guest.run("sha256sum /x"), new RegExp(expected));
      await guest.run("httpd -p 80 -h /");
      const fetched = await fetch(`http://${inside}/x`);
      assert.equal(await sha256(await fetched.bytes()), expected, "from the guest");
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
  ...onBoth({
    name: "ELKS, a 16-bit Unix, fetches a page and serves one over an NE2000 on the ISA bus",
    needs: [ELKS],
    async body({ accelerator, cpus }) {
      const page = Array.from({ length: 300 }, (_, i) => `line ${i} of the page\n`).join("");
      await using server = serve(new TextEncoder().encode(page), "127.0.0.1");
      await using m = await Machine.start({
        floppy: { path: ELKS, overlay: true },
        memory: "64M",
        accelerator,
        cpus,
        // Where ELKS looks for one.
        network: { end: { user: { forwards: ["tcp:0:80"] } }, model: "ne2k_isa", irq: 12 },
      });
      const timeoutMs = PATIENCE_MS;
      await m.screen.waitFor(/eth: ne0 at 0x300, irq 12, \(ne2k\) MAC 52:54:00:[^]*login:/, {
        timeoutMs,
      });
      await m.keyboard.type("root\n", { timeoutMs });
      await m.screen.waitFor(/login: root\n[^]*#$/, { timeoutMs });
      await m.keyboard.type("net start ne0\n", { timeoutMs });
      await m.screen.waitFor(/Starting daemons [^]*#$/, { timeoutMs });
      await m.keyboard.type(`clear; urlget http://10.0.2.2:${server.port}/ > /tmp/x; wc /tmp/x\n`, {
        timeoutMs,
      });
      const counts = new RegExp(`300 +1500 +${page.length} /tmp/x\n#$`);
      await m.screen.waitFor(counts, { timeoutMs });
      await m.keyboard.type("clear; tail -1 /tmp/x; httpd\n", { timeoutMs });
      await m.screen.waitFor(/line 299 of the page\n[^]*#$/, { timeoutMs });
      const { hostPort } = m.forwards[0];
      const answer = await fetch(`http://127.0.0.1:${hostPort}/index.html`);
      assert.match(await answer.text(), /Welcome to ELKS[^]*It worked!!/);
    },
  }),
]);
