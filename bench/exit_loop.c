/*
 * What hv's exits are measured against: the least that a program can do to run the same guest on
 * KVM. Usage: exit_loop ROM. Ends with the status that isa-debug-exit (port F4h) gives.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ROM_BYTES = 0x10000, RAM_BYTES = 64 << 20, CPUID_LEAVES = 256 };

static long check(const char *what, long result)
{
	if (result < 0) {
		perror(what);
		exit(2);
	}
	return result;
}

static void map(int vm, int slot, uint64_t address, uint64_t length, void *memory)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = address,
		.memory_size = length,
		.userspace_addr = (uintptr_t)memory,
	};
	check("KVM_SET_USER_MEMORY_REGION", ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region));
}

static void *allocate(size_t length)
{
	void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check("mmap", memory == MAP_FAILED ? -1 : 0);
	return memory;
}

static void port(struct kvm_run *run)
{
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	size_t length = (size_t)run->io.size * run->io.count;

	if (run->io.direction == KVM_EXIT_IO_IN)
		memset(data, 0xff, length);
	else if (run->io.port == 0xf4)
		exit((*data << 1 | 1) & 0xff);
}

int main(int argc, char **argv)
{
	int rom_fd = check(argv[argc - 1], open(argv[argc - 1], O_RDONLY));
	uint8_t *rom = allocate(ROM_BYTES);
	check("read", read(rom_fd, rom, ROM_BYTES) == ROM_BYTES ? 0 : -1);

	int kvm = check("/dev/kvm", open("/dev/kvm", O_RDWR | O_CLOEXEC));
	int vm = check("KVM_CREATE_VM", ioctl(kvm, KVM_CREATE_VM, 0));
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	check("KVM_SET_TSS_ADDR", ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000));
	check("KVM_CREATE_IRQCHIP", ioctl(vm, KVM_CREATE_IRQCHIP, 0));
	check("KVM_CREATE_PIT2", ioctl(vm, KVM_CREATE_PIT2, &pit));
	uint8_t *ram = allocate(RAM_BYTES);
	map(vm, 0, 0, 0xa0000, ram);
	map(vm, 1, 0xf0000, ROM_BYTES, rom);
	map(vm, 2, 0x100000, RAM_BYTES - 0x100000, ram + 0x100000);
	map(vm, 3, 0xffff0000, ROM_BYTES, rom);

	int vcpu = check("KVM_CREATE_VCPU", ioctl(vm, KVM_CREATE_VCPU, 0));
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof *cpuid + CPUID_LEAVES * sizeof cpuid->entries[0]);
	cpuid->nent = CPUID_LEAVES;
	check("KVM_GET_SUPPORTED_CPUID", ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid));
	check("KVM_SET_CPUID2", ioctl(vcpu, KVM_SET_CPUID2, cpuid));
	size_t run_bytes = check("KVM_GET_VCPU_MMAP_SIZE", ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
	struct kvm_run *run = mmap(NULL, run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	check("mmap", run == MAP_FAILED ? -1 : 0);

	for (;;) {
		check("KVM_RUN", ioctl(vcpu, KVM_RUN, 0));
		switch (run->exit_reason) {
		case KVM_EXIT_IO:
			port(run);
			break;
		case KVM_EXIT_MMIO:
			if (!run->mmio.is_write)
				memset(run->mmio.data, 0xff, run->mmio.len);
			break;
		default:
			fprintf(stderr, "exit %u\n", run->exit_reason);
			return 2;
		}
	}
}
