/** What cannot be had, in one line: no apt-get, no such package, no network, no room. */
export class PackageError extends Error {
  override readonly name = "PackageError";
}
