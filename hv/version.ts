/** The version, for `--version` and banners; the same as in deno.json (a test checks). */
export const VERSION = "0.1.0";
