/*
 * Runs SSE instructions on the real processor: reads records of 24 bytes from standard input
 * (operation, MXCSR, two operands of 8 bytes) and writes one of 16 bytes for each (result, MXCSR's
 * flags, whether #XM came). Operations are numbered as in operations.ts.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

struct request { uint32_t op, mxcsr; uint64_t a, b; };
struct reply { uint64_t result; uint32_t flags, trapped; };
_Static_assert(sizeof(struct request) == 24 && sizeof(struct reply) == 16, "as in driver.ts");

static sigjmp_buf back;
static volatile uint32_t trap_flags;

static void on_fpe(int signal, siginfo_t *info, void *context) {
  (void)signal, (void)info;
  trap_flags = ((ucontext_t *)context)->uc_mcontext.fpregs->mxcsr;
  siglongjmp(back, 1);
}

#define XMM(n, text) case n: __asm__ volatile("ldmxcsr %[c]\n\tmovq %[a], %%xmm0\n\t" \
  "movq %[b], %%xmm1\n\t" text "\n\tmovq %%xmm0, %[r]\n\tstmxcsr %[s]" \
  : [r] "=m"(result), [s] "=m"(status) : [a] "m"(q->a), [b] "m"(q->b), [c] "m"(q->mxcsr) \
  : "xmm0", "xmm1", "memory"); break;
#define TO(n, text) case n: __asm__ volatile("ldmxcsr %[c]\n\tmovq %[a], %%xmm0\n\t" \
  "xorl %%eax, %%eax\n\t" text "\n\tmovq %%rax, %[r]\n\tstmxcsr %[s]" \
  : [r] "=m"(result), [s] "=m"(status) : [a] "m"(q->a), [c] "m"(q->mxcsr) \
  : "xmm0", "rax", "memory"); break;
#define FROM(n, text) case n: __asm__ volatile("ldmxcsr %[c]\n\tpxor %%xmm0, %%xmm0\n\t" \
  "movq %[a], %%rax\n\t" text "\n\tmovq %%xmm0, %[r]\n\tstmxcsr %[s]" \
  : [r] "=m"(result), [s] "=m"(status) : [a] "m"(q->a), [c] "m"(q->mxcsr) \
  : "xmm0", "rax", "memory"); break;
#define COMPARE(n, text) case n: __asm__ volatile("ldmxcsr %[c]\n\tmovq %[a], %%xmm0\n\t" \
  "movq %[b], %%xmm1\n\t" text "\n\tpushfq\n\tpopq %[r]\n\tstmxcsr %[s]" \
  : [r] "=r"(result), [s] "=m"(status) : [a] "m"(q->a), [b] "m"(q->b), [c] "m"(q->mxcsr) \
  : "xmm0", "xmm1", "memory", "cc"); result &= 0x45; break;

static void run(const struct request *q, struct reply *out) {
  static uint64_t result;
  static uint32_t status;
  static const uint32_t usual = 0x1f80;
  result = 0, status = 0;
  if (sigsetjmp(back, 0)) {
    __asm__ volatile("ldmxcsr %0" : : "m"(usual));
    out->result = 0, out->flags = trap_flags & 0x3f, out->trapped = 1;
    return;
  }
  switch (q->op) {
    XMM(0, "addss %%xmm1, %%xmm0") XMM(32, "addsd %%xmm1, %%xmm0")
    XMM(1, "subss %%xmm1, %%xmm0") XMM(33, "subsd %%xmm1, %%xmm0")
    XMM(2, "mulss %%xmm1, %%xmm0") XMM(34, "mulsd %%xmm1, %%xmm0")
    XMM(3, "divss %%xmm1, %%xmm0") XMM(35, "divsd %%xmm1, %%xmm0")
    XMM(4, "sqrtss %%xmm0, %%xmm0") XMM(36, "sqrtsd %%xmm0, %%xmm0")
    XMM(5, "minss %%xmm1, %%xmm0") XMM(37, "minsd %%xmm1, %%xmm0")
    XMM(6, "maxss %%xmm1, %%xmm0") XMM(38, "maxsd %%xmm1, %%xmm0")
    COMPARE(7, "comiss %%xmm1, %%xmm0") COMPARE(39, "comisd %%xmm1, %%xmm0")
    COMPARE(8, "ucomiss %%xmm1, %%xmm0") COMPARE(40, "ucomisd %%xmm1, %%xmm0")
    XMM(9, "cvtss2sd %%xmm0, %%xmm0") XMM(41, "cvtsd2ss %%xmm0, %%xmm0")
    TO(10, "cvtss2sil %%xmm0, %%eax") TO(42, "cvtsd2sil %%xmm0, %%eax")
    TO(11, "cvtss2siq %%xmm0, %%rax") TO(43, "cvtsd2siq %%xmm0, %%rax")
    XMM(12, "roundss $4, %%xmm0, %%xmm0") XMM(44, "roundsd $4, %%xmm0, %%xmm0")
    FROM(13, "cvtsi2ssl %%eax, %%xmm0") FROM(45, "cvtsi2sdl %%eax, %%xmm0")
    FROM(14, "cvtsi2ssq %%rax, %%xmm0") FROM(46, "cvtsi2sdq %%rax, %%xmm0")
    TO(15, "cvttss2siq %%xmm0, %%rax") TO(47, "cvttsd2siq %%xmm0, %%rax")
  }
  out->result = result, out->flags = status & 0x3f, out->trapped = 0;
  __asm__ volatile("ldmxcsr %0" : : "m"(usual));
}

static int full_read(uint8_t *to, int length) {
  int done = 0;
  while (done < length) {
    ssize_t n = read(0, to + done, length - done);
    if (n <= 0) break;
    done += n;
  }
  return done;
}

int main(void) {
  static struct request in[4096];
  static struct reply out[4096];
  struct sigaction action = { .sa_sigaction = on_fpe, .sa_flags = SA_SIGINFO | SA_NODEFER };
  sigaction(SIGFPE, &action, 0);
  for (;;) {
    int count = full_read((uint8_t *)in, sizeof in) / (int)sizeof in[0];
    if (count == 0) return 0;
    for (int i = 0; i < count; i++) run(&in[i], &out[i]);
    int length = count * (int)sizeof out[0], done = 0;
    while (done < length) {
      ssize_t n = write(1, (uint8_t *)out + done, length - done);
      if (n <= 0) return 1;
      done += n;
    }
  }
}
