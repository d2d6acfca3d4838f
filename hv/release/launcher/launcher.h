/* What the launcher's parts have in common. main.c tells what it does. */
#ifndef LAUNCHER_H
#define LAUNCHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sha256.h>

/* Hexadecimal digits of a version's name: half of the manifest's digest. */
#define NAME_BYTES 32
/* A digest in hexadecimal, with its end. */
#define DIGEST_TEXT_BYTES (2 * SHA256_DIGEST_LENGTH + 1)

/* A file that is carried: a line of the manifest. */
struct entry {
  char digest[DIGEST_TEXT_BYTES];
  uint64_t bytes;
  unsigned mode;
  const char *name; /* relative to the version's directory, without ".." */
};

/* main.c */

/* Says a line on standard error and ends with the exit code for what the host lacks. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Says a line on standard error. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A new text, as printf makes it. */
char *text_of(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* own_file.c: what lies behind the launcher in its own file. */

extern char version[NAME_BYTES + 1];
extern struct entry *entries;
extern size_t entry_count;
/* Bytes of all files, unpacked. */
extern uint64_t unpacked_bytes;

/* Opens the file and checks all of it but the compressed files, or fails. */
void open_own_file(void);
/* Reads compressed bytes from `at`, at most `limit`; 0 at their end. */
size_t read_compressed(void *into, size_t limit, uint64_t at);
/* A digest as text of DIGEST_TEXT_BYTES, or as many digits of it as `bytes` have. */
void hexadecimal(const uint8_t *bytes, size_t count, char *text);

/* copy.c: the files in a version's directory. */

/* Are all files as the stamp says? Reads none of them. */
bool is_as_stamped(int directory);
/* Has it been stamped, as only versions' directories are? */
bool has_stamp(int directory);
/*
 * Reads all files: the name of the first that is not what the manifest says; NULL when all are right,
 * and stamped.
 */
const char *check_and_stamp(int directory);
/*
 * Unpacks all files into an empty directory. False, with errno, and the file's name in `at`, when the
 * disk will not have them; EBADMSG when it is the launcher's own file that is damaged.
 */
bool unpack_files(int directory, const char **at);

/* code.c: what Deno keeps of compiled code. */

/* Removes what cannot be trusted. Nobody else runs this version, whose files have been checked. */
void check_code(int directory);

/* version_directory.c: where copies are kept. */

/* Removes a directory with all in it; follows no links. */
void remove_tree(int above, const char *name);

/*
 * Opens this version's directory, with all files in it right, unpacked when need be, and with a shared
 * lock on it; its path in `path`.
 */
int open_version(char **path);

#endif
