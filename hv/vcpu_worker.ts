/**
 * The thread of a virtual processor: run, handle the exit in place, run. It ends when main asks for
 * it; whatever goes wrong on the way ends the machine with a reason, never the process.
 */

import { Exit } from "./accel/accelerator.ts";
import { EndKind, Request, WorkerPhase } from "./control.ts";
import { serveMmio, servePort } from "./exits.ts";
import { attachMachine, type MachineSeed } from "./machine_thread.ts";
import { currentThreadId } from "./sys/mod.ts";

/** What main posts to start the thread. */
export interface VcpuWorkerStart {
  readonly seed: MachineSeed;
  readonly index: number;
}

declare const self: {
  onmessage: ((event: MessageEvent<VcpuWorkerStart>) => void) | null;
  close(): void;
};

function run({ seed, index }: VcpuWorkerStart): void {
  using thread = attachMachine(seed);
  const { control, pc, vm } = thread;
  using vcpu = vm.openVcpu(index);
  const { ports, mmio } = pc;
  pc.attachVcpu(vcpu);
  control.setThreadId(index, currentThreadId());
  control.parkVcpu(index);
  control.setPhase(index, WorkerPhase.running);
  for (;;) {
    const requested = control.requested;
    if (requested !== Request.run) {
      if (requested === Request.stop) break;
      control.parkVcpu(index);
      control.setPhase(index, WorkerPhase.running);
      continue;
    }
    switch (vcpu.run()) {
      case Exit.port:
        servePort(ports, vcpu.access);
        break;
      case Exit.mmio:
        serveMmio(mmio, vcpu.access);
        break;
      case Exit.shutdown:
        pc.tripleFault(vcpu);
        break;
      case Exit.failed:
        control.end(EndKind.failed, 0, vcpu.failure());
        break;
      case Exit.halt:
      case Exit.interrupted:
        break;
    }
  }
  control.setPhase(index, WorkerPhase.ended);
}

self.onmessage = ({ data }) => {
  try {
    run(data);
  } catch (error) {
    const thread = attachMachine(data.seed);
    const what = error instanceof Error ? error.stack ?? error.message : String(error);
    thread.control.end(EndKind.workerError, 0, `virtual processor ${data.index}: ${what}`);
    thread.control.setPhase(data.index, WorkerPhase.ended);
  }
  self.close();
};
