/** The I/O worker's services: whose turn comes when. */

import assert from "node:assert/strict";
import type { NetworkLink } from "../../devices/net/network_link.ts";
import { type IoService, serveAll } from "../../hv/io/io_service.ts";
import { NetworkLinks } from "../../hv/io/network_links.ts";

Deno.test("every service has its turn, and the first that wants another decides when", () => {
  const served: string[] = [];
  const service = (name: string, next: number): IoService => ({
    serve() {
      served.push(name);
      return next;
    },
  });
  assert.equal(serveAll([service("a", 500), service("b", 0), service("c", Infinity)]), 0);
  assert.deepEqual(served, ["a", "b", "c"]);
  assert.equal(serveAll([]), Infinity);
});

Deno.test("networks say when they want their turn by the clock, links say so from now", () => {
  let disposed = 0;
  const link = (wait: number) =>
    ({
      serve: (nowNs: number) => nowNs + wait,
      [Symbol.dispose]: () => void disposed++,
    }) as unknown as NetworkLink;
  const links = new NetworkLinks();
  assert.equal(links.serve(), Infinity);
  const soon = link(1000);
  links.add(soon);
  links.add(link(Infinity));
  assert.equal(links.serve(), 1000);
  links.remove(soon);
  links.remove(soon);
  assert.equal(links.serve(), Infinity);
  assert.equal(disposed, 1);
  links[Symbol.dispose]();
  assert.equal(disposed, 2);
});
