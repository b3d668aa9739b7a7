// The instructions that Swift cannot spell, step by step (Intel SDM volume 2, AMD APM volume 3). A step that needs a state of its own
// sets it. Each returns whether the result is right; what the processor refuses is a triple fault, since there is no handler but the
// one for the exception that is asked for.
#ifndef HARDWARE_H
#define HARDWARE_H

#include <stdbool.h>
#include <stdint.h>
#include "../ABI/probe_steps.h"

#define INSTRUCTION static inline __attribute__((always_inline))

INSTRUCTION void out_long(uint16_t port, uint32_t value) { __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port)); }
INSTRUCTION uint32_t in_long(uint16_t port) {
  uint32_t value;
  __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}

struct cpuid_registers { uint32_t eax, ebx, ecx, edx; };
INSTRUCTION struct cpuid_registers cpuid(uint32_t leaf, uint32_t subleaf) {
  struct cpuid_registers r;
  __asm__ volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(subleaf));
  return r;
}

INSTRUCTION uint64_t read_msr(uint32_t number) {
  uint32_t low, high;
  __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(number));
  return (uint64_t)high << 32 | low;
}
INSTRUCTION void write_msr(uint32_t number, uint64_t value) {
  __asm__ volatile("wrmsr" : : "c"(number), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

#define CONTROL_REGISTER(name) \
  INSTRUCTION uint64_t read_##name(void) { uint64_t v; __asm__ volatile("mov %%" #name ", %0" : "=r"(v)); return v; } \
  INSTRUCTION void write_##name(uint64_t v) { __asm__ volatile("mov %0, %%" #name : : "r"(v) : "memory"); }
CONTROL_REGISTER(cr0)
CONTROL_REGISTER(cr3)
CONTROL_REGISTER(cr4)

INSTRUCTION uint64_t read_tsc(void) {
  uint32_t low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
  return (uint64_t)high << 32 | low;
}

// Four instructions a turn, of the plainest kind.
INSTRUCTION void run_instructions(uint32_t count) {
  uint64_t turns = count / 4, a = 1, b = 2;
  __asm__ volatile("1: add %1, %2\n\txor %2, %1\n\tdec %0\n\tjnz 1b" : "+r"(turns), "+r"(a), "+r"(b) : : "cc");
}

INSTRUCTION bool exchange_16_bytes(void) {
  volatile uint64_t *pair = (volatile uint64_t *)PROBE_STATE;
  uint64_t low = 1, high = 2;
  bool equal;
  pair[0] = low, pair[1] = high;
  __asm__ volatile("lock cmpxchg16b (%3)"
                   : "=@ccz"(equal), "+a"(low), "+d"(high) : "r"(pair), "b"(3ull), "c"(4ull) : "memory");
  return equal && pair[0] == 3 && pair[1] == 4;
}

// Both ways to keep the vector state: what xmm0 holds comes back although it has been changed meanwhile. The compiler uses no vectors here.
#define KEEPS_VECTORS(name, save, restore) \
  INSTRUCTION bool name(void) { \
    uint64_t value = 0x5AA5F00DC0DED00D, low = ~0u, high = ~0u; \
    __asm__ volatile("movq %0, %%xmm0\n\t" save " (%1)\n\tpxor %%xmm0, %%xmm0\n\t" restore " (%1)\n\tmovq %%xmm0, %0" \
                     : "+r"(value) : "r"((uint64_t)PROBE_STATE), "a"(low), "d"(high) : "memory"); \
    return value == 0x5AA5F00DC0DED00D; \
  }
KEEPS_VECTORS(keeps_vectors_by_fxsave, "fxsave64", "fxrstor64")
KEEPS_VECTORS(keeps_vectors_by_xsave, "xsave64", "xrstor64")

INSTRUCTION void set_xcr0(uint32_t value) { __asm__ volatile("xsetbv" : : "c"(0), "a"(value), "d"(0) : "memory"); }

// Maps the RAM a second time behind itself, and sees whether what is written here is found there.
INSTRUCTION bool sees_a_new_mapping(void) {
  volatile uint64_t *directory = (volatile uint64_t *)(uint64_t)(PROBE_PAGE_TABLES + 0x2000);
  volatile uint64_t *word = (volatile uint64_t *)(uint64_t)PROBE_STATE;
  volatile uint64_t *alias = (volatile uint64_t *)(uint64_t)(PROBE_STATE + PROBE_MEMORY);
  directory[1] = directory[0];
  __asm__ volatile("invlpg (%0)" : : "r"(alias) : "memory");
  *word = 0x1122334455667788;
  bool seen = *alias == 0x1122334455667788;
  directory[1] = 0;
  __asm__ volatile("invlpg (%0)" : : "r"(alias) : "memory");
  return seen;
}

// Selectors of the guest's own table. SYSRET wants the user's data segment 8 and its code segment 16 behind its base (SDM volume 2B).
enum { KERNEL_CODE = 0x08, KERNEL_DATA = 0x10, USER_BASE = 0x18, USER_DATA = 0x20, USER_CODE = 0x28, TASK = 0x30 };

struct __attribute__((packed)) table_pointer { uint16_t limit; uint64_t base; };

// Descriptor tables as a kernel makes them, and every segment loaded anew.
INSTRUCTION bool load_descriptors(void) {
  volatile uint64_t *gdt = (volatile uint64_t *)(uint64_t)PROBE_GDT;
  uint64_t task = PROBE_GDT + 0x100;
  gdt[KERNEL_CODE / 8] = 0x00AF9B000000FFFF;
  gdt[KERNEL_DATA / 8] = 0x00CF93000000FFFF;
  gdt[USER_DATA / 8] = 0x00CFF3000000FFFF;
  gdt[USER_CODE / 8] = 0x00AFFB000000FFFF;
  // An available 64-bit TSS of 104 bytes (SDM volume 3, 8.2.3).
  gdt[TASK / 8] = 103 | (task & 0xFFFFFF) << 16 | 0x89ull << 40 | (task >> 24 & 0xFF) << 56;
  gdt[TASK / 8 + 1] = task >> 32;
  struct table_pointer global = {TASK + 16 - 1, PROBE_GDT}, interrupts = {256 * 16 - 1, PROBE_IDT};
  uint64_t code = KERNEL_CODE, scratch;
  uint16_t loaded;
  // The return address goes on the stack: below the red zone, which the compiler may be using.
  __asm__ volatile(
      "lgdt %[global]\n\tlidt %[interrupts]" : : [global] "m"(global), [interrupts] "m"(interrupts) : "memory");
  __asm__ volatile(
      "sub $256, %%rsp\n\tpush %[code]\n\tlea 1f(%%rip), %[scratch]\n\tpush %[scratch]\n\tlretq\n1:\tadd $256, %%rsp\n\t"
      "mov %[data], %%ds\n\tmov %[data], %%es\n\tmov %[data], %%ss\n\tmov %[none], %%fs\n\tmov %[none], %%gs\n\t"
      "ltr %[task]\n\tstr %[loaded]"
      : [scratch] "=&r"(scratch), [loaded] "=&r"(loaded)
      : [code] "r"(code), [data] "r"(KERNEL_DATA), [none] "r"(0), [task] "r"((uint16_t)TASK)
      : "memory");
  return loaded == TASK;
}

// Raises #UD through an interrupt gate (SDM volume 3, 6.14.1), whose handler steps over the instruction and returns.
INSTRUCTION bool survives_an_exception(void) {
  uint64_t gate = PROBE_IDT + 6 * 16, handler, taken = 0;
  __asm__ volatile(
      "lea 1f(%%rip), %[handler]\n\tmovw %w[handler], (%[gate])\n\tmovw $8, 2(%[gate])\n\tmovw $0x8E00, 4(%[gate])\n\t"
      "shr $16, %[handler]\n\tmovw %w[handler], 6(%[gate])\n\tshr $16, %[handler]\n\tmovq %[handler], 8(%[gate])\n\t"
      "sub $256, %%rsp\n\tud2\n\tjmp 2f\n"
      "1:\taddq $2, (%%rsp)\n\tinc %[taken]\n\tiretq\n"
      "2:\tadd $256, %%rsp"
      : [handler] "=&r"(handler), [taken] "+&r"(taken) : [gate] "r"(gate) : "memory", "cc");
  return taken == 1;
}

INSTRUCTION void swap_gs(void) { __asm__ volatile("swapgs" : : : "memory"); }

// SYSRET to user mode, and SYSCALL from there back. The user's code only tells its code segment.
INSTRUCTION bool visits_user_mode(void) {
  uint64_t stack, segment;
  write_msr(0xC0000081, (uint64_t)USER_BASE << 48 | (uint64_t)KERNEL_CODE << 32);
  write_msr(0xC0000084, 0x47700);
  __asm__ volatile(
      "lea 2f(%%rip), %%rax\n\tmov %%rax, %%rdx\n\tshr $32, %%rdx\n\tmov $0xC0000082, %%ecx\n\twrmsr\n\t"
      "mov %%rsp, %[stack]\n\tlea 1f(%%rip), %%rcx\n\tmov $2, %%r11d\n\tsysretq\n"
      "1:\tmov %%cs, %%rax\n\tsyscall\n"
      "2:\tmov %[stack], %%rsp"
      : [stack] "=&b"(stack), "=&a"(segment) : : "rcx", "rdx", "r11", "memory", "cc");
  return (segment & 0xFFFF) == (USER_CODE | 3);
}

#endif
