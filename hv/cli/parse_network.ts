/** The values of `--net`. */

import { UsageError } from "../errors.ts";
import { NETWORK_MODELS, type NetworkOptions } from "../network_options.ts";
import type { NetworkModel } from "../pc/board_config.ts";
import { splitAtCommas } from "./commas.ts";

/** What each other end may be followed by. */
const FLAGS = { tap: [], socket: ["listen"] } as const satisfies Record<string, readonly string[]>;
const COMMON = ["model", "mac", "pcap"];

/**
 * `tap=NAME` or `socket=PATH`, and more behind commas; a comma in a name is written twice.
 *
 * @throws {UsageError}
 */
export function parseNetwork(value: string): NetworkOptions {
  const [first, ...rest] = splitAtCommas(value).map((part) => {
    const [name, ...text] = part.split("=");
    return { name, text: text.length === 0 ? undefined : text.join("=") };
  });
  const kind = first.name as keyof typeof FLAGS;
  if (!Object.hasOwn(FLAGS, kind) || !first.text) {
    throw new UsageError(`Cannot use --net ${value}: tap=NAME or socket=PATH is possible`);
  }
  const possible: readonly string[] = [...FLAGS[kind], ...COMMON];
  const given = new Map<string, string | undefined>();
  for (const { name, text } of rest) {
    const isFlag = (FLAGS[kind] as readonly string[]).includes(name);
    if (!possible.includes(name) || (text === undefined) !== isFlag || text === "") {
      throw new UsageError(
        `Cannot use "${name}${text === undefined ? "" : `=${text}`}" in --net ${value}: ` +
          `${kind} takes ${possible.map((p) => COMMON.includes(p) ? `${p}=…` : p).join(", ")}`,
      );
    }
    given.set(name, text);
  }
  const model = given.get("model");
  if (model !== undefined && !(NETWORK_MODELS as readonly string[]).includes(model)) {
    throw new UsageError(
      `Cannot use model=${model} in --net ${value}: ${NETWORK_MODELS.join(" or ")} is possible`,
    );
  }
  return {
    end: kind === "tap" ? { tap: first.text } : { socket: first.text, listen: given.has("listen") },
    model: model as NetworkModel | undefined,
    mac: given.get("mac"),
    pcap: given.get("pcap"),
  };
}
