/* A program for guests: its standard input and output through a vsock connection.
 *
 *     vsock connect PORT    to the host
 *     vsock listen PORT     the first that connects, from the host
 *
 * It sends what it reads and then says that it sends no more; it prints what it receives. */

#include <linux/vm_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void copy(int from, int to) {
  static char data[65536];
  for (;;) {
    ssize_t count = read(from, data, sizeof data);
    if (count < 0) fail("read");
    if (count == 0) return;
    for (ssize_t done = 0; done < count;) {
      ssize_t written = write(to, data + done, count - done);
      if (written < 0) fail("write");
      done += written;
    }
  }
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  int is_listening = strcmp(argv[1], "listen") == 0;
  struct sockaddr_vm address = {
    .svm_family = AF_VSOCK,
    .svm_cid = is_listening ? VMADDR_CID_ANY : VMADDR_CID_HOST,
    .svm_port = strtoul(argv[2], NULL, 10),
  };
  int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
  if (fd < 0) fail("socket");
  if (is_listening) {
    if (bind(fd, (void *)&address, sizeof address) < 0) fail("bind");
    if (listen(fd, 1) < 0) fail("listen");
    fprintf(stderr, "listening\n");
    fd = accept(fd, NULL, NULL);
    if (fd < 0) fail("accept");
  } else if (connect(fd, (void *)&address, sizeof address) < 0) {
    fail("connect");
  }
  pid_t sender = fork();
  if (sender == 0) {
    copy(0, fd);
    if (shutdown(fd, SHUT_WR) < 0) fail("shutdown");
    return 0;
  }
  copy(fd, 1);
  int status;
  waitpid(sender, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
