/** The guest's echo requests to hosts outside, where the host lets this process send them. */

import { SysError } from "../../../hv/sys/errors.ts";
import { IPPROTO_ICMP, IPPROTO_ICMPV6, SOCK_DGRAM, Socket } from "../../../hv/sys/net/socket.ts";
import { AF_INET, AF_INET6 } from "../../../hv/sys/net/socket_address.ts";
import { hostAddress } from "./addresses.ts";
import type { FlowContext } from "./flow.ts";
import { flowKey, FlowTable } from "./flow_table.ts";
import { EchoFlow, echoId, postUnreachable, Unreachable } from "./icmp.ts";
import { ICMP, ICMPV6, type IpPacket } from "./ip.ts";

/** Each has a descriptor of the host's. */
const MAX_FLOWS = 32;

/** See above. */
export class EchoFlows implements Disposable {
  readonly #context: FlowContext;
  readonly #table = new FlowTable<EchoFlow>(MAX_FLOWS);

  constructor(context: FlowContext) {
    this.#context = context;
  }

  get size(): number {
    return this.#table.size;
  }

  /** Sends an echo request on; the guest is told where that is not possible. */
  send({ source, destination, payload }: IpPacket): void {
    const id = echoId(payload);
    const key = flowKey(source, id, destination, 0);
    const isIpv4 = source.length === 4;
    const sent = {
      source: source.slice(),
      destination: destination.slice(),
      protocol: isIpv4 ? ICMP : ICMPV6,
    };
    const flow = this.#table.get(key) ?? this.#begin(key, sent, id);
    if (flow !== undefined) flow.send(payload);
    else postUnreachable(this.#context.output, sent, payload, Unreachable.prohibited);
  }

  /** Does what is due; when there is more to do. */
  tick(nowNs: number): number {
    return this.#table.tick(nowNs);
  }

  [Symbol.dispose](): void {
    this.#table[Symbol.dispose]();
  }

  #begin(
    key: string,
    sent: { source: Uint8Array; destination: Uint8Array; protocol: number },
    id: number,
  ): EchoFlow | undefined {
    const address = hostAddress(sent.destination, 0, this.#context.reach);
    if (address === undefined) return undefined;
    if (this.#table.isFull) this.#table.endOldest();
    const isIpv4 = sent.source.length === 4;
    let socket: Socket;
    try {
      socket = Socket.open(
        isIpv4 ? AF_INET : AF_INET6,
        SOCK_DGRAM,
        isIpv4 ? IPPROTO_ICMP : IPPROTO_ICMPV6,
      );
    } catch (error) {
      // Not allowed to this user: net.ipv4.ping_group_range.
      if (error instanceof SysError) return undefined;
      throw error;
    }
    if (socket.connect(address) !== 0) {
      socket[Symbol.dispose]();
      return undefined;
    }
    const flow = new EchoFlow(this.#context, sent, id, socket, () => this.#table.delete(key));
    this.#table.add(key, flow);
    return flow;
  }
}
