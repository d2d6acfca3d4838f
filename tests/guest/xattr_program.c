/* xattr set FILE NAME VALUE | get FILE NAME | remove FILE NAME | list FILE */
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

int main(int argc, char **argv) {
  static char value[65536];
  ssize_t length = -1;
  if (argc == 5 && !strcmp(argv[1], "set")) {
    length = setxattr(argv[2], argv[3], argv[4], strlen(argv[4]), 0);
  } else if (argc == 4 && !strcmp(argv[1], "get")) {
    length = getxattr(argv[2], argv[3], value, sizeof value);
  } else if (argc == 4 && !strcmp(argv[1], "remove")) {
    length = removexattr(argv[2], argv[3]);
  } else if (argc == 3 && !strcmp(argv[1], "list")) {
    length = listxattr(argv[2], value, sizeof value);
    for (ssize_t i = 0; i < length; i++) if (value[i] == 0) value[i] = ' ';
  }
  if (length < 0) {
    perror("xattr");
    return 1;
  }
  fwrite(value, 1, length, stdout);
  return 0;
}
