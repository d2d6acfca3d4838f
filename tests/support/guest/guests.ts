/**
 * Whole guests in tests: where their images are, and tests that run several of them side by side.
 *
 * A test whose images are absent is skipped and says so. Time limits allow for a slow and busy host;
 * they end a test that hangs, and what a test asserts never depends on them.
 */

import { emulatesRealMode } from "../../../hv/accel/kvm/host.ts";
import { packageCache } from "../../../hv/linux/packages.ts";

/** Guests that run at the same time: each keeps a processor of the host busy. */
const AT_ONCE = 2;

/** Does KVM emulate kernel-mode code here, at less than a million instructions a second? */
export const slowKvm: boolean = emulatesRealMode();

/** Time limit for a guest to get somewhere, ms. */
export const PATIENCE_MS = 300_000;

/** One guest and what is to be seen of it. */
export interface GuestCase {
  /** A sentence that is true when the test passes. */
  readonly name: string;
  /** Files without which it is skipped. */
  readonly needs: readonly string[];
  /** What runs it; KVM is needed for `kvm`. */
  readonly accelerator: Accelerator;
  /** Another reason to skip it. */
  readonly skip?: string;
  /** @param t For a body of several steps (`inTurn`). */
  body(t: Deno.TestContext): Promise<void>;
}

/** What runs a guest. */
export type Accelerator = "kvm" | "soft";

/** A guest that is to do the same on every accelerator. */
export interface SharedCase extends Omit<GuestCase, "accelerator" | "body" | "skip"> {
  /** Why not where KVM emulates kernel-mode code. */
  readonly skipEmulated?: string;
  /** Processors on KVM; default 1. */
  readonly kvmCpus?: number;
  /** @param t For a body of several steps (`inTurn`). */
  body(on: GuestHost, t: Deno.TestContext): Promise<void>;
}

/** What a guest runs on. */
export interface GuestHost {
  readonly accelerator: Accelerator;
  /** Processors. */
  readonly cpus: number;
  /** Kernel-mode code is emulated by KVM, at less than a few MIPS. */
  readonly slow: boolean;
}

/** The case for each accelerator, on the software CPU with one processor and with two. */
export function onBoth(shared: SharedCase): GuestCase[] {
  return [onHost(shared, "kvm", shared.kvmCpus ?? 1), ...onSoft(shared)];
}

/** The case on the software CPU, with one processor and with two. */
export function onSoft(
  shared: Omit<SharedCase, "kvmCpus" | "skipEmulated">,
): GuestCase[] {
  return [1, 2].map((cpus) => onHost(shared, "soft", cpus));
}

function onHost(
  { name, needs, skipEmulated, body }: SharedCase,
  accelerator: Accelerator,
  cpus: number,
): GuestCase {
  const slow = accelerator === "kvm" && slowKvm;
  return {
    name: `${name} (${accelerator}${cpus > 1 ? `, ${cpus} processors` : ""})`,
    needs,
    accelerator,
    skip: slow ? skipEmulated : undefined,
    body: (t) => body({ accelerator, cpus, slow }, t),
  };
}

/** A floppy image of those that are handed around for tests; see the README. */
export function sharedImage(name: string): string {
  const folder = Deno.env.get("HV_TEST_GUESTS") ??
    new URL("../../../../shared/guests", import.meta.url).pathname;
  return `${folder}/${name}`;
}

/** A file of a package that tests/fetch_guests.ts unpacks. */
export const fetched = (path: string): string => `${packageCache()}/${path}`;

/** Why nothing runs on KVM here, or "". */
export const noKvm: string = exists("/dev/kvm") ? "" : "there is no /dev/kvm";

/** A reason to skip a case, or "" when it can run. */
function reasonToSkip({ needs, accelerator, skip = "" }: GuestCase): string {
  if (accelerator === "kvm" && noKvm !== "") return noKvm;
  return absent(...needs) || skip;
}

/** Which of `files` are not here, in words, or "". */
export function absent(...files: readonly string[]): string {
  const missing = files.filter((file) => !exists(file));
  return missing.length > 0 ? `${missing.join(", ")} is not here` : "";
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

/** Steps side by side share the process's resources. */
const SIDE_BY_SIDE = {
  sanitizeOps: false,
  sanitizeResources: false,
  sanitizeExit: false,
};

/**
 * What one guest is taken through, whose start costs more than most of it: step by step, by name. Those
 * behind one that failed are left out. Text in place of a step is why there is none on this host.
 */
export async function inTurn(
  t: Deno.TestContext,
  steps: Readonly<Record<string, string | (() => Promise<void>)>>,
): Promise<void> {
  let isWell = true;
  for (const [name, step] of Object.entries(steps)) {
    if (typeof step === "string") {
      await t.step({ name: `${name}; skipped: ${step}`, ignore: true, fn: () => {} });
    } else if (!await t.step({ name, ignore: !isWell, fn: step, ...SIDE_BY_SIDE })) {
      isWell = false;
    }
  }
}

/** A test with a step for each guest, two at a time. `HV_GUEST=word` runs only those so named. */
export function guestTest(name: string, cases: readonly GuestCase[]): void {
  const wanted = Deno.env.get("HV_GUEST") ?? "";
  Deno.test(name, async (t) => {
    const waiting = cases.filter((one) => one.name.includes(wanted));
    const worker = async () => {
      for (
        let one = waiting.shift();
        one !== undefined;
        one = waiting.shift()
      ) {
        const reason = reasonToSkip(one);
        const ignore = reason !== "";
        // `deno test --quiet` hides what tests print, but not their names.
        const shown = ignore ? `${one.name}; skipped: ${reason}` : one.name;
        await t.step({
          name: shown,
          ignore,
          fn: (t) => one.body(t),
          ...SIDE_BY_SIDE,
        });
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
  });
}
