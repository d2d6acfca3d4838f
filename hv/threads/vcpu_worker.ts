/**
 * The thread of a virtual processor: run, handle the exit in place, run. It ends when main asks for
 * it; whatever goes wrong on the way ends the machine with a reason, never the process.
 */

import { Exit } from "../accel/accelerator.ts";
import { EndKind, Request, WorkerPhase } from "../core/control.ts";
import { serveMmio, servePort } from "./exits.ts";
import {
  attachMachine,
  loadFirmware,
  loadParts,
  type MachineSeed,
  type ThreadParts,
} from "./machine_thread.ts";
import { currentThreadId } from "../sys/thread.ts";

/** What main posts to start the thread. */
export interface VcpuWorkerStart {
  readonly seed: MachineSeed;
  readonly index: number;
}

declare const self: {
  onmessage: ((event: MessageEvent<VcpuWorkerStart>) => void) | null;
  close(): void;
};

async function run({ seed, index }: VcpuWorkerStart, parts: ThreadParts): Promise<void> {
  using thread = attachMachine(seed, parts);
  const { control, pc, vm } = thread;
  using vcpu = vm.openVcpu(index);
  const { ports, mmio } = pc;
  pc.attachVcpu(vcpu);
  const serve = (exit: Exit) => {
    switch (exit) {
      case Exit.port:
        return servePort(ports, vcpu.access);
      case Exit.mmio:
        return serveMmio(mmio, vcpu.access);
      case Exit.shutdown:
        return pc.tripleFault(vcpu);
      case Exit.failed:
        return control.end(EndKind.failed, 0, vcpu.failure());
      case Exit.halt:
      case Exit.interrupted:
      case Exit.needsCode:
        return;
    }
  };
  const park = async () => {
    control.parkVcpu(index);
    await pc.hotplug.follow();
  };
  control.setThreadId(index, currentThreadId());
  await park();
  for (;;) {
    const requested = control.requested;
    if (requested !== Request.run) {
      if (requested === Request.stop) break;
      // Stopped within an instruction, it could not be looked at, saved or reset.
      while (!vcpu.settle()) serve(vcpu.run());
      await park();
      continue;
    }
    const exit = vcpu.run();
    if (exit === Exit.needsCode) await vcpu.load?.();
    else serve(exit);
  }
  control.setPhase(index, WorkerPhase.ended);
}

self.onmessage = async ({ data }) => {
  const { config } = data.seed;
  const parts = await loadParts(config);
  try {
    await run(data, { ...parts, ...await loadFirmware(config.firmware) });
  } catch (error) {
    const thread = attachMachine(data.seed, parts);
    const what = error instanceof Error ? error.stack ?? error.message : String(error);
    thread.control.end(EndKind.workerError, 0, `virtual processor ${data.index}: ${what}`);
    thread.control.setPhase(data.index, WorkerPhase.ended);
  }
  self.close();
};
