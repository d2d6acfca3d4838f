/*
 * The files in a version's directory: unpacking them, and whether they are what they were.
 *
 * The stamp says how each file was when its content was last checked: inode, size, times. Nobody can
 * write to a file and leave its time of change as it was, so a start that finds all as the stamp says
 * need not read them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "launcher.h"

#define STAMP "hv.stamp"

/*
 * A line for each file. NULL, with the file's name in `odd`, when one is not there, or is another's, or
 * others can write to it.
 */
static char *stamp_now(int directory, const char **odd) {
  char *text = NULL;
  size_t bytes;
  FILE *out = open_memstream(&text, &bytes);
  if (out == NULL) fail("out of memory");
  *odd = NULL;
  for (size_t i = 0; i < entry_count && *odd == NULL; i++) {
    struct stat s;
    if (fstatat(directory, entries[i].name, &s, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(s.st_mode) ||
        (uint64_t)s.st_size != entries[i].bytes || s.st_uid != geteuid() || (s.st_mode & 022) != 0) {
      *odd = entries[i].name;
      break;
    }
    fprintf(out, "%lu %ld.%09ld %ld.%09ld %s\n", (unsigned long)s.st_ino, (long)s.st_mtim.tv_sec,
        s.st_mtim.tv_nsec, (long)s.st_ctim.tv_sec, s.st_ctim.tv_nsec, entries[i].name);
  }
  fclose(out);
  if (*odd == NULL) return text;
  free(text);
  return NULL;
}

bool is_as_stamped(int directory) {
  const char *odd;
  char *now = stamp_now(directory, &odd);
  if (now == NULL) return false;
  size_t bytes = strlen(now);
  char *then = malloc(bytes + 1);
  int file = openat(directory, STAMP, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  bool same = then != NULL && file >= 0 && read(file, then, bytes + 1) == (ssize_t)bytes &&
      memcmp(then, now, bytes) == 0;
  if (file >= 0) close(file);
  free(then);
  free(now);
  return same;
}

bool has_stamp(int directory) {
  struct stat status;
  return fstatat(directory, STAMP, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

/* One that cannot be written costs the next start a check, no more. */
static void write_stamp(int directory, const char *stamp) {
  int file = openat(directory, STAMP ".new", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (file < 0) return;
  size_t bytes = strlen(stamp);
  if (write(file, stamp, bytes) == (ssize_t)bytes) renameat(directory, STAMP ".new", directory, STAMP);
  close(file);
}

static bool is_right(int directory, const struct entry *entry) {
  static uint8_t buffer[1 << 16];
  int file = openat(directory, entry->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (file < 0) return false;
  SHA2_CTX context;
  SHA256Init(&context);
  ssize_t got;
  while ((got = read(file, buffer, sizeof buffer)) > 0) SHA256Update(&context, buffer, (size_t)got);
  close(file);
  uint8_t digest[SHA256_DIGEST_LENGTH];
  char text[DIGEST_TEXT_BYTES];
  SHA256Final(digest, &context);
  hexadecimal(digest, sizeof digest, text);
  return got == 0 && strcmp(text, entry->digest) == 0;
}

const char *check_and_stamp(int directory) {
  /* As it is before the files are read: what is written meanwhile is found by the next start. */
  const char *damaged;
  char *stamp = stamp_now(directory, &damaged);
  for (size_t i = 0; damaged == NULL && i < entry_count; i++) {
    if (!is_right(directory, &entries[i])) damaged = entries[i].name;
  }
  if (damaged == NULL) write_stamp(directory, stamp);
  free(stamp);
  return damaged;
}

/* --- unpacking ---------------------------------------------------------------------------------- */

/* Makes a file and the folders above it; -1 and errno. */
static int create_file(int directory, const struct entry *entry) {
  char *path = text_of("%s", entry->name);
  for (char *at = path; (at = strchr(at, '/')) != NULL; at++) {
    *at = '\0';
    bool made = mkdirat(directory, path, 0700) == 0 || errno == EEXIST;
    *at = '/';
    if (!made) {
      free(path);
      return -1;
    }
  }
  int file = openat(directory, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, entry->mode);
  free(path);
  return file;
}

static bool write_all(int file, const char *bytes, size_t count) {
  for (size_t done = 0; done < count;) {
    ssize_t put = write(file, bytes + done, count - done);
    if (put < 0 && errno != EINTR) return false;
    if (put > 0) done += (size_t)put;
  }
  return true;
}

/* The content of all files, one after the other. */
struct content {
  ZSTD_DStream *stream;
  ZSTD_inBuffer in;
  ZSTD_outBuffer out;
  uint64_t taken; /* compressed bytes read so far */
  size_t used;    /* bytes of `out` that have been written */
};

static struct content open_content(void) {
  struct content content = {
    .stream = ZSTD_createDStream(),
    .in = { malloc(ZSTD_DStreamInSize()), 0, 0 },
    .out = { malloc(ZSTD_DStreamOutSize()), 0, 0 },
  };
  if (content.stream == NULL || content.in.src == NULL || content.out.dst == NULL) fail("out of memory");
  return content;
}

static void close_content(struct content *content) {
  ZSTD_freeDStream(content->stream);
  free((void *)content->in.src);
  free(content->out.dst);
}

/* Refills `out`; false where the compressed bytes are damaged, or end. */
static bool more_content(struct content *content) {
  if (content->in.pos == content->in.size) {
    content->in.size = read_compressed((void *)content->in.src, ZSTD_DStreamInSize(), content->taken);
    content->in.pos = 0;
    content->taken += content->in.size;
  }
  content->out.size = ZSTD_DStreamOutSize();
  content->out.pos = content->used = 0;
  size_t result = ZSTD_decompressStream(content->stream, &content->out, &content->in);
  return !ZSTD_isError(result) && (content->out.pos > 0 || content->in.size > 0);
}

static bool unpack_file(struct content *content, int file, uint64_t bytes) {
  for (uint64_t left = bytes; left > 0;) {
    size_t there = content->out.pos - content->used;
    if (there == 0) {
      if (more_content(content)) continue;
      errno = EBADMSG;
      return false;
    }
    size_t count = there < left ? there : (size_t)left;
    if (!write_all(file, (char *)content->out.dst + content->used, count)) return false;
    content->used += count;
    left -= count;
  }
  /* What a crash of the host leaves must not pass for complete. */
  return fsync(file) == 0;
}

bool unpack_files(int directory, const char **at) {
  struct content content = open_content();
  bool good = true;
  for (size_t i = 0; good && i < entry_count; i++) {
    *at = entries[i].name;
    int file = create_file(directory, &entries[i]);
    if (file < 0) {
      good = false;
      break;
    }
    good = unpack_file(&content, file, entries[i].bytes);
    int problem = errno;
    if (close(file) < 0 && good) {
      good = false;
      problem = errno;
    }
    errno = problem;
  }
  int problem = errno;
  close_content(&content);
  errno = problem;
  return good;
}
