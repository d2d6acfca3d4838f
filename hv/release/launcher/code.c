/*
 * What Deno keeps of the code that it has compiled: an SQLite file with a log beside it.
 *
 * Only the log has checksums, and a changed byte elsewhere would be run as code. So Deno is given an
 * empty file whose pages are so large that all of hv's code stays in the log (self_contained.ts); a file
 * that is not as it was given has been written to, by Deno when the disk was full or by somebody, and
 * goes with its log. Nothing is lost but the time that compiling takes.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher.h"

#define KEPT HV_CACHE "/" HV_CODE
#define LIMIT (1 << 16)

/* The content of a short file; -1 when there is none, or more than the limit. */
static ssize_t content_of(int directory, const char *name, char *content) {
  int file = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (file < 0) return -1;
  struct stat status;
  ssize_t bytes = -1;
  if (fstat(file, &status) == 0 && S_ISREG(status.st_mode) && status.st_size <= LIMIT) {
    bytes = read(file, content, LIMIT);
    if (bytes != status.st_size) bytes = -1;
  }
  close(file);
  return bytes;
}

void check_code(int directory) {
  static char given[LIMIT], kept[LIMIT];
  ssize_t bytes = content_of(directory, HV_CODE, given);
  if (bytes < 0) return;
  if (content_of(directory, KEPT, kept) == bytes && memcmp(given, kept, (size_t)bytes) == 0) return;
  if (unlinkat(directory, HV_CACHE, 0) < 0) remove_tree(directory, HV_CACHE);
  mkdirat(directory, HV_CACHE, 0700);
  int file = openat(directory, KEPT, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (file < 0) return;
  /* Where there is no room, Deno makes its own, or none. */
  if (write(file, given, (size_t)bytes) != bytes) unlinkat(directory, KEPT, 0);
  close(file);
}
