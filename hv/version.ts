/** The version, for `--version`, banners and snapshots; the same as in deno.json (a test checks). */
export const VERSION = "0.1.0";
