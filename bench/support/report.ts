/** How a bench shows its figures: a heading, then a table as Markdown has it. */

/** One line about the machine, for a heading. */
export async function machineLine(): Promise<string> {
  const cpuinfo = await Deno.readTextFile("/proc/cpuinfo");
  const model = /^model name\s*:\s*(.*)$/m.exec(cpuinfo)?.[1] ?? "unknown processor";
  const day = new Date().toISOString().slice(0, 10);
  const { deno } = Deno.version;
  const cores = navigator.hardwareConcurrency;
  return `${day}, ${cores} cores of ${model}, Linux ${Deno.osRelease()}, Deno ${deno}`;
}

/** Shows a table; the first row is its head. */
export function showTable(rows: readonly (readonly string[])[]): void {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i])).join(" | ")} |`;
  console.log(line(rows[0]));
  console.log(line(widths.map((width) => "-".repeat(width))));
  for (const row of rows.slice(1)) console.log(line(row));
  console.log();
}

/** `x` with `digits` digits after the point; a dash for nothing. */
export function figure(x: number | undefined, digits: number): string {
  return x === undefined || !Number.isFinite(x) ? "-" : x.toFixed(digits);
}
