/** The I/O worker's part of disk controllers, and of firmware that reads disks: their block ports. */

import { serveBlockPort, type Service } from "../../devices/disk/engine/serve_block_port.ts";
import type { BlockPort } from "../core/media/block.ts";
import type { IoService } from "./io_service.ts";

/** See above. */
export class BlockPorts implements IoService {
  readonly #ports = new Map<BlockPort, Service>();

  /** Serves `port` from now on. */
  add(port: BlockPort, service: Service): void {
    this.#ports.set(port, service);
  }

  /** Serves it no more. */
  remove(port: BlockPort): void {
    this.#ports.delete(port);
  }

  /** Carries out what has been asked for. A port is rung for; it asks for one thing at a time. */
  serve(): number {
    for (const [port, service] of this.#ports) serveBlockPort(port, service);
    return Infinity;
  }
}
