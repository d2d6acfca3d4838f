/*
 * Drives a virtio device's rings as fast as it can, by polling, and says how long that took. Its
 * command line: `blk read|write seq|rand DEPTH COUNT`, `net send DEPTH COUNT BYTES` or
 * `net echo COUNT BYTES`. The answer, on COM1: `result COUNT MICROSECONDS`.
 *
 * Virtio 1.3: 4.1 (PCI transport), 2.7 (split virtqueues), 5.1 and 5.2 (network and block device).
 */
#include <stddef.h>
#include <stdint.h>

enum { QUEUE_SIZE = 256, SLOTS = 64, BLOCK = 4096, FRAME = 1600 };
enum { PIT_CHANNEL_2 = 0x42, PIT_CONTROL = 0x43, PORT_B = 0x61, COM1 = 0x3f8, DEBUG_EXIT = 0xf4, CONFIG_ADDRESS = 0xcf8, CONFIG_DATA = 0xcfc };
/* IDs of modern devices; those of transitional ones are from 1000h on (VIRTIO 1.3, 4.1.2). */
enum { VENDOR = 0x1af4, NET = 0x1041, BLK = 0x1042, OLDER = 0x41 };
enum { CAP_COMMON = 1, CAP_NOTIFY = 2, CAP_DEVICE = 4, CAP_VENDOR = 9 };
enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8 };
enum { NEXT = 1, WRITE = 2 };
#define F_BLK_FLUSH (1ull << 9)
#define F_EVENT_IDX (1ull << 29)
#define F_VERSION_1 (1ull << 32)

static inline void out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}
static inline void out32(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}
static inline uint8_t in8(uint16_t port)
{
	uint8_t value;
	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}
static inline uint32_t in32(uint16_t port)
{
	uint32_t value;
	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}
static inline uint64_t cycles(void)
{
	uint32_t low, high;
	__asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}
static inline void fence(void)
{
	__asm__ volatile("mfence" : : : "memory");
}

static void say(const char *text)
{
	while (*text)
		out8(COM1, *text++);
}
static void say_number(uint64_t n)
{
	char digits[24], *p = digits + sizeof digits;
	*--p = 0;
	do
		*--p = '0' + n % 10;
	while (n /= 10);
	say(p);
}
static _Noreturn void end(const char *problem)
{
	if (problem) {
		say("failed: ");
		say(problem);
		say("\n");
	}
	for (;;)
		out8(DEBUG_EXIT, problem ? 2 : 1);
}

/* Cycles of the time-stamp counter in a second, by channel 2 of the 8254 (1193182 Hz) counting down. */
static uint64_t cycles_per_second(void)
{
	out8(PORT_B, 0);
	out8(PIT_CONTROL, 0xb0);
	out8(PIT_CHANNEL_2, 0xff);
	out8(PIT_CHANNEL_2, 0xff);
	out8(PORT_B, 1);
	uint64_t begun = cycles();
	while (!(in8(PORT_B) & 0x20))
		;
	return (cycles() - begun) * 1193182 / 65536;
}

static void result(uint32_t count, uint64_t taken)
{
	say("result ");
	say_number(count);
	say(" ");
	say_number(taken * 1000 / (cycles_per_second() / 1000));
	say("\n");
}

/* --- PCI ------------------------------------------------------------------------------------ */

static uint32_t config_read(uint32_t function, int offset)
{
	out32(CONFIG_ADDRESS, 0x80000000 | function << 8 | (offset & 0xfc));
	return in32(CONFIG_DATA) >> (offset & 3) * 8;
}
static void config_write(uint32_t function, int offset, uint32_t value)
{
	out32(CONFIG_ADDRESS, 0x80000000 | function << 8 | offset);
	out32(CONFIG_DATA, value);
}

/* Base of a memory BAR; one that no firmware has placed gets a place. */
static uint8_t *bar(uint32_t function, int number)
{
	static uint32_t next = 0xf8000000;
	int offset = 0x10 + number * 4;
	uint32_t value = config_read(function, offset);
	if (value & 1)
		end("a BAR of ports");
	if ((value & ~0xfu) == 0 && !((value & 4) && config_read(function, offset + 4))) {
		config_write(function, offset, 0xffffffff);
		uint32_t size = -(config_read(function, offset) & ~0xfu);
		next = (next + size - 1) & -size;
		config_write(function, offset, next);
		if (value & 4)
			config_write(function, offset + 4, 0);
		value = next;
		next += size;
	} else if ((value & 4) && config_read(function, offset + 4))
		end("a BAR above 4 GiB");
	return (uint8_t *)(uintptr_t)(value & ~0xfu);
}

/* --- virtio --------------------------------------------------------------------------------- */

struct common {
	uint32_t device_feature_select, device_feature, driver_feature_select, driver_feature;
	uint16_t msix_config, num_queues;
	uint8_t status, generation;
	uint16_t queue_select, queue_size, queue_msix_vector, queue_enable, queue_notify_off;
	uint64_t queue_desc, queue_driver, queue_device;
};
struct descriptor {
	uint64_t address;
	uint32_t length;
	uint16_t flags, next;
};
struct queue {
	_Alignas(4096) struct descriptor descriptors[QUEUE_SIZE];
	struct {
		uint16_t flags, index, ring[QUEUE_SIZE], used_event;
	} available;
	_Alignas(4096) struct {
		uint16_t flags, index;
		struct {
			uint32_t id, length;
		} ring[QUEUE_SIZE];
		uint16_t avail_event;
	} used;
	volatile uint16_t *doorbell;
	uint16_t number, told, taken;
};

static volatile struct common *common;
static volatile uint8_t *device_config;
static uint8_t *notify_base;
static uint32_t notify_multiplier;
static int event_idx;

static void find(uint16_t device)
{
	for (uint32_t function = 0; function < 256; function++) {
		uint32_t id = config_read(function, 0);
		if (id != ((uint32_t)device << 16 | VENDOR) && id != ((uint32_t)(device - OLDER) << 16 | VENDOR))
			continue;
		for (int cap = config_read(function, 0x34) & 0xfc; cap; cap = config_read(function, cap + 1) & 0xfc) {
			uint32_t head = config_read(function, cap);
			if ((head & 0xff) != CAP_VENDOR)
				continue;
			int type = head >> 24;
			if (type != CAP_COMMON && type != CAP_NOTIFY && type != CAP_DEVICE)
				continue;
			uint8_t *base = bar(function, config_read(function, cap + 4) & 0xff) + config_read(function, cap + 8);
			if (type == CAP_COMMON)
				common = (void *)base;
			if (type == CAP_DEVICE)
				device_config = base;
			if (type == CAP_NOTIFY) {
				notify_base = base;
				notify_multiplier = config_read(function, cap + 16);
			}
		}
		config_write(function, 4, (config_read(function, 4) & 0xffff) | 6);
		if (common && notify_base && device_config)
			return;
		end("a device without capabilities");
	}
	end("no such device");
}

/* Takes `wanted` of what the device has, beside the rings' features. */
static void negotiate(uint64_t wanted)
{
	common->status = 0;
	while (common->status)
		;
	common->status = ACKNOWLEDGE;
	common->status = ACKNOWLEDGE | DRIVER;
	common->device_feature_select = 0;
	uint64_t features = common->device_feature;
	common->device_feature_select = 1;
	features |= (uint64_t)common->device_feature << 32;
	if (!(features & F_VERSION_1))
		end("a device of before virtio 1.0");
	features &= F_VERSION_1 | F_EVENT_IDX | wanted;
	event_idx = (features & F_EVENT_IDX) != 0;
	common->driver_feature_select = 0;
	common->driver_feature = features;
	common->driver_feature_select = 1;
	common->driver_feature = features >> 32;
	common->status = ACKNOWLEDGE | DRIVER | FEATURES_OK;
	if (!(common->status & FEATURES_OK))
		end("features were refused");
}

static void enable(struct queue *q, uint16_t number)
{
	common->queue_select = number;
	if (common->queue_size < QUEUE_SIZE)
		end("a queue that is too short");
	common->queue_size = QUEUE_SIZE;
	common->queue_msix_vector = 0xffff;
	/* By halves: a driver may (4.1.3.1), and not every emulator of MMIO does 8 bytes. */
	volatile uint32_t *halves = (void *)&common->queue_desc;
	uint64_t parts[] = { (uintptr_t)q->descriptors, (uintptr_t)&q->available, (uintptr_t)&q->used };
	for (int i = 0; i < 3; i++) {
		halves[2 * i] = parts[i];
		halves[2 * i + 1] = parts[i] >> 32;
	}
	q->number = number;
	q->doorbell = (void *)(notify_base + (uint32_t)common->queue_notify_off * notify_multiplier);
	q->available.flags = 1;
	q->available.used_event = 0x8000;
	common->queue_enable = 1;
}

static void started(void)
{
	common->status = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK;
}

static void offer(struct queue *q, uint16_t head)
{
	volatile uint16_t *index = &q->available.index;
	q->available.ring[*index % QUEUE_SIZE] = head;
	__asm__ volatile("" : : : "memory");
	*index = *index + 1;
}

/* Tells the device of what was offered since the last time, where it wants to know. */
static void kick(struct queue *q)
{
	uint16_t now = q->available.index, before = q->told;
	if (now == before)
		return;
	q->told = now;
	fence();
	uint16_t event = *(volatile uint16_t *)&q->used.avail_event;
	int wanted = event_idx ? (uint16_t)(now - event - 1) < (uint16_t)(now - before)
			       : !(*(volatile uint16_t *)&q->used.flags & 1);
	if (wanted)
		*q->doorbell = q->number;
}

/* The head of a chain that the device has used, or -1; never asks for an interrupt. */
static int take(struct queue *q)
{
	if (*(volatile uint16_t *)&q->used.index == q->taken)
		return -1;
	__asm__ volatile("" : : : "memory");
	int head = q->used.ring[q->taken % QUEUE_SIZE].id;
	q->taken++;
	q->available.used_event = q->taken + 0x8000;
	return head;
}
static int wait(struct queue *q)
{
	int head;
	while ((head = take(q)) < 0)
		__asm__ volatile("pause");
	return head;
}

static struct queue queues[2];
static _Alignas(4096) uint8_t data[SLOTS][BLOCK];

/* --- the block device ----------------------------------------------------------------------- */

static struct {
	uint32_t type, reserved;
	uint64_t sector;
	uint8_t status;
} requests[SLOTS];

static uint32_t random_state = 2463534242u;
static uint32_t random_number(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	return random_state ^= random_state << 5;
}

static void blk(int write, int random, uint32_t depth, uint32_t count)
{
	struct queue *q = &queues[0];
	find(BLK);
	/* With a cache that can be flushed, a write is done when it is in there (5.2.6.2). */
	negotiate(F_BLK_FLUSH);
	enable(q, 0);
	started();
	uint64_t blocks = *(volatile uint32_t *)device_config / (BLOCK / 512);
	for (uint32_t slot = 0; slot < depth; slot++) {
		struct descriptor *d = &q->descriptors[slot * 3];
		d[0] = (struct descriptor){ (uintptr_t)&requests[slot], 16, NEXT, slot * 3 + 1 };
		d[1] = (struct descriptor){ (uintptr_t)data[slot], BLOCK, NEXT | (write ? 0 : WRITE), slot * 3 + 2 };
		d[2] = (struct descriptor){ (uintptr_t)&requests[slot].status, 1, WRITE, 0 };
		requests[slot].type = write;
		requests[slot].status = 0xff;
	}
	uint32_t issued = 0, done = 0;
	uint64_t begun = cycles();
	for (; issued < depth && issued < count; issued++) {
		requests[issued].sector = (random ? random_number() % blocks : issued % blocks) * (BLOCK / 512);
		offer(q, issued * 3);
	}
	kick(q);
	while (done < count) {
		int head = wait(q);
		do {
			int slot = head / 3;
			if (requests[slot].status)
				end("an error of the disk");
			done++;
			if (issued < count) {
				requests[slot].status = 0xff;
				requests[slot].sector = (random ? random_number() % blocks : issued % blocks) * (BLOCK / 512);
				issued++;
				offer(q, slot * 3);
			}
		} while ((head = take(q)) >= 0);
		kick(q);
	}
	result(count, cycles() - begun);
}

/* --- the network device --------------------------------------------------------------------- */

enum { HEADER = 12 };
static _Alignas(4096) uint8_t received[SLOTS][HEADER + FRAME];

/* A frame to everybody with the experimental EtherType, header of virtio before it. */
static void make_frame(uint8_t *at)
{
	for (int i = 0; i < 6; i++) {
		at[HEADER + i] = 0xff;
		at[HEADER + 6 + i] = i ? i : 0x52;
	}
	at[HEADER + 12] = 0x88;
	at[HEADER + 13] = 0xb5;
}

static void net(int echo, uint32_t depth, uint32_t count, uint32_t bytes)
{
	struct queue *rx = &queues[0], *tx = &queues[1];
	find(NET);
	negotiate(0);
	enable(rx, 0);
	enable(tx, 1);
	started();
	for (int slot = 0; slot < SLOTS; slot++) {
		rx->descriptors[slot] = (struct descriptor){ (uintptr_t)received[slot], HEADER + FRAME, WRITE, 0 };
		offer(rx, slot);
		make_frame(data[slot]);
		tx->descriptors[slot] = (struct descriptor){ (uintptr_t)data[slot], HEADER + bytes, 0, 0 };
	}
	kick(rx);
	uint32_t issued = 0, done = 0;
	uint64_t begun = cycles();
	if (echo) {
		for (; done < count; done++) {
			offer(tx, done % SLOTS);
			kick(tx);
			wait(tx);
			int slot = wait(rx);
			offer(rx, slot);
			kick(rx);
		}
	} else {
		for (; issued < depth && issued < count; issued++)
			offer(tx, issued);
		kick(tx);
		while (done < count) {
			int slot = wait(tx);
			do {
				done++;
				if (issued < count) {
					issued++;
					offer(tx, slot);
				}
			} while ((slot = take(tx)) >= 0);
			kick(tx);
		}
	}
	result(count, cycles() - begun);
}

/* --- the command line ----------------------------------------------------------------------- */

/* The words of the command line from `blk` or `net` on. */
static int words(const char *line, const char **list, int most)
{
	int count = 0;
	while (*line) {
		while (*line == ' ')
			line++;
		const char *word = line;
		while (*line && *line != ' ')
			line++;
		int named = line - word == 3 && ((word[0] == 'b' && word[1] == 'l') || (word[0] == 'n' && word[1] == 'e'));
		if ((count || named) && line > word && count < most)
			list[count++] = word;
	}
	return count;
}
static uint32_t number(const char *word)
{
	uint32_t n = 0;
	for (; *word >= '0' && *word <= '9'; word++)
		n = n * 10 + *word - '0';
	return n;
}
static uint32_t depth_of(const char *word)
{
	uint32_t depth = number(word);
	return depth < 1 ? 1 : depth > SLOTS ? SLOTS : depth;
}

void payload(const uint32_t *information)
{
	const char *word[8];
	int count = words((const char *)(uintptr_t)information[4], word, 8);
	if (count == 5 && word[0][0] == 'b')
		blk(word[1][0] == 'w', word[2][0] == 'r', depth_of(word[3]), number(word[4]));
	else if (count == 5 && word[1][0] == 's')
		net(0, depth_of(word[2]), number(word[3]), number(word[4]));
	else if (count == 4 && word[1][0] == 'e')
		net(1, 1, number(word[2]), number(word[3]));
	else
		end("a command line that is not understood");
	end(NULL);
}
