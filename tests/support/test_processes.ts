/**
 * The test files in processes of `deno test`, several side by side, and which of them are quick.
 *
 * `deno test --parallel` has threads of one process instead; tests that count the descriptors, threads or
 * memory of their process would then count those of others.
 */

/** Folders in and below which each file has a process, since they start machines, or hv. */
const APART: readonly string[] = ["guest", "machine", "cli"];

/** What starts first, so that no long one goes on alone at the end; then come all others. */
const FIRST: readonly string[] = ["guest", "accel/soft", "devices/disk", "machine", "cli"];

/**
 * What `--quick` leaves out, by its path below tests/: whole guests, and what is long by its nature. What
 * has a short form instead says so itself, by `inFull` (quick.ts).
 */
export const NOT_QUICK: readonly string[] = [
  // Debian, FreeDOS, ELKS, boot loaders: every test of a whole guest goes there.
  "guest/",
  // All of tests/accel/soft a second time, against the real processor, and random streams.
  "accel/soft/translator/translated_test.ts",
  "accel/soft/compared/",
  "accel/soft/hostile/",
  // Bundling takes the bundler's time.
  "release/",
  // Dozens of starts of hv; what they say is made of parts that have tests of their own.
  "cli/disk_command_test.ts",
  "cli/ends_test.ts",
  "cli/host_test.ts",
  "cli/refusals_test.ts",
  "cli/signals_test.ts",
  "cli/terminal/session_test.ts",
  // Machines by the dozen; others start, pause and end them, and pc/ plugs.
  "machine/hotplug_test.ts",
  "machine/smp_test.ts",
  "machine/start_stop_test.ts",
  // Hundreds of crashes, a million steps.
  "devices/disk/qcow2/crash_test.ts",
  "devices/virtio/hostile/",
];

/** What one process is given. */
export interface TestGroup {
  readonly name: string;
  readonly files: readonly string[];
}

/** Test files in and below `paths`. */
export function* testFiles(paths: Iterable<string>): Generator<string> {
  for (const path of paths) {
    if (!Deno.statSync(path).isDirectory) {
      yield path;
      continue;
    }
    const entries = [...Deno.readDirSync(path)].sort((a, b) => a.name < b.name ? -1 : 1);
    const folder = path.replace(/\/$/, "");
    yield* testFiles(
      entries.filter(({ name, isDirectory }) => isDirectory || name.endsWith("_test.ts"))
        .map(({ name }) => `${folder}/${name}`),
    );
  }
}

/** Does `--quick` run this file, whose path below tests/ it is? */
export const isQuick = (path: string): boolean =>
  !NOT_QUICK.some((one) => one.endsWith("/") ? path.startsWith(one) : path === one);

/** The files of each folder, or one file, for each process, in the order in which they are to start. */
export function testGroups(files: Iterable<string>): TestGroup[] {
  const groups = new Map<string, string[]>();
  const rank = new Map<string, number>();
  for (const file of files) {
    const folder = file.slice(0, file.lastIndexOf("/"));
    const isIn = (name: string) => `/${folder}/`.includes(`/tests/${name}/`);
    const name = APART.some(isIn) ? file : folder;
    groups.set(name, [...groups.get(name) ?? [], file]);
    const first = FIRST.findIndex(isIn);
    rank.set(name, first < 0 ? FIRST.length : first);
  }
  return [...groups].map(([name, files]) => ({ name, files }))
    .sort((a, b) => rank.get(a.name)! - rank.get(b.name)!);
}
