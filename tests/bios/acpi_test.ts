import assert from "node:assert/strict";
import {
  ACPI_RSDP_FILE,
  ACPI_TABLES_FILE,
  buildAcpi,
  loaderScript,
  placeAcpi,
} from "../../bios/tables/acpi/acpi.ts";
import type { BoardDescription } from "../../bios/tables/board_description.ts";
import { describeBoard } from "../../hv/pc/firmware/firmware_tables.ts";

const MIB = 1 << 20;
const ADDRESS = 0x07fe_0000;
const board = describeBoard({ cpus: 2, lowRamBytes: 128 * MIB, highRamBytes: 0, serialPorts: 2 });
/** Everything that can be described. */
const full: BoardDescription = {
  ...describeBoard({
    cpus: 200,
    lowRamBytes: 3072 * MIB,
    highRamBytes: 1024 * MIB,
    virtioWindows: 24,
  }),
  hpetAddress: 0xfed0_0000,
  pciHole64: { base: 2 ** 34, length: 2 ** 34 },
};

const sum = (bytes: Uint8Array) => bytes.reduce((total, byte) => (total + byte) & 0xff, 0);

/** The placed tables by signature, found as an operating system does, by the root pointer. */
function walk(description: BoardDescription, xsdt: boolean) {
  const { tables, rsdp } = placeAcpi(buildAcpi(description), ADDRESS);
  const memory = new DataView(tables.buffer);
  const at = (address: number) => {
    const offset = address - ADDRESS;
    assert.ok(offset >= 0 && offset + 8 <= tables.length, `pointer to ${address.toString(16)}h`);
    const length = memory.getUint32(offset + 4, true);
    return tables.subarray(offset, offset + length);
  };
  const view = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const signature = (bytes: Uint8Array) => String.fromCharCode(...bytes.subarray(0, 4));
  const pointers = view(rsdp);
  const root = xsdt
    ? at(Number(pointers.getBigUint64(24, true)))
    : at(pointers.getUint32(16, true));
  const found = new Map([[signature(root), root]]);
  const size = xsdt ? 8 : 4;
  for (let offset = 36; offset < root.length; offset += size) {
    const entry = view(root);
    const target = xsdt ? Number(entry.getBigUint64(offset, true)) : entry.getUint32(offset, true);
    found.set(signature(at(target)), at(target));
  }
  const fadt = view(found.get("FACP")!);
  found.set("DSDT", at(fadt.getUint32(40, true)));
  found.set("FACS", at(fadt.getUint32(36, true)));
  assert.equal(fadt.getBigUint64(140, true), BigInt(fadt.getUint32(40, true)), "X_DSDT");
  return { rsdp, found, fadt };
}

Deno.test("ACPI: from the root pointer, RSDT and XSDT lead to the same tables (ACPI 6.4, 5.2.5-5.2.8)", () => {
  for (const description of [board, full]) {
    const old = walk(description, false).found;
    const recent = walk(description, true).found;
    const names = (found: Map<string, Uint8Array>) => [...found.keys()].slice(1);
    assert.deepEqual(names(old), names(recent));
    const hpet = description.hpetAddress === undefined ? [] : ["HPET"];
    assert.deepEqual(names(old), ["FACP", "APIC", ...hpet, "DSDT", "FACS"]);
  }
});

Deno.test("ACPI: every checksum is right, at any address (ACPI 6.4, 5.2.6)", () => {
  const { rsdp, found } = walk(full, true);
  assert.equal(sum(rsdp.subarray(0, 20)), 0, "RSDP, ACPI 1.0 part");
  assert.equal(sum(rsdp), 0, "RSDP, extended");
  for (const [name, bytes] of found) {
    if (name !== "FACS") assert.equal(sum(bytes), 0, name);
  }
});

Deno.test("ACPI: the FACS is 64 bytes and lies on a multiple of 64 (ACPI 6.4, 5.2.10)", () => {
  const { fadt, found } = walk(board, false);
  assert.equal(fadt.getUint32(36, true) % 64, 0);
  assert.equal(found.get("FACS")!.length, 64);
});

Deno.test("ACPI: the FADT names ports, SCI and reset register (ACPI 6.4, 5.2.9)", () => {
  const { fadt } = walk(board, false);
  assert.equal(fadt.byteLength, 244);
  assert.equal(fadt.getUint8(8), 3);
  assert.equal(fadt.getUint16(46, true), 9, "SCI_INT");
  assert.equal(fadt.getUint32(48, true), 0xb2, "SMI_CMD");
  assert.deepEqual([fadt.getUint8(52), fadt.getUint8(53)], [0xf1, 0xf0], "ACPI_ENABLE, _DISABLE");
  assert.deepEqual([56, 64, 76, 80].map((at) => fadt.getUint32(at, true)), [
    ...[0x600, 0x604, 0x608, 0xafe0],
  ]);
  assert.deepEqual([88, 89, 91, 92].map((at) => fadt.getUint8(at)), [4, 2, 4, 4]);
  assert.equal(fadt.getUint8(108), 0x32, "CENTURY");
  assert.equal(fadt.getUint32(112, true) & (1 << 10), 1 << 10, "RESET_REG_SUP");
  assert.equal(fadt.getUint32(112, true) & (1 << 8), 0, "24-bit timer");
  assert.equal(fadt.getBigUint64(120, true), 0xcf9n);
  assert.equal(fadt.getUint8(128), 6);
  const wide = walk({ ...board, pmTimerBits: 32 }, false).fadt;
  assert.equal(wide.getUint32(112, true) & (1 << 8), 1 << 8, "TMR_VAL_EXT");
});

/** The entries of a MADT as [type, bytes]. */
function madtEntries(description: BoardDescription): [number, number[]][] {
  const bytes = walk(description, false).found.get("APIC")!;
  const entries: [number, number[]][] = [];
  for (let at = 44; at < bytes.length; at += bytes[at + 1]) {
    assert.ok(bytes[at + 1] >= 2);
    entries.push([bytes[at], [...bytes.subarray(at + 2, at + bytes[at + 1])]]);
  }
  return entries;
}

Deno.test("ACPI: the MADT lists processors, I/O APIC, overrides and the NMI (ACPI 6.4, 5.2.12)", () => {
  assert.deepEqual(madtEntries(board), [
    [0, [0, 0, 1, 0, 0, 0]],
    [0, [1, 1, 1, 0, 0, 0]],
    [1, [0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0]],
    [2, [0, 0, 2, 0, 0, 0, 0, 0]],
    [2, [0, 5, 5, 0, 0, 0, 0x0d, 0]],
    [2, [0, 9, 9, 0, 0, 0, 0x0d, 0]],
    [2, [0, 10, 10, 0, 0, 0, 0x0d, 0]],
    [2, [0, 11, 11, 0, 0, 0, 0x0d, 0]],
    [4, [0xff, 0, 0, 1]],
  ]);
  assert.equal(madtEntries(full).filter(([type]) => type === 0).length, 200);
  const direct = madtEntries({ ...board, timerGsi: 0 });
  assert.equal(direct.some(([type, [, irq]]) => type === 2 && irq === 0), false);
});

Deno.test("ACPI: the HPET table has address and block id (HPET 1.0a, 3.2.4)", () => {
  const bytes = walk(full, false).found.get("HPET")!;
  assert.equal(bytes.length, 56);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  assert.equal(view.getUint32(36, true), 0x8086_a201);
  assert.equal(view.getBigUint64(44, true), 0xfed0_0000n);
});

/** Firmware's part: carries out a loader script as QEMU defines it. */
function runLoader(
  script: Uint8Array,
  files: Record<string, Uint8Array>,
  addresses: Record<string, number>,
): Record<string, Uint8Array> {
  const memory: Record<string, Uint8Array> = {};
  const text = (at: number) => {
    const end = script.indexOf(0, at);
    return new TextDecoder().decode(script.subarray(at, end));
  };
  const view = new DataView(script.buffer);
  assert.equal(script.length % 128, 0);
  for (let at = 0; at < script.length; at += 128) {
    const file = text(at + 4);
    switch (view.getUint32(at, true)) {
      case 1: {
        const alignment = view.getUint32(at + 60, true);
        assert.equal(addresses[file] % alignment, 0);
        assert.equal(view.getUint8(at + 64), file === ACPI_RSDP_FILE ? 2 : 1, "zone");
        memory[file] = files[file].slice();
        break;
      }
      case 2: {
        const target = text(at + 60);
        const offset = view.getUint32(at + 116, true);
        const data = new DataView(memory[file].buffer);
        if (view.getUint8(at + 120) === 8) {
          const value = data.getBigUint64(offset, true) + BigInt(addresses[target]);
          data.setBigUint64(offset, value, true);
        } else {
          assert.equal(view.getUint8(at + 120), 4);
          data.setUint32(offset, data.getUint32(offset, true) + addresses[target], true);
        }
        break;
      }
      case 3: {
        const [offset, start, length] = [60, 64, 68].map((o) => view.getUint32(at + o, true));
        memory[file][offset] = 0;
        memory[file][offset] = -sum(memory[file].subarray(start, start + length));
        break;
      }
      default:
        assert.fail(`unknown command at ${at}`);
    }
  }
  return memory;
}

Deno.test("ACPI: the loader's script gives what the built-in firmware places (QEMU, bios-linker-loader)", () => {
  const acpi = buildAcpi(full);
  const memory = runLoader(
    loaderScript(acpi),
    { [ACPI_TABLES_FILE]: acpi.tables, [ACPI_RSDP_FILE]: acpi.rsdp },
    { [ACPI_TABLES_FILE]: ADDRESS, [ACPI_RSDP_FILE]: 0xf_5000 },
  );
  const placed = placeAcpi(acpi, ADDRESS);
  assert.deepEqual(memory[ACPI_TABLES_FILE], placed.tables);
  assert.deepEqual(memory[ACPI_RSDP_FILE], placed.rsdp);
});

/** Is this tool of acpica-tools here? Prints why a test is skipped when not. */
function hasTool(tool: string): boolean {
  try {
    new Deno.Command(tool, { args: ["-v"], stdout: "null", stderr: "null" }).outputSync();
    return true;
  } catch {
    console.log(`skipped: no ${tool} on this host (Debian package acpica-tools)`);
    return false;
  }
}

function run(tool: string, cwd: string, ...args: string[]): string {
  const { code, stdout, stderr } = new Deno.Command(tool, { args, cwd }).outputSync();
  const output = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  assert.equal(code, 0, output);
  return output;
}

/** The table files of `description` in a folder that ends with the test. */
function withFiles(description: BoardDescription, body: (folder: string) => void): void {
  const folder = Deno.makeTempDirSync();
  try {
    const acpi = buildAcpi(description);
    const { tables } = placeAcpi(acpi, ADDRESS);
    for (const { signature, offset, length } of acpi.directory) {
      Deno.writeFileSync(`${folder}/${signature}.aml`, tables.subarray(offset, offset + length));
    }
    body(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

Deno.test("ACPI: iasl disassembles every table without complaint and compiles the DSDT again", () => {
  if (!hasTool("iasl")) return;
  for (const description of [board, full]) {
    withFiles(description, (folder) => {
      const { directory } = buildAcpi(description);
      for (const { signature } of directory) {
        const output = run("iasl", folder, "-d", `${signature}.aml`);
        assert.doesNotMatch(output, /error|warning|invalid|incorrect/i, signature);
        const listing = Deno.readTextFileSync(`${folder}/${signature}.dsl`);
        assert.doesNotMatch(listing, /error|warning|invalid|incorrect|should be/i, signature);
      }
      const output = run("iasl", folder, "-vi", "-p", "again", "DSDT.dsl");
      assert.match(output, / 0 Errors/);
      // Processor() is old, but systems before ACPI 6 know nothing else.
      const warnings = output.matchAll(/warning.*/gi);
      const others = [...warnings].filter(([text]) => !/3168|Legacy Processor|Warnings/.test(text));
      assert.deepEqual(others.map(([text]) => text), []);
    });
  }
});

Deno.test("ACPI: the interrupt links read, set and disable their routing register (ACPI 6.4, 6.2)", () => {
  if (!hasTool("acpiexec")) return;
  withFiles(board, (folder) => {
    const output = run(
      "acpiexec",
      folder,
      "-b",
      // acpiexec gives the registers as zeros at first: IRQ 0, enabled.
      [
        "evaluate \\_SB.LNKB._STA",
        "evaluate \\_SB.LNKB._DIS",
        "evaluate \\_SB.LNKB._STA",
        "evaluate \\_SB.LNKB._SRS (89 06 00 09 01 0A 00 00 00 79 00)",
        "evaluate \\_SB.LNKB._STA",
        "evaluate \\_SB.LNKB._CRS",
        "evaluate \\_SB.LNKA._CRS",
        "evaluate \\_S5",
      ].join(";"),
      "DSDT.aml",
    );
    const statuses = [...output.matchAll(/\[Integer\] = ([0-9A-F]+)\n\n?/g)]
      .map(([, digits]) => parseInt(digits, 16)).slice(0, 3);
    assert.deepEqual(statuses, [0x0b, 0x09, 0x0b], output);
    const buffers = [...output.matchAll(/\[Buffer\] Length 0B =\s+0000: ([0-9A-F ]{33})/g)]
      .map(([, hex]) => hex.trim());
    assert.deepEqual(buffers, [
      "89 06 00 09 01 0A 00 00 00 79 00",
      "89 06 00 09 01 00 00 00 00 79 00",
    ], output);
    assert.match(output, /\[Package\] Contains 4 Elements/);
  });
});

Deno.test("ACPI: the hot-plug event tells the slots that the registers name (QEMU, acpi_pci_hotplug)", () => {
  if (!hasTool("acpiexec")) return;
  withFiles(board, (folder) => {
    const output = run(
      "acpiexec",
      folder,
      "-b",
      [
        // acpiexec holds what is written to the registers, as if the board had.
        "evaluate \\_SB.PCI0.DVNT 0x81000000 1",
        "evaluate \\_SB.PCI0.SC0._EJ0 1",
        "evaluate \\_SB.PCI0.B0EJ",
        "evaluate \\_SB.PCI0.SF8._EJ0 1",
        "evaluate \\_SB.PCI0.B0EJ",
        "evaluate \\_SB.PCI0.SF8._ADR",
        "evaluate \\_GPE._E01",
      ].join(";"),
      "DSDT.aml",
    );
    // acpiexec tells of each in a thread of its own.
    const told = [...output.matchAll(/Notify on \[(\w+)\].*?Value 0x(\w+)/g)]
      .map(([, slot, value]) => `${slot} ${value}`).sort();
    assert.deepEqual(told, ["SC0_ 01", "SF8_ 01"]);
    const integers = [...output.matchAll(/\[Integer\] = ([0-9A-F]+)\n/g)]
      .map(([, digits]) => parseInt(digits, 16));
    assert.deepEqual(integers.slice(-3), [1 << 24, 0x8000_0000, 31 << 16], output);
  });
});
