/** Placeholder until the commands are there. */
import type { Console } from "./console.ts";
import type { Guest } from "./guest.ts";
export function monitor(_guest: Guest, _console: Console): void {}
