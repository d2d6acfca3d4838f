import { AtaDisk, AtaDiskState } from "../../../devices/ata/ata_disk.ts";
import { AtapiCdrom, AtapiCdromState } from "../../../devices/ata/atapi/cdrom.ts";
import { deviceContract, type Subject } from "../../support/contract.ts";
import type { TestBench } from "../../support/test_bench.ts";
import { IdeHost, IDENTITY } from "./ide_bench.ts";

const bytes = [0, 1, 2, 3, 5, 0x40, 0x55, 0xaa, 0xff];
const ATA_COMMANDS = [
  [0x20, 0x24, 0x25, 0x29, 0x30, 0x34, 0x35, 0x39, 0x40, 0x42, 0x90, 0x91, 0x08],
  [0xc4, 0xc5, 0xc6, 0xc8, 0xca, 0xe0, 0xe4, 0xe5, 0xe7, 0xe8, 0xec, 0xef, 0xf8],
].flat();

/** Writes by which a random host gets somewhere: registers, commands, the bus master. */
const likely: NonNullable<Subject["likely"]> = [
  { port: 0, offset: 1, size: 1, values: [0, 1, 2, 3, 0x82] },
  { port: 0, offset: 2, size: 1, values: bytes },
  { port: 0, offset: 3, size: 1, values: bytes },
  { port: 0, offset: 4, size: 1, values: [0, 0, 0, 1, 0xff] },
  { port: 0, offset: 5, size: 1, values: [0, 0, 0, 0xff] },
  { port: 0, offset: 6, size: 1, values: [0x40, 0xa0, 0xe0, 0xf0, 0x50] },
  { port: 0, offset: 7, size: 1, values: ATA_COMMANDS },
  { port: 0, offset: 7, size: 1, values: ATA_COMMANDS },
  { port: 1, offset: 0, size: 1, values: [0, 0, 2, 4, 0x80] },
  { port: 2, offset: 0, size: 1, values: [0, 1, 9] },
  { port: 2, offset: 2, size: 1, values: [4, 6, 0x60] },
  { port: 2, offset: 4, size: 4, values: [0, 0x1000, 0x2000, 0x3fffc] },
];

/** Fills guest memory with what a bus master may find there. */
function scatter(bench: TestBench): NonNullable<Subject["events"]>[number] {
  return (random) => {
    for (const table of [0x1000, 0x2000]) {
      for (let i = 0; i < 4; i++) {
        const address = random.pick([random.u32(), random.below(0x40000), 0x8000]);
        const flags = random.chance(50) ? 0x8000_0000 : 0;
        bench.memory.writeU32(table + i * 8, address);
        bench.memory.writeU32(table + i * 8 + 4, flags + random.below(3) * 512);
      }
    }
  };
}

/** Reads what there is, as a driver does: random single reads never get through a block. */
const drain = (host: IdeHost): NonNullable<Subject["events"]>[number] => (random) => {
  for (let n = random.below(3000); n > 0 && (host.altStatus & 8) !== 0; n--) host.in(0, 2);
};

const ports = ({ channel, master }: IdeHost): Subject["ports"] => [
  { handler: channel.commandBlock, length: 8, sizes: [1, 2, 4] },
  { handler: channel.controlBlock, length: 1, sizes: [1] },
  { handler: master, length: 16, sizes: [1, 2, 4] },
];

deviceContract("IDE controller with two disks", (bench) => {
  const drives = [0, 1].map((n) =>
    new AtaDisk(bench.state(AtaDiskState, `disk${n}`), bench.disk(`d${n}`, 0x8000), IDENTITY)
  );
  const host = new IdeHost(bench, [drives[0], drives[1]]);
  return {
    device: host,
    ports: ports(host),
    likely,
    events: [scatter(bench), drain(host)],
  };
}, { steps: 600, blindSteps: 50_000 });

const PACKETS = [
  [0x00, 0x03, 0x12, 0x1a, 0x1b, 0x1e, 0x25, 0x28, 0x2b, 0x42, 0x43, 0x46, 0x4a],
  [0x51, 0x5a, 0xa8, 0xb9, 0xbd, 0xbe, 0x28, 0x28, 0xa8],
].flat();

/** A host that knows how to send a packet: random bytes after a command that there is. */
const sendPacket = (host: IdeHost): NonNullable<Subject["events"]>[number] => (random) => {
  if ((host.in(7) & 0x88) !== 0) return;
  host.out(6, 0x10);
  host.out(1, random.below(4) === 0 ? 1 : 0);
  host.out(5, random.pick([0, 1, 8, 0xff]));
  host.out(7, 0xa0);
  host.out(0, random.pick(PACKETS) | (random.below(4) << 8), 2);
  for (let i = 1; i < 6; i++) host.out(0, random.below(3) === 0 ? random.below(65536) : 0, 2);
};

deviceContract("IDE controller with a disk and a CD-ROM", (bench) => {
  const disk = new AtaDisk(bench.state(AtaDiskState), bench.disk("disk", 0x8000), IDENTITY);
  const port = bench.disk("cd", 0x20000, true);
  const cdrom = new AtapiCdrom(bench.state(AtapiCdromState), port, IDENTITY);
  const host = new IdeHost(bench, [disk, cdrom]);
  return {
    device: host,
    ports: ports(host),
    likely: [...likely, { port: 0, offset: 7, size: 1, values: [0xa0, 0xa1, 0x08, 0xec] }],
    events: [
      scatter(bench),
      sendPacket(host),
      sendPacket(host),
      sendPacket(host),
      drain(host),
      drain(host),
      () => cdrom.pressEject(),
      (random) =>
        port.setMedium(
          random.chance(30) ? undefined : { sizeBytes: random.below(0x20000), readOnly: true },
        ),
    ],
  };
}, { steps: 1500, blindSteps: 100_000 });
