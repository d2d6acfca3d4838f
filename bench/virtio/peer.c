/*
 * The other end of a bench's network: listens on a Unix socket, takes one client, and reads Ethernet
 * frames with a 32-bit big-endian length before each, as QEMU's `-netdev stream` sends them.
 * Usage: peer PATH [echo]. Each frame is dropped, or sent back.
 */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	static uint8_t buffer[1 << 20];
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int echo = argc > 2, listening = socket(AF_UNIX, SOCK_STREAM, 0), client;
	size_t have = 0;
	ssize_t count;

	if (argc < 2 || strlen(argv[1]) >= sizeof address.sun_path)
		return 2;
	strcpy(address.sun_path, argv[1]);
	if (bind(listening, (void *)&address, sizeof address) || listen(listening, 1)) {
		perror(argv[1]);
		return 1;
	}
	puts("ready");
	fflush(stdout);
	client = accept(listening, NULL, NULL);
	while ((count = read(client, buffer + have, sizeof buffer - have)) > 0) {
		size_t at = 0;
		if (!echo)
			continue;
		have += count;
		while (have - at >= 4) {
			uint32_t length;
			memcpy(&length, buffer + at, 4);
			length = ntohl(length);
			if (have - at < 4 + length)
				break;
			if (write(client, buffer + at, 4 + length) != (ssize_t)(4 + length))
				return 1;
			at += 4 + length;
		}
		memmove(buffer, buffer + at, have -= at);
	}
	return 0;
}
