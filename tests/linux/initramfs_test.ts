/** The root file system of the Linux to try, and its kernel modules. */

import assert from "node:assert/strict";
import { initramfs } from "../../hv/linux/initramfs.ts";
import {
  moduleInfo,
  modulesAlias,
  modulesDep,
  selectModules,
} from "../../hv/linux/kernel_modules.ts";

/** A folder of modules, each with what its `.modinfo` says. */
function moduleFolder(modules: Record<string, string[]>): string {
  const folder = Deno.makeTempDirSync({ prefix: "hv-test-" });
  for (const [path, info] of Object.entries(modules)) {
    Deno.mkdirSync(`${folder}/kernel/${path.slice(0, path.lastIndexOf("/"))}`, { recursive: true });
    Deno.writeTextFileSync(`${folder}/kernel/${path}`, `ELF\0${info.join("\0")}\0`);
  }
  return folder;
}

Deno.test("a module's file says what it needs and what it drives (.modinfo)", () => {
  const data = new TextEncoder().encode(
    "x\0depends=virtio_ring,virtio-core\0alias=virtio:d00000001v*\0alias=net-b\0name=n\0",
  );
  assert.deepEqual(moduleInfo(data), {
    depends: ["virtio_ring", "virtio_core"],
    aliases: ["virtio:d00000001v*", "net-b"],
  });
});

Deno.test("what a module needs comes before it, each once; what is not there is left out", () => {
  const folder = moduleFolder({
    "net/card.ko": ["depends=ring,core", "alias=pci:1"],
    "lib/ring.ko": ["depends=core", "alias=ring-x"],
    "lib/core.ko": ["depends="],
    "lib/other.ko": ["depends="],
  });
  try {
    const modules = selectModules(folder, ["card", "ring", "missing"]);
    assert.deepEqual(modules.map(({ name }) => name), ["core", "ring", "card"]);
    assert.equal(
      modulesDep(modules),
      "kernel/lib/core.ko:\n" +
        "kernel/lib/ring.ko: kernel/lib/core.ko\n" +
        "kernel/net/card.ko: kernel/lib/ring.ko kernel/lib/core.ko\n",
    );
    assert.equal(modulesAlias(modules), "alias ring-x ring\nalias pci:1 card\n");
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("a module that needs another of those beside it comes before that one (virtio, virtio_ring)", () => {
  const folder = moduleFolder({
    "a/virtio_ring.ko": ["depends="],
    "a/virtio.ko": ["depends=virtio_ring"],
    "a/virtio_pci.ko": ["depends=virtio_ring,virtio"],
  });
  try {
    // modprobe loads from the end: the ring, then what needs it.
    assert.match(
      modulesDep(selectModules(folder, ["virtio_pci"])),
      /virtio_pci\.ko: kernel\/a\/virtio\.ko kernel\/a\/virtio_ring\.ko\n/,
    );
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("modules that need each other end, as hostile ones might be", () => {
  const folder = moduleFolder({ "a/a.ko": ["depends=b"], "a/b.ko": ["depends=a"] });
  try {
    const modules = selectModules(folder, ["a"]);
    assert.deepEqual(modules.map(({ name }) => name), ["b", "a"]);
    assert.match(modulesDep(modules), /^kernel\/a\/b\.ko: /);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("folders stand before what is in them", () => {
  const archive = new TextDecoder("latin1").decode(initramfs({
    busybox: new Uint8Array(10),
    release: "6.1.0",
    modules: [{
      name: "m",
      path: "kernel/m.ko",
      data: new Uint8Array(1),
      depends: [],
      aliases: [],
    }],
    init: "#!/bin/busybox sh\n",
    profile: "",
  }));
  const places = ["lib", "lib/modules", "lib/modules/6.1.0", "lib/modules/6.1.0/kernel/m.ko"]
    .map((name) => archive.indexOf(`${name}\0`));
  assert.deepEqual(places, [...places].sort((a, b) => a - b));
  assert.ok(places[0] > 0);
});
