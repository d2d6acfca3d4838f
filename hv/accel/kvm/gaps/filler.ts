/**
 * Executes, on the software CPU, what KVM has stopped at. Loaded only where that happens: see mod.ts.
 *
 * The software CPU keeps nothing from one instruction to the next: neither code nor translations, which
 * KVM's processors change unseen. Accesses to devices are exits like any other; the instruction goes on
 * with the next `run`. Locked instructions on aligned memory of up to 8 bytes are exact: both sides
 * access it with the host processor's own locked operations. CMPXCHG16B, and what is not aligned, is
 * exact among instructions executed here, which is where all of the machine's kernel-mode CMPXCHG16Bs
 * are; a plain write that another processor makes on KVM at the same time may fall in between.
 */

import { monotonicNs } from "../../../sys/clock.ts";
import { Exit } from "../../accelerator.ts";
import type { StateComponent } from "../../soft/cpu.ts";
import { FEATURES } from "../../soft/model/cpuid.ts";
import { CODE_BITS } from "../../soft/blocks/blocks.ts";
import { Decoding, Instruction } from "../../soft/decoder/decoder.ts";
import { handlerName } from "../../soft/decoder/lowering.ts";
import { buildFloat80 } from "../../soft/float/module.ts";
import { buildInterpreter } from "../../soft/interpreter.ts";
import type { PhysicalMap } from "../../soft/memory/physical_map.ts";
import { SERVICES } from "../../soft/services/mod.ts";
import { PRIVATE_BYTES } from "../../soft/state/state.ts";
import { SoftVcpu } from "../../soft/vcpu.ts";
import { readCpuid } from "../cpuid_table.ts";
import type { RegisterSync } from "../state/register_sync.ts";
import { FilledCounter } from "./filled.ts";
import * as s from "../api/structs.ts";
import { KVM_ONLY, needsOf } from "./needs.ts";
import { Transfer } from "./transfer.ts";

const WASM_PAGE = 65536;
const FOUR_GIB = 0x1_0000_0000;
const TF = 1 << 8;
const XSAVE_LEAF = 0xd;
const UNDEFINED_OPCODE = 6;
/** Most instructions in a row before KVM gets the processor back, and interrupts with it. */
const MAX_RUN = 64;
/** The I/O APIC's page, and a local APIC's length; what the 8259s and the 8254 take of the ports. */
const IO_APIC = 0xfec0_0000;
const APIC_BYTES = 0x1000;
const KERNEL_PORTS = new Set([0x20, 0x21, 0xa0, 0xa1, 0x40, 0x41, 0x42, 0x43, 0x61, 0x4d0, 0x4d1]);

/** What the software CPU of a processor on KVM is made of. */
export interface SoftCpuParts {
  readonly index: number;
  readonly cpus: number;
  /** What the processors' software CPUs share: see hv/accel/soft/world.ts. */
  readonly world: SharedArrayBuffer;
  readonly memory: WebAssembly.Memory;
  readonly map: PhysicalMap;
  /** A `FilledTable`. */
  readonly filled: SharedArrayBuffer;
}

/** The processor whose gaps are filled. */
export interface GapFillerHost {
  /** Descriptor of the vCPU. */
  readonly fd: number;
  readonly sync: RegisterSync;
  readonly parts: SoftCpuParts;
}

/** What the XSAVE area has beyond x87 and SSE by CPUID leaf Dh (SDM volume 1, 13.2). */
function stateComponents(fd: number): StateComponent[] {
  return readCpuid(fd)
    .filter(({ function: leaf, index, ecx }) =>
      leaf === XSAVE_LEAF && index >= 2 && index < 31 && (ecx & 1) === 0
    )
    .sort((a, b) => a.index - b.index)
    .map(({ index, eax, ebx, ecx }) => ({
      bit: 1 << index,
      offset: ebx,
      bytes: eax,
      aligned: (ecx & 2) !== 0,
    }))
    .filter(({ offset, bytes }) => bytes > 0 && offset + bytes <= s.kvm_xsave.byteLength);
}

/** See above. */
export class GapFiller {
  /** Why the last `fill` ended with `Exit.failed`. */
  reason = "";
  readonly #cpu: SoftVcpu;
  readonly #transfer: Transfer;
  readonly #counter: FilledCounter;
  readonly #instruction = new Instruction(FEATURES);
  /** Instructions that KVM has failed at: one that follows another is not tried there again. */
  readonly #known = new Set<string>();
  #name = "";
  #begunNs = 0;
  #underWay = false;

  constructor({ fd, sync, parts }: GapFillerHost) {
    const { index, cpus, world, memory, map, filled } = parts;
    const bytes = memory.buffer.byteLength;
    const pages = PRIVATE_BYTES / WASM_PAGE;
    const state = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    this.#cpu = new SoftVcpu({
      index,
      state,
      // Nobody is to be told of anything: the others keep neither code nor translations.
      peers: Array.from({ length: cpus }, () => state),
      world,
      memory,
      map,
      interpreter: new WebAssembly.Module(buildInterpreter(bytes / WASM_PAGE, bytes > FOUR_GIB)),
      float80: new WebAssembly.Module(buildFloat80()),
      features: FEATURES,
      services: SERVICES,
      components: stateComponents(fd),
    });
    this.#cpu.reset();
    this.#cpu.cpu.memory.tlb.keepsTranslations = false;
    this.#transfer = new Transfer(fd, this.#cpu.cpu, sync);
    this.#counter = new FilledCounter(filled);
  }

  /** Is there an instruction that awaits a device? `access` says which access. */
  get isUnderWay(): boolean {
    return this.#underWay;
  }

  get access(): SoftVcpu["access"] {
    return this.#cpu.access;
  }

  /**
   * Executes the instruction that KVM stopped at, and those after it that KVM has failed at before.
   * `Exit.interrupted`: the processor goes on on KVM. `Exit.failed`: nothing has changed.
   */
  fill(): Exit {
    this.#begunNs = monotonicNs();
    const transfer = this.#transfer;
    transfer.load();
    // An older KVM has made the failure an exception of the guest, which it forgets with `store`.
    const { exception } = transfer;
    if (exception !== undefined && exception !== UNDEFINED_OPCODE) {
      return this.#fail(`exception ${exception} is being delivered`);
    }
    if (!this.#prepare()) return Exit.failed;
    this.#known.add(this.#name);
    return this.#execute();
  }

  /** Goes on after an access to a device. */
  resume(): Exit {
    this.#begunNs = monotonicNs();
    return this.#execute();
  }

  /** The processor gets another state: an instruction under way is given up. */
  forget(): void {
    if (this.#underWay) this.#cpu.reset();
    this.#underWay = false;
    this.#transfer.abandon();
  }

  /** Decodes the next instruction and takes what it needs; false where KVM alone can execute it. */
  #prepare(): boolean {
    const { cpu } = this.#cpu;
    const { state } = cpu;
    const code = cpu.codeBytes();
    const bits = CODE_BITS[state.modeKey & 3];
    const result = this.#instruction.decode(code, 0, code.length, bits);
    this.#name = result === Decoding.ok ? handlerName(this.#instruction) : "undefined";
    if (result === Decoding.undefined && !this.#isUndefined(code)) {
      this.reason = "the software CPU does not have it either";
      return false;
    }
    if (code.length === 0) {
      this.reason = "there is no memory";
      return false;
    }
    if (KVM_ONLY.has(this.#name)) {
      this.reason = "only KVM knows what it does";
      return false;
    }
    const needs = needsOf(code, bits);
    this.#transfer.loadFor((state.eflags & TF) !== 0 ? { ...needs, debug: true } : needs);
    return true;
  }

  /** Is the instruction undefined for the guest, rather than missing here? */
  #isUndefined(code: Uint8Array): boolean {
    const at = code.findIndex((byte) => ![0x66, 0x67, 0xf2, 0xf3].includes(byte));
    // UD2, UD1 and UD0, which systems execute on purpose.
    return code[at] === 0x0f && [0x0b, 0xb9, 0xff].includes(code[at + 1]);
  }

  #execute(): Exit {
    for (let count = 1;; count++) {
      const exit = this.#cpu.step();
      if (exit !== undefined) return this.#leave(exit);
      this.#count();
      if (count === MAX_RUN || !this.#nextIsKnown()) break;
    }
    return this.#finish(Exit.interrupted);
  }

  /** Is the next instruction one that KVM has failed at? It is ready to be executed then. */
  #nextIsKnown(): boolean {
    const { cpu } = this.#cpu;
    if (cpu.state.halted) return false;
    const code = cpu.codeBytes();
    const result = this.#instruction.decode(code, 0, code.length, CODE_BITS[cpu.state.modeKey & 3]);
    if (result !== Decoding.ok || !this.#known.has(handlerName(this.#instruction))) return false;
    return this.#prepare();
  }

  #finish(exit: Exit): Exit {
    this.#underWay = false;
    this.#transfer.store();
    return exit;
  }

  #leave(exit: Exit): Exit {
    switch (exit) {
      case Exit.port:
      case Exit.mmio:
        if (this.#isInKernel(exit)) {
          return this.#fail("it accesses an interrupt controller of KVM's");
        }
        this.#underWay = this.#cpu.awaitsDevice;
        if (this.#underWay) return exit;
        this.#count();
        return this.#finish(exit);
      case Exit.failed:
        return this.#fail(this.#cpu.failure());
      default:
        return this.#finish(exit);
    }
  }

  #isInKernel(exit: Exit): boolean {
    const { address } = this.#cpu.access;
    if (exit === Exit.port) return KERNEL_PORTS.has(address);
    return [IO_APIC, Number(this.#transfer.apicBase & ~0xfffn)].some((base) =>
      address >= base && address < base + APIC_BYTES
    );
  }

  #fail(reason: string): Exit {
    this.reason = reason;
    this.#underWay = false;
    this.#transfer.abandon();
    return Exit.failed;
  }

  #count(): void {
    const now = monotonicNs();
    this.#counter.add(this.#name, now - this.#begunNs);
    this.#begunNs = now;
  }
}
