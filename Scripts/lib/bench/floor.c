// The least that a program can do to run the built-in guest: the ioctls that vmrun makes, in the same order, and nothing else.
// usage: floor IMAGE COMMAND-LINE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cpuid.h>

#include "../../../images/minimal/ABI/boot_info.h"

static int check(int result, const char *what) {
  if (result < 0) { perror(what); exit(125); }
  return result;
}

static struct { struct kvm_cpuid2 head; struct kvm_cpuid_entry2 entries[8]; } cpuid;

static void add(uint32_t function, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  cpuid.entries[cpuid.head.nent++] = (struct kvm_cpuid_entry2){.function = function, .eax = a, .ebx = b, .ecx = c, .edx = d};
}

int main(int argc, char **argv) {
  if (argc != 3) return 125;
  const uint64_t size = 32 << 20, tables = 0x9000;
  int image = check(open(argv[1], O_RDONLY | O_CLOEXEC), "image");
  int kvm = check(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
  if (check(ioctl(kvm, KVM_GET_API_VERSION, 0), "KVM_GET_API_VERSION") != 12) return 125;
  int run_size = check(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
  int vm = check(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
  uint8_t *ram = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (ram == MAP_FAILED) return 125;
  madvise(ram, size, MADV_NOHUGEPAGE);
  struct kvm_userspace_memory_region region = {.memory_size = size, .userspace_addr = (uintptr_t)ram};
  check(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");

  check(read(image, ram + MINIMAL_GUEST_LOAD_ADDRESS, 1 << 20), "read");
  struct minimal_boot_info info = {.magic = MINIMAL_BOOT_MAGIC, .version = MINIMAL_BOOT_VERSION, .flags = MINIMAL_BOOT_MARK_ENTRY,
    .cpu_count = 1, .memory_bytes = size, .last_page = size - 4096, .command_line = 0x20000,
    .command_line_length = strlen(argv[2])};
  memcpy(ram + 0x20000, argv[2], strlen(argv[2]));
  memcpy(ram + 0x7000, &info, sizeof info);
  uint64_t *pml4 = (uint64_t *)(ram + tables);
  pml4[0] = (tables + 0x1000) | 3;
  pml4[512] = (tables + 0x2000) | 3;
  for (uint64_t i = 0; i < size >> 21; i++) pml4[1024 + i] = i << 21 | 0x83;

  int vcpu = check(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
  struct kvm_run *run = mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
  if (run == MAP_FAILED) return 125;
  uint32_t a, b, c, d;
  __cpuid(0, a, b, c, d);
  add(0, 1, b, c, d);
  __cpuid(1, a, b, c, d);
  add(1, a, (b & 0xFFFF) | 1 << 16, (c & ~(1u << 27)) | 1u << 31, d);
  add(0x40000000, 0x40000001, 0x4B4D564B, 0x564B4D56, 0x4D);
  for (uint32_t leaf = 0x80000000; leaf <= 0x80000004; leaf++) {
    __cpuid(leaf, a, b, c, d);
    add(leaf, leaf == 0x80000000 ? 0x80000004 : a, b, c, d);
  }
  check(ioctl(vcpu, KVM_SET_CPUID2, &cpuid), "KVM_SET_CPUID2");
  struct kvm_sregs special;
  check(ioctl(vcpu, KVM_GET_SREGS, &special), "KVM_GET_SREGS");
  struct kvm_segment code = {.limit = 0xFFFFFFFF, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1};
  struct kvm_segment data = code;
  data.selector = 16, data.type = 3, data.l = 0, data.db = 1;
  special.cs = code;
  special.ds = special.es = special.fs = special.gs = special.ss = data;
  special.idt.limit = special.gdt.limit = 0;
  special.cr3 = tables;
  special.cr4 |= 1 << 5;
  special.cr0 |= 1u << 31 | 1;
  special.efer |= 1 << 8 | 1 << 10;
  check(ioctl(vcpu, KVM_SET_SREGS, &special), "KVM_SET_SREGS");
  struct kvm_regs registers = {.rip = MINIMAL_GUEST_LOAD_ADDRESS, .rsp = 0x20000 - 8, .rdi = 0x7000, .rflags = 2};
  check(ioctl(vcpu, KVM_SET_REGS, &registers), "KVM_SET_REGS");

  for (;;) {
    check(ioctl(vcpu, KVM_RUN, 0), "KVM_RUN");
    if (run->exit_reason != KVM_EXIT_IO) return 125;
    uint8_t *bytes = (uint8_t *)run + run->io.data_offset;
    size_t count = (size_t)run->io.size * run->io.count;
    if (run->io.direction == KVM_EXIT_IO_IN) memset(bytes, 0xFF, count);
    else if (run->io.port == MINIMAL_PORT_SERIAL) { if (write(1, bytes, count) < 0) return 125; }
    else if (run->io.port == MINIMAL_PORT_EXIT) return bytes[0];
  }
}
