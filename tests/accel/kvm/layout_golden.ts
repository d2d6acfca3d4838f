/** Makes layout_golden.json from <linux/kvm.h>: `deno run -A tests/accel/kvm/layout_golden.ts`. */

import { type Layout, layoutProgram } from "./layout.ts";

/** The compiler's layout, or undefined where there is no x86 gcc or header. */
export function compiledLayout(): Layout | undefined {
  if (Deno.build.arch !== "x86_64") return undefined;
  const directory = Deno.makeTempDirSync();
  try {
    const source = `${directory}/layout.c`;
    const program = `${directory}/layout`;
    Deno.writeTextFileSync(source, "#include <linux/kvm.h>\n");
    const run = (command: string, ...args: string[]) =>
      new Deno.Command(command, { args, stderr: "piped" }).outputSync();
    const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    if (!run("gcc", "-E", "-o", "/dev/null", source).success) return undefined;
    Deno.writeTextFileSync(source, layoutProgram());
    const built = run("gcc", "-o", program, source);
    if (!built.success) throw new Error(`Cannot compile the layout: ${decode(built.stderr)}`);
    return JSON.parse(decode(run(program).stdout));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

if (import.meta.main) {
  const layout = compiledLayout();
  if (layout === undefined) throw new Error("Cannot make the golden: gcc and linux/kvm.h required");
  Deno.writeTextFileSync(
    new URL("./layout_golden.json", import.meta.url),
    JSON.stringify(layout, undefined, 2) + "\n",
  );
}
