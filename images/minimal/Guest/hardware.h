// The instructions that Swift cannot spell. Everything else in the guest is Swift.
#ifndef HARDWARE_H
#define HARDWARE_H

#include <stddef.h>
#include <stdint.h>

#define INSTRUCTION static inline __attribute__((always_inline))

struct cpuid_registers { uint32_t eax, ebx, ecx, edx; };

INSTRUCTION struct cpuid_registers cpuid(uint32_t leaf) {
  struct cpuid_registers r;
  __asm__ volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(0));
  return r;
}

INSTRUCTION void out_byte(uint16_t port, uint8_t value) { __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
INSTRUCTION void out_long(uint16_t port, uint32_t value) { __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port)); }
INSTRUCTION uint8_t in_byte(uint16_t port) {
  uint8_t value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}

// One instruction for a whole text: where every instruction is emulated, a loop would cost five times as much.
INSTRUCTION void out_bytes(uint16_t port, const void *first, size_t count) {
  __asm__ volatile("rep outsb" : "+S"(first), "+c"(count) : "d"(port) : "memory");
}

// A read or a write of memory that the compiler may neither drop nor merge.
INSTRUCTION void store_volatile(uint64_t address, uint64_t value) { *(volatile uint64_t *)address = value; }
INSTRUCTION uint64_t load_volatile(uint64_t address) { return *(volatile uint64_t *)address; }

INSTRUCTION void halt(void) { __asm__ volatile("cli; hlt"); }

// Takes the descriptor table for interrupts away and raises an exception: it cannot be delivered, nor can the double
// fault that follows, and the processor shuts down.
INSTRUCTION void triple_fault(void) {
  struct __attribute__((packed)) { uint16_t limit; uint64_t base; } none = {0, 0};
  __asm__ volatile("lidt %0; ud2" : : "m"(none));
}

// The compiler may call this wherever it copies memory; one emulated instruction is cheaper than any loop.
INSTRUCTION void copy_bytes(void *to, const void *from, size_t count) {
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
}
INSTRUCTION void fill_bytes(void *to, uint8_t value, size_t count) {
  __asm__ volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(value) : "memory");
}

#endif
