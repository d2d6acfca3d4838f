/*
 * Brings a bench's payload (payload.c) into 64-bit user mode with access to ports: where KVM emulates
 * kernel mode, user mode still runs on the processor itself. A flat multiboot 1 image at 1 MiB.
 */
#define LOAD 0x100000
#define USER_CODE 0x2b
#define USER_DATA 0x33
#define SYSENTER_CS 0x174
#define TASK 0x38
/* Interrupts off. Ports are allowed by the task's bitmap: not every KVM keeps the IOPL. */
#define FLAGS 0x0002
/* The task state segment: 104 bytes, a bit for each port, and a byte of ones. */
#define BITMAP 104
#define PORT_BYTES 8192
#define TASK_BYTES (BITMAP + PORT_BYTES + 1)

	.globl start
	.section .note.GNU-stack, "", @progbits
	.section .boot, "awx"
	.code32
header:
	.long 0x1badb002, 0x10000, -(0x1badb002 + 0x10000)
	.long header, LOAD, image_end, bss_end, start

start:
	movl %ebx, information
	/* 4 GiB as they are, in pages of 2 MiB, for user mode too. */
	movl $tables + 0x1007, tables
	movl $tables + 0x1000, %edi
	movl $tables + 0x2007, %eax
	movl $4, %ecx
1:	movl %eax, (%edi)
	addl $0x1000, %eax
	addl $8, %edi
	loop 1b
	movl $tables + 0x2000, %edi
	movl $0x87, %eax
	movl $2048, %ecx
1:	movl %eax, (%edi)
	addl $0x200000, %eax
	addl $8, %edi
	loop 1b

	movl %cr4, %eax
	orl $0x20, %eax
	movl %eax, %cr4
	movl $tables, %eax
	movl %eax, %cr3
	movl $0xc0000080, %ecx
	rdmsr
	orl $0x100, %eax
	wrmsr
	movl %cr0, %eax
	orl $0x80000000, %eax
	movl %eax, %cr0
	lgdt gdt_pointer
	ljmp $8, $long_mode

	.code64
long_mode:
	movl $0x10, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movl $stack_end, %esp
	lidt idt_pointer
	movw $BITMAP, task + 0x66
	movb $0xff, task + BITMAP + PORT_BYTES
	movl $TASK, %eax
	ltr %ax
	/* SYSEXIT takes SYSENTER_CS + 32 and + 40. KVM's emulator has it, but no IRET from here. */
	movl $SYSENTER_CS, %ecx
	movl $USER_CODE - 3 - 32, %eax
	xorl %edx, %edx
	wrmsr
	pushq $FLAGS
	popfq
	movl $user, %edx
	movl $stack_end, %ecx
	sysexitq

	/* AMD's processors have no SYSEXIT here (#UD), but run their own IRET. */
	.globl by_iret
by_iret:
	movl $stack_end, %esp
	pushq $USER_DATA
	pushq $stack_end
	pushq $FLAGS
	pushq $USER_CODE
	pushq $user
	iretq

user:
	movl information, %edi
	call payload
	ud2

	.balign 8
gdt:
	.quad 0
	.quad 0x00af9b000000ffff /* 08h: kernel code */
	.quad 0x00cf93000000ffff /* 10h: kernel data */
	.quad 0, 0
	.quad 0x00affb000000ffff /* 28h: user code */
	.quad 0x00cff3000000ffff /* 30h: user data */
	/* 38h: the task */
	.word TASK_BYTES - 1, task_low
	.byte task_middle, 0x89, 0, task_high
	.quad 0
gdt_pointer:
	.word . - gdt - 1
	.quad gdt
	/* Of the exceptions, only #UD (6) has a handler; any other is a triple fault. */
	.balign 16
idt:
	.fill 12, 8, 0
	.word by_iret_low, 8, 0x8e00, by_iret_high
	.quad 0
idt_pointer:
	.word . - idt - 1
	.quad idt
information:
	.quad 0

	.bss
	.balign 4096
	.globl task
task:
	.skip TASK_BYTES
	.balign 4096
tables:
	.skip 6 * 4096
	.skip 16384
stack_end:
