/** What a guest is to get by with, as a user says it, checked. */

import { UsageError } from "../errors.ts";
import { parseMemory, showBytes } from "./sizes.ts";

/**
 * Bytes that the guest is to get by with.
 *
 * @throws {UsageError} When that is more than it has, or no size.
 */
export function balloonTarget(size: string | number, ramBytes: number): number {
  const bytes = parseMemory(size);
  if (bytes <= ramBytes) return bytes;
  throw new UsageError(
    `Cannot give the guest ${showBytes(bytes)} by its balloon: it has ${showBytes(ramBytes)}`,
  );
}
