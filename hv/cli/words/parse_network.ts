/** The values of `--net`. */

import { UsageError } from "../../errors.ts";
import {
  NETWORK_MODELS,
  type NetworkOptions,
  type UserNetworkOptions,
} from "../../options/network_options.ts";
import type { NetworkModel } from "../../pc/board_config.ts";
import { splitAtCommas } from "./commas.ts";
import { rate } from "./rate.ts";

/** What may follow any other end. */
const COMMON = ["model=", "mac=", "iobase=", "irq=", "bps=", "pcap="];
/** What may follow each: with `=` it has a value. */
const POSSIBLE: Readonly<Record<string, readonly string[]>> = {
  user: ["forward=", "restrict", "via=", ...COMMON],
  tap: COMMON,
  socket: ["listen", ...COMMON],
};

/** A word behind a comma: its name, with `=` if it has a value. */
interface Word {
  readonly name: string;
  readonly value: string;
}

/**
 * The values of all `--net`; `none` alone is none at all.
 *
 * @throws {UsageError}
 */
export function parseNetworks(values: readonly string[] | undefined): NetworkOptions[] | undefined {
  if (values?.includes("none")) {
    if (values.length === 1) return [];
    throw new UsageError("Cannot use --net none beside other networks: leave it out");
  }
  return values?.map(parseNetwork);
}

/**
 * `user`, `tap=NAME` or `socket=PATH`, and more behind commas; a comma in a name is written twice.
 *
 * @throws {UsageError}
 */
function parseNetwork(value: string): NetworkOptions {
  const [first, ...rest] = splitAtCommas(value).map(readWord);
  const kind = first.name.replace("=", "");
  const isWhole = kind === "user" ? first.name === "user" : first.value !== "";
  if (!Object.hasOwn(POSSIBLE, kind) || !isWhole) {
    throw new UsageError(
      `Cannot use --net ${value}: user, tap=NAME or socket=PATH is possible, or none alone`,
    );
  }
  for (const { name, value: text } of rest) {
    if (POSSIBLE[kind].includes(name) && name.endsWith("=") === (text !== "")) continue;
    throw new UsageError(
      `Cannot use "${name}${text}" in --net ${value}: ` +
        `${kind} takes ${POSSIBLE[kind].map((p) => p.replace("=", "=…")).join(", ")}`,
    );
  }
  const all = (name: string) => rest.filter((word) => word.name === name).map(({ value }) => value);
  const number = (name: string) => all(name).map((text) => wholeNumber(text, value)).at(-1);
  const model = all("model=").at(-1);
  if (model !== undefined && !(NETWORK_MODELS as readonly string[]).includes(model)) {
    throw new UsageError(
      `Cannot use model=${model} in --net ${value}: ${NETWORK_MODELS.join(" or ")} is possible`,
    );
  }
  return {
    end: endOf(kind, first.value, all),
    model: model as NetworkModel | undefined,
    mac: all("mac=").at(-1),
    iobase: number("iobase="),
    irq: number("irq="),
    bps: all("bps=").map((text) => rate(text, `net ${value}: bps=`)).at(-1),
    pcap: all("pcap=").at(-1),
  };
}

/** Decimal, or hexadecimal with 0x. */
function wholeNumber(text: string, value: string): number {
  if (/^(\d+|0x[\da-f]+)$/i.test(text)) return Number(text);
  throw new UsageError(
    `Cannot use "${text}" in --net ${value}: a number is needed, e.g. 5 or 0x300`,
  );
}

function endOf(
  kind: string,
  name: string,
  all: (name: string) => string[],
): NetworkOptions["end"] {
  switch (kind) {
    case "tap":
      return { tap: name };
    case "socket":
      return { socket: name, listen: all("listen").length > 0 };
    default:
      return {
        user: {
          forwards: all("forward="),
          restrict: all("restrict").length > 0,
          via: all("via=").at(-1) as UserNetworkOptions["via"],
        },
      };
  }
}

function readWord(text: string): Word {
  const at = text.indexOf("=") + 1;
  return at === 0 ? { name: text, value: "" } : { name: text.slice(0, at), value: text.slice(at) };
}
