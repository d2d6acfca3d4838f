/** A VGA on a bench, with the guest's way to it: ports, the window, and what is mapped as RAM. */

import assert from "node:assert/strict";
import { Vga } from "../../devices/vga/vga.ts";
import { setVgaMode, type VgaBus, vgaMode } from "../../devices/vga/modes.ts";
import {
  type LinearWindow,
  planeBase,
  planeStrides,
  VGA_MEMORY_BYTES,
  VGA_WINDOW_BASE,
} from "../../devices/vga/memory.ts";
import { VGA_PORT_BASE, VgaState } from "../../devices/vga/registers.ts";
import { TestBench } from "./test_bench.ts";

/** See above. Memory accesses go to RAM while the window is mapped, as a guest's would. */
export class VgaBench implements VgaBus {
  readonly bench: TestBench;
  readonly vga: Vga;
  /** What is mapped now, and how often that has changed. */
  mapped: LinearWindow | undefined;
  changes = 0;

  constructor(bench = new TestBench()) {
    this.bench = bench;
    this.vga = new Vga({
      state: bench.state(VgaState),
      memory: bench.memory.allocateDeviceMemory(VGA_MEMORY_BYTES).bytes,
      clock: bench.clock,
      mapWindow: (window) => {
        assert.deepEqual(this.vga.linearWindow(), window, "the state says what is mapped");
        this.mapped = window;
        this.changes++;
      },
    });
    this.vga.reset();
  }

  in(port: number): number {
    return this.vga.read(port - VGA_PORT_BASE, 1);
  }

  out(port: number, value: number): void {
    this.vga.write(port - VGA_PORT_BASE, 1, value);
  }

  /** An index and data pair in one word, as `out dx, ax` does it. */
  set(port: number, index: number, value: number): void {
    this.vga.write(port - VGA_PORT_BASE, 2, index | (value << 8));
  }

  get(port: number, index: number): number {
    this.out(port, index);
    return this.in(port + 1);
  }

  #ramOffset(address: number): number {
    const { mapped } = this;
    if (mapped === undefined) return -1;
    const offset = address - mapped.address;
    return offset >= 0 && offset < mapped.length ? offset + mapped.memoryOffset : -1;
  }

  read(address: number, size = 1): number {
    const offset = this.#ramOffset(address);
    if (offset < 0) return this.vga.window.read(address - VGA_WINDOW_BASE, size);
    let value = 0;
    for (let i = 0; i < size; i++) value += this.vga.memory[offset + i] * 2 ** (8 * i);
    return value;
  }

  write(address: number, size: number, value: number): void {
    const offset = this.#ramOffset(address);
    if (offset < 0) return this.vga.window.write(address - VGA_WINDOW_BASE, size, value);
    for (let i = 0; i < size; i++) this.vga.memory[offset + i] = value >>> (8 * i);
  }

  /** The byte of a map, wherever it lies. */
  plane(plane: number, address: number): number {
    const { layout } = this.vga.state;
    return this.vga.memory[planeBase(layout, address) + planeStrides(layout)[plane]];
  }

  mode(number: number): this {
    setVgaMode(this, vgaMode(number)!);
    return this;
  }

  /** Ends a mapping that clearing the screen has brought about, and counts anew. */
  unmap(): void {
    this.set(0x3ce, 8, 0x00);
    this.set(0x3ce, 8, 0xff);
    this.changes = 0;
  }

  /** Writes a text with an attribute into text memory. */
  print(column: number, row: number, text: string, attribute = 0x07, columns = 80): void {
    for (let i = 0; i < text.length; i++) {
      const address = 0xb8000 + (row * columns + column + i) * 2;
      this.write(address, 2, text.charCodeAt(i) | (attribute << 8));
    }
  }
}
