/*
 * The beginning of the single file dist/hv: brings Deno and hv's modules, which lie behind it in the
 * same file, into the user's cache when it is started for the first time, and becomes Deno.
 *
 * The file: this program; a manifest; the files that it names, one after the other, compressed with
 * zstd; a footer (struct footer). The manifest has a line for each file, `DIGEST BYTES MODE NAME`, with
 * the SHA-256 of its content in hexadecimal, and its own SHA-256 is the version's name: what it names
 * is known by that name to the last byte.
 *
 * A version's directory, $XDG_CACHE_HOME/hv/VERSION, appears complete by a rename. In it a stamp says
 * how each file was when its content was last checked: inode, size, times. Nobody can write to a file
 * and leave its time of change as it was; a start that finds all as the stamp says need not read them.
 * Who runs a version holds a shared lock on its directory, which outlives exec; who removes or replaces
 * one needs it alone. One process at a time unpacks.
 *
 * Threats: other users (the directory is private, and refused where it is not), a file that was cut off
 * or damaged on its way here, a full or read-only disk, two starts at once, a start that is killed.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sha256.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "launcher.h"

#define NAME_BYTES 32 /* hexadecimal digits of a version's name: half of the manifest's digest */
#define MANIFEST_LIMIT (1u << 20)
#define STAMP "hv.stamp"
#define HOST_ERROR 4 /* the exit code of hv for what the host lacks */

/* The last bytes of the file. Numbers are little-endian. */
struct footer {
  char magic[8];
  uint64_t manifest_at, manifest_bytes;
  uint64_t files_at, files_bytes;
  uint8_t manifest_digest[SHA256_DIGEST_LENGTH];
};
static const char MAGIC[8] = "hvfile1\n";

struct entry {
  char digest[2 * SHA256_DIGEST_LENGTH + 1];
  uint64_t bytes;
  unsigned mode;
  const char *name;
};

static char *manifest;
static struct entry *entries;
static size_t entry_count;
static uint64_t unpacked_bytes;
static struct footer footer;
static int self = -1;
static char version[NAME_BYTES + 1];
static char *parent; /* the directory of all versions */

static _Noreturn void fail(const char *format, ...) {
  va_list list;
  va_start(list, format);
  fputs("hv: ", stderr);
  vfprintf(stderr, format, list);
  fputc('\n', stderr);
  exit(HOST_ERROR);
}

static void say(const char *format, ...) {
  va_list list;
  va_start(list, format);
  fputs("hv: ", stderr);
  vfprintf(stderr, format, list);
  fputc('\n', stderr);
  va_end(list);
}

/* A new text, as printf makes it. */
static char *text_of(const char *format, ...) {
  va_list list;
  char *text;
  va_start(list, format);
  if (vasprintf(&text, format, list) < 0) fail("out of memory");
  va_end(list);
  return text;
}

static void hex(const uint8_t *bytes, size_t count, char *text) {
  for (size_t i = 0; i < count; i++) sprintf(text + 2 * i, "%02x", bytes[i]);
}

/* --- the file itself ---------------------------------------------------------------------------- */

static void read_at(void *into, size_t bytes, uint64_t at) {
  for (size_t done = 0; done < bytes;) {
    ssize_t got = pread(self, (char *)into + done, bytes - done, (off_t)(at + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("cannot read its own file: %s", strerror(errno));
    if (got == 0) fail("its own file is cut off: fetch it again");
    done += (size_t)got;
  }
}

static bool is_safe_name(const char *name) {
  return name[0] != '\0' && name[0] != '/' && strstr(name, "..") == NULL;
}

static void parse_manifest(void) {
  size_t lines = 0;
  for (const char *at = manifest; *at != '\0'; at++) lines += *at == '\n';
  entries = calloc(lines + 1, sizeof *entries);
  if (entries == NULL) fail("out of memory");
  char *rest = manifest;
  for (char *line; (line = strsep(&rest, "\n")) != NULL && *line != '\0';) {
    struct entry *entry = &entries[entry_count++];
    int at = 0;
    if (sscanf(line, "%64s %lu %o %n", entry->digest, &entry->bytes, &entry->mode, &at) < 3 ||
        at == 0 || !is_safe_name(line + at)) {
      fail("its own file is damaged: fetch it again");
    }
    entry->name = line + at;
    unpacked_bytes += entry->bytes;
  }
}

static void open_self(void) {
  self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  if (self < 0) fail("cannot open its own file by /proc/self/exe: %s; is /proc mounted?", strerror(errno));
  struct stat status;
  if (fstat(self, &status) < 0) fail("cannot look at its own file: %s", strerror(errno));
  uint64_t size = (uint64_t)status.st_size;
  if (size < sizeof footer) fail("its own file is cut off: fetch it again");
  uint64_t end = size - sizeof footer;
  read_at(&footer, sizeof footer, end);
  bool fits = memcmp(footer.magic, MAGIC, sizeof MAGIC) == 0 &&
      footer.manifest_bytes <= MANIFEST_LIMIT && footer.manifest_at <= end &&
      footer.files_at <= end && footer.files_bytes == end - footer.files_at &&
      footer.manifest_bytes <= footer.files_at && footer.manifest_at == footer.files_at - footer.manifest_bytes;
  if (!fits) fail("its own file is cut off or damaged: fetch it again");
  manifest = calloc(1, footer.manifest_bytes + 1);
  if (manifest == NULL) fail("out of memory");
  read_at(manifest, footer.manifest_bytes, footer.manifest_at);
  uint8_t digest[SHA256_DIGEST_LENGTH];
  SHA2_CTX context;
  SHA256Init(&context);
  SHA256Update(&context, (uint8_t *)manifest, footer.manifest_bytes);
  SHA256Final(digest, &context);
  if (memcmp(digest, footer.manifest_digest, sizeof digest) != 0) {
    fail("its own file is damaged: fetch it again");
  }
  hex(digest, NAME_BYTES / 2, version);
  parse_manifest();
}

/* --- where it is unpacked ----------------------------------------------------------------------- */

static const char *ADVICE = "set XDG_CACHE_HOME to a directory that will do";

/* Makes a directory with all above it. */
static void make_path(char *path) {
  for (char *at = path + 1;; at++) {
    if (*at != '/' && *at != '\0') continue;
    char end = *at;
    *at = '\0';
    if (mkdir(path, 0700) < 0 && errno != EEXIST) {
      fail("cannot make the directory %s: %s; %s", path, strerror(errno), ADVICE);
    }
    *at = end;
    if (end == '\0') return;
  }
}

/* Others must not be able to put something else in the place of what is run. */
static void refuse_shared(int directory, const char *path) {
  struct stat status;
  if (fstat(directory, &status) < 0) fail("cannot look at %s: %s", path, strerror(errno));
  if (!S_ISDIR(status.st_mode)) fail("%s is no directory; remove it, or %s", path, ADVICE);
  if (status.st_uid != geteuid()) {
    fail("will not run what is in %s: it belongs to user %u; remove it, or %s", path, status.st_uid, ADVICE);
  }
  if ((status.st_mode & 022) != 0) {
    fail("will not run what is in %s: other users can write there; chmod go-w it, or %s", path, ADVICE);
  }
}

static int open_directory(const char *path) {
  return open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Opens the directory of all versions, which hv's packages share. */
static int open_parent(void) {
  const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
  if (cache != NULL && cache[0] == '/') {
    parent = text_of("%s/hv", cache);
  } else if (home != NULL && home[0] == '/') {
    parent = text_of("%s/.cache/hv", home);
  } else {
    parent = text_of("/tmp/hv-%u", geteuid());
  }
  make_path(parent);
  int directory = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) fail("cannot open the directory %s: %s; %s", parent, strerror(errno), ADVICE);
  /* It is the user's own, and may have been made where users share their group. */
  struct stat status;
  if (fstat(directory, &status) == 0 && status.st_uid == geteuid() && (status.st_mode & 022) != 0) {
    fchmod(directory, status.st_mode & 07755);
  }
  refuse_shared(directory, parent);
  return directory;
}

/* --- what is there ------------------------------------------------------------------------------ */

/* A line of the stamp for each file: how it was when its content was checked. */
static char *stamp_now(int directory) {
  char *text = NULL;
  size_t bytes;
  FILE *out = open_memstream(&text, &bytes);
  if (out == NULL) fail("out of memory");
  bool all = true;
  for (size_t i = 0; i < entry_count; i++) {
    struct stat s;
    if (fstatat(directory, entries[i].name, &s, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(s.st_mode) ||
        (uint64_t)s.st_size != entries[i].bytes || s.st_uid != geteuid() || (s.st_mode & 022) != 0) {
      all = false;
      break;
    }
    fprintf(out, "%lu %ld.%09ld %ld.%09ld %s\n", (unsigned long)s.st_ino, (long)s.st_mtim.tv_sec,
        s.st_mtim.tv_nsec, (long)s.st_ctim.tv_sec, s.st_ctim.tv_nsec, entries[i].name);
  }
  fclose(out);
  if (all) return text;
  free(text);
  return NULL;
}

static bool is_as_stamped(int directory) {
  char *now = stamp_now(directory);
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

/* A stamp that cannot be written costs the next start a check, no more. */
static void write_stamp(int directory) {
  char *now = stamp_now(directory);
  if (now == NULL) return;
  int file = openat(directory, STAMP ".new", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
  size_t bytes = strlen(now);
  if (file >= 0 && write(file, now, bytes) == (ssize_t)bytes) {
    renameat(directory, STAMP ".new", directory, STAMP);
  }
  if (file >= 0) close(file);
  free(now);
}

/* The first file whose content is not what the manifest says; NULL when all are right. */
static const char *first_damaged(int directory) {
  static uint8_t buffer[1 << 16];
  for (size_t i = 0; i < entry_count; i++) {
    int file = openat(directory, entries[i].name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (file < 0) return entries[i].name;
    SHA2_CTX context;
    SHA256Init(&context);
    ssize_t got;
    while ((got = read(file, buffer, sizeof buffer)) > 0) SHA256Update(&context, buffer, (size_t)got);
    close(file);
    uint8_t digest[SHA256_DIGEST_LENGTH];
    char text[2 * sizeof digest + 1];
    SHA256Final(digest, &context);
    hex(digest, sizeof digest, text);
    if (got < 0 || strcmp(text, entries[i].digest) != 0) return entries[i].name;
  }
  return NULL;
}

/* Removes a directory with all in it; follows no links. */
static void remove_tree(int above, const char *name) {
  int directory = openat(above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (directory < 0) return;
  DIR *list = fdopendir(directory);
  for (struct dirent *entry; list != NULL && (entry = readdir(list)) != NULL;) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    if (unlinkat(directory, entry->d_name, 0) < 0) remove_tree(directory, entry->d_name);
  }
  if (list != NULL) closedir(list);
  unlinkat(above, name, AT_REMOVEDIR);
}

/* Is it the name of a version, or with a point before it of one that comes or goes? */
static bool is_version_name(const char *name) {
  if (name[0] == '.') name++;
  return strlen(name) == NAME_BYTES && strspn(name, "0123456789abcdef") == NAME_BYTES;
}

/* Removes versions that nobody runs. The lock on unpacking is held. */
static void remove_others(int above) {
  int copy = openat(above, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *list = copy < 0 ? NULL : fdopendir(copy);
  if (list == NULL) return;
  for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
    if (!is_version_name(entry->d_name) || strcmp(entry->d_name, version) == 0) continue;
    int directory = openat(above, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (directory < 0) continue;
    if (flock(directory, LOCK_EX | LOCK_NB) == 0) remove_tree(above, entry->d_name);
    close(directory);
  }
  closedir(list);
}

/* --- unpacking ---------------------------------------------------------------------------------- */

struct unpacking {
  int above, directory;
  char name[NAME_BYTES + 2];
};

/* What was begun is removed: it would only take room. */
static _Noreturn void give_up(struct unpacking *to, const char *what) {
  int problem = errno;
  remove_tree(to->above, to->name);
  fail("cannot unpack %s into %s: %s; %lu MiB are needed; make room there, or %s", what, parent,
      strerror(problem), (unsigned long)(unpacked_bytes >> 20) + 1, ADVICE);
}

static int create_file(struct unpacking *to, const struct entry *entry) {
  char *path = text_of("%s", entry->name);
  for (char *at = path; (at = strchr(at, '/')) != NULL; at++) {
    *at = '\0';
    if (mkdirat(to->directory, path, 0700) < 0 && errno != EEXIST) give_up(to, path);
    *at = '/';
  }
  int file = openat(to->directory, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, entry->mode);
  if (file < 0) give_up(to, path);
  free(path);
  return file;
}

static void write_all(struct unpacking *to, int file, const char *bytes, size_t count, const char *name) {
  for (size_t done = 0; done < count;) {
    ssize_t put = write(file, bytes + done, count - done);
    if (put < 0 && errno != EINTR) give_up(to, name);
    if (put > 0) done += (size_t)put;
  }
}

static void unpack_files(struct unpacking *to) {
  size_t in_size = ZSTD_DStreamInSize(), out_size = ZSTD_DStreamOutSize();
  char *in_bytes = malloc(in_size), *out_bytes = malloc(out_size);
  ZSTD_DStream *stream = ZSTD_createDStream();
  if (in_bytes == NULL || out_bytes == NULL || stream == NULL) fail("out of memory");
  ZSTD_inBuffer in = { in_bytes, 0, 0 };
  uint64_t taken = 0;
  size_t out_at = 0, out_end = 0;
  for (size_t i = 0; i < entry_count; i++) {
    int file = create_file(to, &entries[i]);
    for (uint64_t left = entries[i].bytes; left > 0;) {
      if (out_at == out_end) {
        if (in.pos == in.size) {
          in.size = footer.files_bytes - taken < in_size ? footer.files_bytes - taken : in_size;
          in.pos = 0;
          read_at(in_bytes, in.size, footer.files_at + taken);
          taken += in.size;
        }
        ZSTD_outBuffer out = { out_bytes, out_size, 0 };
        size_t result = ZSTD_decompressStream(stream, &out, &in);
        out_at = 0;
        out_end = out.pos;
        if (ZSTD_isError(result) || (out.pos == 0 && in.size == 0)) {
          remove_tree(to->above, to->name);
          fail("its own file is damaged: fetch it again");
        }
        continue;
      }
      size_t count = out_end - out_at < left ? out_end - out_at : left;
      write_all(to, file, out_bytes + out_at, count, entries[i].name);
      out_at += count;
      left -= count;
    }
    /* What a crash of the host leaves must not pass for complete. */
    if (fsync(file) < 0) give_up(to, entries[i].name);
    if (close(file) < 0) give_up(to, entries[i].name);
  }
  ZSTD_freeDStream(stream);
  free(in_bytes);
  free(out_bytes);
}

/* Puts this version in its place, unless somebody has meanwhile. */
static void unpack(int above) {
  int lock = openat(above, ".lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (lock < 0) fail("cannot write to %s: %s; %s", parent, strerror(errno), ADVICE);
  while (flock(lock, LOCK_EX) < 0) {
    if (errno != EINTR) fail("cannot lock %s/.lock: %s; %s", parent, strerror(errno), ADVICE);
  }
  int there = openat(above, version, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (there >= 0) {
    if (is_as_stamped(there)) {
      close(there);
      close(lock);
      return;
    }
    const char *damaged = first_damaged(there);
    if (damaged == NULL) {
      write_stamp(there);
      close(there);
      close(lock);
      return;
    }
    say("the copy in %s/%s is damaged (%s): unpacking it anew", parent, version, damaged);
  } else if (isatty(STDERR_FILENO)) {
    say("unpacking itself into %s/%s, once", parent, version);
  }
  struct unpacking to = { above, -1, "." };
  strcat(to.name, version);
  remove_tree(above, to.name);
  if (mkdirat(above, to.name, 0700) < 0) give_up(&to, "itself");
  to.directory = openat(above, to.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (to.directory < 0) give_up(&to, "itself");
  unpack_files(&to);
  const char *damaged = first_damaged(to.directory);
  if (damaged != NULL) {
    remove_tree(above, to.name);
    fail("its own file is damaged (%s): fetch it again", damaged);
  }
  write_stamp(to.directory);
  fsync(to.directory);
  if (there >= 0) {
    /* Whoever still runs the damaged copy keeps what it has open. */
    remove_tree(above, version);
    close(there);
  }
  if (renameat(above, to.name, above, version) < 0) give_up(&to, version);
  fsync(above);
  remove_others(above);
  close(to.directory);
  close(lock);
}

/* Opens this version's directory with a shared lock that outlives exec, once all in it is right. */
static int open_version(int above) {
  char *path = text_of("%s/%s", parent, version);
  for (int tries = 0; tries < 10; tries++) {
    int directory = open_directory(path);
    if (directory < 0 && errno != ENOENT) {
      fail("cannot open %s: %s; remove it, or %s", path, strerror(errno), ADVICE);
    }
    if (directory >= 0) {
      refuse_shared(directory, path);
      while (flock(directory, LOCK_SH) < 0 && errno == EINTR) continue;
      struct stat held, named;
      bool is_there = fstat(directory, &held) == 0 && stat(path, &named) == 0 &&
          held.st_ino == named.st_ino && held.st_dev == named.st_dev;
      if (is_there && is_as_stamped(directory)) {
        free(path);
        return directory;
      }
      close(directory);
    }
    unpack(above);
  }
  fail("cannot keep a copy in %s: it changes all the time; %s", path, ADVICE);
}

/* --- becoming Deno ------------------------------------------------------------------------------ */

extern char **environ;

/* What users have set for their own Deno is not for hv. */
static void clean_environment(const char *directory) {
  for (char **at = environ; *at != NULL;) {
    size_t length = strcspn(*at, "=");
    if (strncmp(*at, "DENO_", 5) != 0 || (*at)[length] == '\0') {
      at++;
      continue;
    }
    char *name = strndup(*at, length);
    if (name == NULL) fail("out of memory");
    unsetenv(name);
    free(name);
    at = environ;
  }
  setenv("DENO_DIR", text_of("%s/cache", directory), 1);
  setenv("DENO_NO_UPDATE_CHECK", "1", 1);
}

int main(int argc, char **argv) {
  open_self();
  int above = open_parent();
  int directory = open_version(above);
  if (fcntl(directory, F_SETFD, 0) < 0) fail("cannot keep the lock on %s/%s", parent, version);
  char *path = text_of("%s/%s", parent, version);
  char *deno = text_of("%s/deno", path), *module = text_of("%s/" HV_MODULE, path);
  static const char *const OPTIONS[] = { HV_OPTIONS };
  size_t options = sizeof OPTIONS / sizeof *OPTIONS;
  char **words = calloc(options + (size_t)argc + 4, sizeof *words);
  if (words == NULL) fail("out of memory");
  size_t count = 0;
  words[count++] = "hv";
  for (size_t i = 0; i < options; i++) words[count++] = (char *)OPTIONS[i];
  words[count++] = module;
  for (int i = 1; i < argc; i++) words[count++] = argv[i];
  clean_environment(path);
  execv(deno, words);
  if (errno == EACCES) {
    fail("cannot run %s: permission denied; its file system may be mounted noexec: %s", deno, ADVICE);
  }
  if (errno == ENOENT) {
    fail("cannot run %s: this system lacks what it is linked with (glibc: /lib64/ld-linux-x86-64.so.2)", deno);
  }
  fail("cannot run %s: %s", deno, strerror(errno));
}
