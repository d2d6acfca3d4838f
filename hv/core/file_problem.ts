/** What went wrong with a file, in words for its user, from the error that the host gave. */

/** By the names of Deno's errors. */
const PROBLEMS: Record<string, string> = {
  NotFound: "there is no such file",
  PermissionDenied: "permission denied",
  NotADirectory: "a part of the path is not a directory",
  IsADirectory: "it is a directory",
  FilesystemLoop: "a loop of symbolic links",
};

/** See above; what is not known is the host's own message, without its number and file name. */
export function fileProblem(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return PROBLEMS[error.name] ?? error.message.replace(/ \(os error \d+\).*$/s, "");
}
