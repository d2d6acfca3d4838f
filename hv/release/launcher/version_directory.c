/*
 * Where copies are kept: $XDG_CACHE_HOME/hv/VERSION, beside what else hv keeps there.
 *
 * A version's directory appears complete by a rename. Who runs a version holds a shared lock on its
 * directory, which outlives exec; who removes one needs it alone. One process at a time unpacks: it
 * holds `.lock`, and works in `.VERSION`.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher.h"

static const char ADVICE[] = "set XDG_CACHE_HOME to a directory that will do";
static char *parent; /* the directory of all versions */

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
  if (status.st_uid != geteuid()) {
    fail("will not run what is in %s: it belongs to user %u; remove it, or %s", path, status.st_uid, ADVICE);
  }
  if ((status.st_mode & 022) != 0) {
    fail("will not run what is in %s: other users can write there; chmod go-w it, or %s", path, ADVICE);
  }
}

static int open_directory(int above, const char *name) {
  return openat(above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static bool is_directory(const char *path) {
  struct stat status;
  return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* Opens the directory of all versions, which hv's packages share. */
static int open_parent(void) {
  const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
  int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  if (cache != NULL && cache[0] == '/') {
    parent = text_of("%s/hv", cache);
  } else if (home != NULL && home[0] == '/' && is_directory(home)) {
    parent = text_of("%s/.cache/hv", home);
  } else {
    /* Anybody can put a link there. */
    parent = text_of("/tmp/hv-%u", geteuid());
    flags |= O_NOFOLLOW;
  }
  make_path(parent);
  int directory = open(parent, flags);
  if (directory < 0) fail("cannot open the directory %s: %s; %s", parent, strerror(errno), ADVICE);
  /* The user's own may have been made where users share their group. */
  struct stat status;
  if (fstat(directory, &status) == 0 && status.st_uid == geteuid() && (status.st_mode & 022) != 0) {
    fchmod(directory, status.st_mode & 07755);
  }
  refuse_shared(directory, parent);
  return directory;
}

/* --- removing ----------------------------------------------------------------------------------- */

void remove_tree(int above, const char *name) {
  int directory = open_directory(above, name);
  if (directory < 0) return;
  DIR *list = fdopendir(directory);
  if (list == NULL) {
    close(directory);
    return;
  }
  for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    if (unlinkat(directory, entry->d_name, 0) < 0) remove_tree(directory, entry->d_name);
  }
  closedir(list);
  unlinkat(above, name, AT_REMOVEDIR);
}

/* Is it named as a version or, with a point before it, as one that comes or goes? */
static bool is_version_name(const char *name) {
  if (name[0] == '.') name++;
  return strlen(name) == NAME_BYTES && strspn(name, "0123456789abcdef") == NAME_BYTES;
}

/* Removes a version's directory; being killed meanwhile must leave none that looks damaged. */
static void remove_version(int above, const char *name) {
  char *hidden = text_of(".%s", name);
  remove_tree(above, hidden);
  if (renameat(above, name, above, hidden) == 0) remove_tree(above, hidden);
  free(hidden);
}

/* Removes versions that nobody runs, and what killed starts have left. `.lock` is held. */
static void remove_others(int above) {
  int copy = open_directory(above, ".");
  DIR *list = copy < 0 ? NULL : fdopendir(copy);
  if (list == NULL) return;
  for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
    if (!is_version_name(entry->d_name) || strcmp(entry->d_name, version) == 0) continue;
    int directory = open_directory(above, entry->d_name);
    if (directory < 0) continue;
    if (entry->d_name[0] == '.') {
      remove_tree(above, entry->d_name);
    } else if (has_stamp(directory) && flock(directory, LOCK_EX | LOCK_NB) == 0) {
      remove_version(above, entry->d_name);
    }
    close(directory);
  }
  closedir(list);
}

/* --- unpacking ---------------------------------------------------------------------------------- */

/* Removes what was begun, which would only take room, and says why. */
static _Noreturn void give_up(int above, const char *begun, const char *what) {
  int problem = errno;
  remove_tree(above, begun);
  if (problem == EBADMSG) fail("its own file is damaged (%s): fetch it again", what);
  fail("cannot unpack %s into %s: %s; %lu MiB are needed; make room there, or %s", what, parent,
      strerror(problem), (unsigned long)(unpacked_bytes >> 20) + 1, ADVICE);
}

/* Puts the complete directory `begun` into its place, where a damaged one may be. */
static bool put_in_place(int above, const char *begun) {
  if (renameat(above, begun, above, version) == 0) return true;
  /* Whoever runs a damaged copy keeps what it has open, and finds the rest in the new one. */
  if (renameat2(above, begun, above, version, RENAME_EXCHANGE) == 0) {
    remove_tree(above, begun);
    return true;
  }
  remove_tree(above, version);
  return renameat(above, begun, above, version) == 0;
}

static void unpack_anew(int above) {
  char *begun = text_of(".%s", version);
  remove_tree(above, begun);
  if (mkdirat(above, begun, 0700) < 0) give_up(above, begun, "itself");
  int directory = open_directory(above, begun);
  if (directory < 0) give_up(above, begun, "itself");
  const char *at = "itself";
  if (!unpack_files(directory, &at)) give_up(above, begun, at);
  at = check_and_stamp(directory);
  errno = EBADMSG;
  if (at != NULL) give_up(above, begun, at);
  fsync(directory);
  if (!put_in_place(above, begun)) give_up(above, begun, "itself");
  fsync(above);
  close(directory);
  free(begun);
}

/* Sees to it that this version is in its place, and right; another process may have, meanwhile. */
static void unpack(int above) {
  int lock = openat(above, ".lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (lock < 0) fail("cannot write to %s: %s; %s", parent, strerror(errno), ADVICE);
  while (flock(lock, LOCK_EX) < 0) {
    if (errno != EINTR) fail("cannot lock %s/.lock: %s; %s", parent, strerror(errno), ADVICE);
  }
  int there = open_directory(above, version);
  const char *damaged = NULL;
  bool is_right = there >= 0 && (is_as_stamped(there) || (damaged = check_and_stamp(there)) == NULL);
  if (there >= 0) close(there);
  if (!is_right) {
    if (damaged != NULL) {
      say("the copy in %s/%s is damaged (%s): unpacking it anew", parent, version, damaged);
    } else if (isatty(STDERR_FILENO)) {
      say("unpacking itself into %s/%s, once", parent, version);
    }
    unpack_anew(above);
    remove_others(above);
  }
  close(lock);
}

/* Is the directory that is open still the one of that name? Somebody may have put another there. */
static bool is_in_place(int above, int directory) {
  struct stat held, named;
  return fstat(directory, &held) == 0 && fstatat(above, version, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
      held.st_ino == named.st_ino && held.st_dev == named.st_dev;
}

/* Holds the directory against removal, with others. */
static void lock_shared(int directory) {
  while (flock(directory, LOCK_SH) < 0 && errno == EINTR) continue;
}

int open_version(char **path) {
  /* Modes are the launcher's to choose. */
  mode_t mask = umask(077);
  int above = open_parent();
  *path = text_of("%s/%s", parent, version);
  for (int tries = 0; tries < 10; tries++) {
    int directory = open_directory(above, version);
    if (directory < 0 && errno != ENOENT) {
      fail("cannot open %s: %s; remove it, or %s", *path, strerror(errno), ADVICE);
    }
    if (directory >= 0) {
      refuse_shared(directory, *path);
      bool is_alone = flock(directory, LOCK_EX | LOCK_NB) == 0;
      if (!is_alone) lock_shared(directory);
      if (is_in_place(above, directory) && is_as_stamped(directory)) {
        if (is_alone) {
          check_code(directory);
          lock_shared(directory);
          /* Between the two, somebody may have taken it for one that nobody runs. */
          if (!is_in_place(above, directory) || !is_as_stamped(directory)) {
            close(directory);
            continue;
          }
        }
        close(above);
        umask(mask);
        return directory;
      }
      close(directory);
    }
    unpack(above);
  }
  fail("cannot keep a copy in %s: it changes all the time; %s", *path, ADVICE);
}
