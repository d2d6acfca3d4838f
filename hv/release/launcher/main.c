/*
 * The beginning of the single file dist/hv: brings Deno and hv's modules, which lie behind it in the
 * same file (own_file.c), into the user's cache when it is started for the first time
 * (version_directory.c, copy.c), and becomes Deno.
 *
 * Threats: other users (the directory is private, and refused where it is not), a file that was cut off
 * or damaged on its way here, a full or read-only disk, two starts at once, a start that is killed, an
 * environment that is meant for another Deno.
 *
 * From the compiler's command line (self_contained.ts) come HV_PROGRAM, Deno's name, by which processes
 * are listed; HV_MODULE, hv's first module; HV_OPTIONS, what stands before it on Deno's command line;
 * HV_CACHE, the folder for what Deno keeps; HV_CODE, the name of its file for compiled code.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher.h"

#define HOST_ERROR 4 /* the exit code of hv for what the host lacks */

static void say_list(const char *format, va_list list) {
  fputs("hv: ", stderr);
  vfprintf(stderr, format, list);
  fputc('\n', stderr);
}

void fail(const char *format, ...) {
  va_list list;
  va_start(list, format);
  say_list(format, list);
  exit(HOST_ERROR);
}

void say(const char *format, ...) {
  va_list list;
  va_start(list, format);
  say_list(format, list);
  va_end(list);
}

char *text_of(const char *format, ...) {
  va_list list;
  char *text;
  va_start(list, format);
  if (vasprintf(&text, format, list) < 0) fail("out of memory");
  va_end(list);
  return text;
}

/*
 * What users have set for a Deno or Node of theirs is not for hv: it can load modules, wrap what is
 * printed, open pipes.
 */
static const char *const OTHERS[] = { "DENO_", "NODE_", "OTEL_" };

static bool is_for_others(const char *variable) {
  for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++) {
    if (strncmp(variable, OTHERS[i], strlen(OTHERS[i])) == 0) return true;
  }
  return false;
}

extern char **environ;

static void set_environment(const char *directory) {
  char **kept = environ;
  for (char **at = environ; *at != NULL; at++) {
    if (!is_for_others(*at)) *kept++ = *at;
  }
  *kept = NULL;
  setenv("DENO_DIR", text_of("%s/" HV_CACHE, directory), 1);
  setenv("DENO_NO_UPDATE_CHECK", "1", 1);
}

/* Deno's command line, with the words of this one behind it. */
static char **command_line(int argc, char **argv, char *module) {
  static const char *const OPTIONS[] = { HV_OPTIONS };
  size_t options = sizeof OPTIONS / sizeof *OPTIONS, count = 0;
  char **words = calloc(options + (size_t)argc + 3, sizeof *words);
  if (words == NULL) fail("out of memory");
  words[count++] = "hv";
  for (size_t i = 0; i < options; i++) words[count++] = (char *)OPTIONS[i];
  words[count++] = module;
  for (int i = 1; i < argc; i++) words[count++] = argv[i];
  return words;
}

static void check_working_directory(void) {
  char *path = getcwd(NULL, 0);
  if (path == NULL && errno == ENOENT) {
    fail("the directory that it was started in has been removed: go to another");
  }
  free(path);
}

int main(int argc, char **argv) {
  open_own_file();
  check_working_directory();
  char *path;
  int directory = open_version(&path);
  /* Stays open, with its lock; not as 0, 1 or 2 where those were closed. */
  if (fcntl(directory, F_DUPFD, 3) < 0) fail("cannot keep the lock on %s: %s", path, strerror(errno));
  char *deno = text_of("%s/" HV_PROGRAM, path);
  char **words = command_line(argc, argv, text_of("%s/" HV_MODULE, path));
  set_environment(path);
  execv(deno, words);
  if (errno == EACCES) {
    fail("cannot run %s: permission denied; its file system may be mounted noexec: "
         "set XDG_CACHE_HOME to a directory that will do", deno);
  }
  if (errno == ENOENT) {
    fail("cannot run %s: this system lacks what it is linked with (glibc: /lib64/ld-linux-x86-64.so.2)", deno);
  }
  fail("cannot run %s: %s", deno, strerror(errno));
}
