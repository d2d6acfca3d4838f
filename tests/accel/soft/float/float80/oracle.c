/*
 * Runs x87 instructions on the real FPU: reads records of 24 bytes from standard input (operation,
 * control word, two operands of 10 bytes) and writes one of 40 bytes for each (status word, abridged
 * tag word, ST0, ST1, memory operand). State is taken with FXSAVE, which does not wait, so that
 * unmasked exceptions are seen and never delivered. Operations are numbered as in operations.ts.
 */
#include <stdint.h>
#include <string.h>
#include <unistd.h>

struct request { uint16_t op, cw; uint8_t a[10], b[10]; } __attribute__((packed));
struct reply { uint16_t fsw; uint8_t ftw, pad; uint8_t st0[10], st1[10], mem[10], pad2[6]; }
  __attribute__((packed));

_Static_assert(sizeof(struct request) == 24 && sizeof(struct reply) == 40, "as in driver.ts");

static uint8_t area[512] __attribute__((aligned(64)));
static uint8_t mem[16] __attribute__((aligned(16)));

#define LOAD_B "fldt %[b]\n\t"
#define LOAD_A "fldt %[a]\n\t"
#define RUN(loads, text) __asm__ volatile("fninit\n\t" loads "fldcw %[cw]\n\t" text \
  "\n\tfxsave %[area]\n\tfninit" : [area] "=m"(area), [m] "+m"(mem) \
  : [a] "m"(q->a), [b] "m"(q->b), [cw] "m"(q->cw) : "memory")
#define TWO(n, text) case n: RUN(LOAD_B LOAD_A, text); break;
#define ONE(n, text) case n: RUN(LOAD_A, text); break;
#define NONE(n, text) case n: RUN("", text); break;

static void run(const struct request *q) {
  switch (q->op) {
    TWO(0, "fadd %%st(1), %%st")
    TWO(1, ".byte 0xd8, 0xe1") /* fsub st, st(1) */
    TWO(2, "fmul %%st(1), %%st")
    TWO(3, ".byte 0xd8, 0xf1") /* fdiv st, st(1) */
    ONE(4, "fsqrt")
    TWO(5, "fcom %%st(1)")
    TWO(6, "fucom %%st(1)")
    TWO(7, "fprem")
    TWO(8, "fprem1")
    ONE(9, "frndint")
    TWO(10, "fscale")
    ONE(11, "fxtract")
    ONE(12, "fistps %[m]")
    ONE(13, "fistpl %[m]")
    ONE(14, "fistpll %[m]")
    ONE(15, "fstps %[m]")
    ONE(16, "fstpl %[m]")
    ONE(17, "fbstp %[m]")
    NONE(18, "filds %[a]")
    NONE(19, "fildl %[a]")
    NONE(20, "fildll %[a]")
    NONE(21, "flds %[a]")
    NONE(22, "fldl %[a]")
    NONE(23, "fbld %[a]")
    ONE(24, "fxam")
    NONE(25, "fld1")
    NONE(26, "fldl2t")
    NONE(27, "fldl2e")
    NONE(28, "fldpi")
    NONE(29, "fldlg2")
    NONE(30, "fldln2")
    NONE(31, "fldz")
    ONE(32, "f2xm1")
    TWO(33, "fyl2x")
    TWO(34, "fyl2xp1")
    ONE(35, "fsin")
    ONE(36, "fcos")
    ONE(37, "fsincos")
    ONE(38, "fptan")
    TWO(39, "fpatan")
    ONE(40, "fchs")
    ONE(41, "fabs")
    ONE(42, "ftst")
    ONE(43, "fadds %[b]")
    ONE(44, "faddl %[b]")
    ONE(45, "fsubs %[b]")
    ONE(46, "fsubl %[b]")
    ONE(47, "fmuls %[b]")
    ONE(48, "fmull %[b]")
    ONE(49, "fdivs %[b]")
    ONE(50, "fdivl %[b]")
    ONE(51, "fcoms %[b]")
    ONE(52, "fcoml %[b]")
  }
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
  for (;;) {
    int bytes = full_read((uint8_t *)in, sizeof in);
    int count = bytes / (int)sizeof in[0];
    if (count == 0) return 0;
    memset(out, 0, sizeof out);
    for (int i = 0; i < count; i++) {
      memset(mem, 0xa5, sizeof mem);
      run(&in[i]);
      memcpy(&out[i].fsw, area + 2, 2);
      out[i].ftw = area[4];
      memcpy(out[i].st0, area + 32, 10);
      memcpy(out[i].st1, area + 48, 10);
      memcpy(out[i].mem, mem, 10);
    }
    int length = count * (int)sizeof out[0], done = 0;
    while (done < length) {
      ssize_t n = write(1, (uint8_t *)out + done, length - done);
      if (n <= 0) return 1;
      done += n;
    }
  }
}
