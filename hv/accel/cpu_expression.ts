/** The expression that says what a processor is to be (`--cpu`): `host,-feature,+feature`. */

import { closeNames, findFeature, withDependents } from "./cpu_features.ts";

/** The expression that says what the processor is to be has a mistake in it. */
export class CpuError extends Error {
  override readonly name = "CpuError";
}

/** What an expression is applied to. */
export interface CpuModel {
  /** Of what it is, for messages: `this host's KVM`. */
  readonly name: string;
  has(feature: string): boolean;
  /** Takes a feature away; not one that has to be asked for. */
  remove(feature: string): void;
  /** Gives a feature that has to be asked for; false where there is no such. */
  add?(feature: string): boolean;
}

/**
 * Applies `expression` to `model`: `-name` takes a feature away together with all that need it, `+name`
 * asks for it: `host` has nearly all that there is.
 *
 * @throws {CpuError} for a mistake in it, or a feature that the model does not have
 */
export function applyExpression(expression: string, model: CpuModel): void {
  const [name, ...changes] = expression.split(",").map((part) => part.trim());
  const problem = (what: string) => new CpuError(`Cannot use --cpu ${expression}: ${what}`);
  if (name !== "host") {
    throw problem(`there is no processor "${name}"; write host, or host,-feature,+feature`);
  }
  for (const change of changes) {
    const sign = change[0];
    const wanted = change.slice(1);
    if ((sign !== "-" && sign !== "+") || wanted === "") {
      throw problem(`"${change}" must begin with - or +, e.g. host,-avx`);
    }
    const feature = findFeature(wanted);
    if (feature === undefined) {
      const close = closeNames(wanted);
      const advice = close.length > 0 ? `; did you mean ${close.join(", ")}?` : "";
      throw problem(`there is no feature "${wanted}"${advice}`);
    }
    if (sign === "-") { for (const one of withDependents(feature)) model.remove(one); }
    else if (!model.has(feature) && model.add?.(feature) !== true) {
      throw problem(`${model.name} does not offer ${feature} to guests`);
    }
  }
}
