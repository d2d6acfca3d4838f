/** `hv disk check`. */

import { openClaimed } from "../../../devices/disk/image_access.ts";
import { imageInfo } from "../../../devices/disk/formats/image_info.ts";
import { checkQcow2, type Qcow2Report, repairQcow2 } from "../../../devices/disk/qcow2/check.ts";
import { UsageError } from "../../errors.ts";
import { ExitCode } from "../words/option_table.ts";
import { Progress } from "../progress_line.ts";
import { print, say } from "../say.ts";

/** Checks the image, mends it if asked to, and says what it found. */
export function checkImage(
  path: string,
  { repair, json }: { repair: boolean; json: boolean },
): number {
  const { format } = imageInfo(path);
  if (format !== "qcow2") {
    throw new UsageError(`Cannot check ${path}: a ${format} image has nothing to check; qcow2 has`);
  }
  using file = openClaimed(path, repair);
  const progress = new Progress();
  const show = (what: string) => (done: number) => progress.show(`${what} ${path}`, done);
  let report = checkQcow2(file, show("checking"));
  const found = report;
  const isWrong = (r: Qcow2Report) => r.errorCount > 0 || r.leaks > 0 || r.isDirty || r.isCorrupt;
  if (repair && isWrong(report)) {
    repairQcow2(file, show("repairing"));
    report = checkQcow2(file, show("checking"));
  }
  progress.end();
  if (json) print(JSON.stringify(forPrograms(path, report, found), null, 2));
  else tell(path, report, found, repair);
  if (report.errorCount > 0) return ExitCode.imageErrors;
  return report.leaks > 0 ? ExitCode.imageLeaks : ExitCode.ok;
}

function tell(path: string, report: Qcow2Report, found: Qcow2Report, repair: boolean): void {
  for (const error of report.errors) say(`hv: ${path}: ${error}`);
  const more = report.errorCount - report.errors.length;
  if (more > 0) say(`hv: ${path}: and ${more} more`);
  if (report.isCorrupt) say(`hv: ${path}: it is marked as corrupt`);
  if (report.isDirty) say(`hv: ${path}: it was not closed`);
  const { dataClusters, totalClusters, compressedClusters } = report;
  const used = `${dataClusters} of ${totalClusters} clusters have data` +
    (compressedClusters === 0 ? "" : `, ${compressedClusters} of them compressed`);
  print(`${path}: ${report.errorCount} errors, ${report.leaks} clusters lost; ${used}`);
  if (found !== report) {
    const mended = (before: number, after: number) => Math.max(before - after, 0);
    const errors = mended(found.errorCount, report.errorCount);
    print(`${path}: mended: ${errors} errors, ${mended(found.leaks, report.leaks)} clusters lost`);
  } else if (!repair && report.errorCount + report.leaks > 0) {
    print(`--repair mends what can be`);
  }
}

function forPrograms(path: string, report: Qcow2Report, found: Qcow2Report) {
  return {
    filename: path,
    format: "qcow2",
    "check-errors": 0,
    corruptions: report.errorCount,
    leaks: report.leaks,
    "corruptions-fixed": found.errorCount - report.errorCount,
    "leaks-fixed": found.leaks - report.leaks,
    "total-clusters": report.totalClusters,
    "allocated-clusters": report.dataClusters,
    "compressed-clusters": report.compressedClusters,
    errors: report.errors,
  };
}
