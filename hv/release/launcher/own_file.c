/*
 * The launcher's own file, which may have been cut off or damaged on its way here: this program; a
 * manifest; the files that it names, one after the other, compressed with zstd; a footer. The manifest
 * has a line for each file, `DIGEST BYTES MODE NAME`, with the SHA-256 of its content in hexadecimal,
 * and its own SHA-256 is the version's name: what it names is known by that name to the last byte.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher.h"

#define MANIFEST_LIMIT (1u << 20)

/* The last bytes of the file. Numbers are little-endian. */
struct footer {
  char magic[8];
  uint64_t manifest_at, manifest_bytes;
  uint64_t files_at, files_bytes;
  uint8_t manifest_digest[SHA256_DIGEST_LENGTH];
};
static const char MAGIC[8] = "hvfile1\n";

char version[NAME_BYTES + 1];
struct entry *entries;
size_t entry_count;
uint64_t unpacked_bytes;

static int self = -1;
static struct footer footer;

void hexadecimal(const uint8_t *bytes, size_t count, char *text) {
  for (size_t i = 0; i < count; i++) sprintf(text + 2 * i, "%02x", bytes[i]);
}

static void read_at(void *into, size_t bytes, uint64_t at) {
  for (size_t done = 0; done < bytes;) {
    ssize_t got = pread(self, (char *)into + done, bytes - done, (off_t)(at + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("cannot read its own file: %s", strerror(errno));
    if (got == 0) fail("its own file is cut off: fetch it again");
    done += (size_t)got;
  }
}

size_t read_compressed(void *into, size_t limit, uint64_t at) {
  uint64_t left = footer.files_bytes - at;
  size_t bytes = left < limit ? (size_t)left : limit;
  read_at(into, bytes, footer.files_at + at);
  return bytes;
}

static bool is_safe_name(const char *name) {
  return name[0] != '\0' && name[0] != '/' && strstr(name, "..") == NULL;
}

static void parse_manifest(char *manifest) {
  size_t lines = 0;
  for (const char *at = manifest; *at != '\0'; at++) lines += *at == '\n';
  entries = calloc(lines + 1, sizeof *entries);
  if (entries == NULL) fail("out of memory");
  char *rest = manifest;
  for (char *line; (line = strsep(&rest, "\n")) != NULL && *line != '\0';) {
    struct entry *entry = &entries[entry_count];
    int at = 0;
    int read = sscanf(line, "%64s %" SCNu64 " %o %n", entry->digest, &entry->bytes, &entry->mode, &at);
    if (entry_count == lines || read < 3 || at == 0 || !is_safe_name(line + at)) {
      fail("its own file is damaged: fetch it again");
    }
    entry->name = line + at;
    unpacked_bytes += entry->bytes;
    entry_count++;
  }
}

void open_own_file(void) {
  self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  if (self < 0) fail("cannot open its own file by /proc/self/exe: %s; is /proc mounted?", strerror(errno));
  struct stat status;
  if (fstat(self, &status) < 0) fail("cannot look at its own file: %s", strerror(errno));
  uint64_t size = (uint64_t)status.st_size;
  if (size < sizeof footer) fail("its own file is cut off: fetch it again");
  uint64_t end = size - sizeof footer;
  read_at(&footer, sizeof footer, end);
  bool fits = memcmp(footer.magic, MAGIC, sizeof MAGIC) == 0 &&
      footer.files_at <= end && footer.files_bytes == end - footer.files_at &&
      footer.manifest_bytes <= MANIFEST_LIMIT && footer.manifest_bytes <= footer.files_at &&
      footer.manifest_at == footer.files_at - footer.manifest_bytes;
  if (!fits) fail("its own file is cut off or damaged: fetch it again");
  char *manifest = calloc(1, footer.manifest_bytes + 1);
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
  hexadecimal(digest, NAME_BYTES / 2, version);
  parse_manifest(manifest);
}
