/** What the tests of PCI devices share: a bus on a bench, and configuration cycles as a guest does them. */

import { IoBus } from "../../../hv/core/bus/io_bus.ts";
import type { TestBench } from "../../support/test_bench.ts";
import { PciBus, PciBusState } from "../../../devices/pci/pci_bus.ts";
import type { IoHandler } from "../../../hv/core/bus/device.ts";

/** A bus at CF8h with its port and memory space. */
export function pciBus(bench: TestBench, resetControl?: IoHandler) {
  const ports = new IoBus("port", 0x10000, new Int32Array(1));
  const memory = new IoBus("memory", 2 ** 40, new Int32Array(1));
  const bus = new PciBus(bench.state(PciBusState), { ports, memory, resetControl });
  const widths = { min: 1, max: 4 } as const;
  ports.claim({ name: "confadd", base: 0xcf8, length: 4, device: bus.address, widths });
  ports.claim({ name: "confdata", base: 0xcfc, length: 4, device: bus.data, widths });
  return { ports, memory, bus, ...configCycles(ports) };
}

/** Configuration mechanism 1 over a port bus. */
export function configCycles(ports: IoBus) {
  const select = (slot: number, number: number, offset: number) =>
    ports.write(0xcf8, 4, 0x8000_0000 + (slot << 11) + (number << 8) + (offset & 0xfc));
  return {
    read(slot: number, number: number, offset: number, size: number): number {
      select(slot, number, offset);
      return ports.read(0xcfc + (offset & 3), size);
    },
    write(slot: number, number: number, offset: number, size: number, value: number): void {
      select(slot, number, offset);
      ports.write(0xcfc + (offset & 3), size, value);
    },
  };
}

/** The window of a function's configuration space, for the contract. */
export const configPort = (
  pci: { configRead: IoHandler["read"]; configWrite: IoHandler["write"] },
) => ({
  handler: {
    read: (offset: number, size: number) => pci.configRead(offset, size),
    write: (offset: number, size: number, value: number) => pci.configWrite(offset, size, value),
  },
  length: 256,
  sizes: [1, 2, 4],
});
