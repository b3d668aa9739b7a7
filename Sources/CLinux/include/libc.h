#ifndef CLINUX_LIBC_H
#define CLINUX_LIBC_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/openat2.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/timerfd.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <grp.h>

#define CLINUX_INLINE static inline __attribute__((always_inline, unused))

CLINUX_INLINE int clinux_errno(void) { return errno; }
CLINUX_INLINE void clinux_set_errno(int value) { errno = value; }

// The process's variables, which C keeps in a variable of its own.
CLINUX_INLINE char **clinux_environment(void) { return environ; }

// Variadic functions and function-like macros.
CLINUX_INLINE int clinux_open(const char *path, int flags, mode_t mode) { return open(path, flags, mode); }
CLINUX_INLINE int clinux_openat(int dir, const char *path, int flags, mode_t mode) { return openat(dir, path, flags, mode); }
// openat(2) that follows no symbolic link and leaves the folder by no way (openat2(2), Linux 5.6).
CLINUX_INLINE int clinux_open_beneath(int dir, const void *path, int flags) {
  struct open_how how = {.flags = (uint64_t)flags, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
  return (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
}
// Names as bytes: a file's name need not be text.
CLINUX_INLINE int clinux_lstatat(int dir, const void *name, struct stat *status) {
  return fstatat(dir, (const char *)name, status, AT_SYMLINK_NOFOLLOW);
}
CLINUX_INLINE ssize_t clinux_readlinkat(int dir, const void *name, void *target, size_t size) {
  return readlinkat(dir, (const char *)name, (char *)target, size);
}
CLINUX_INLINE int clinux_ioctl(int fd, unsigned long request, unsigned long argument) { return ioctl(fd, request, argument); }
CLINUX_INLINE int clinux_ioctl_pointer(int fd, unsigned long request, void *argument) { return ioctl(fd, request, argument); }
CLINUX_INLINE int clinux_fcntl(int fd, int command, long argument) { return fcntl(fd, command, argument); }
// Takes this program's code out of the process's page tables: what is used again comes back out of the page cache at the next touch, what
// only the start needed does not. The linker defines the borders; what lies between them is never written.
extern char __executable_start[] __attribute__((weak)), etext[] __attribute__((weak));
CLINUX_INLINE void clinux_give_back_code(void) {
  uintptr_t first = (uintptr_t)__executable_start & ~(uintptr_t)4095, last = (uintptr_t)etext & ~(uintptr_t)4095;
  if (first && last > first) madvise((void *)first, last - first, MADV_DONTNEED);
}
CLINUX_INLINE bool clinux_map_failed(const void *address) { return address == MAP_FAILED; }
CLINUX_INLINE bool clinux_wifexited(int status) { return WIFEXITED(status); }
CLINUX_INLINE int clinux_wexitstatus(int status) { return WEXITSTATUS(status); }
CLINUX_INLINE int clinux_wtermsig(int status) { return WTERMSIG(status); }
CLINUX_INLINE bool clinux_s_isreg(mode_t mode) { return S_ISREG(mode); }
CLINUX_INLINE bool clinux_s_isdir(mode_t mode) { return S_ISDIR(mode); }
CLINUX_INLINE bool clinux_s_islnk(mode_t mode) { return S_ISLNK(mode); }
CLINUX_INLINE bool clinux_s_isblk(mode_t mode) { return S_ISBLK(mode); }
CLINUX_INLINE bool clinux_s_ischr(mode_t mode) { return S_ISCHR(mode); }
CLINUX_INLINE unsigned clinux_major(dev_t device) { return major(device); }
CLINUX_INLINE unsigned clinux_minor(dev_t device) { return minor(device); }
CLINUX_INLINE dev_t clinux_makedev(unsigned maj, unsigned min) { return makedev(maj, min); }
CLINUX_INLINE const char *clinux_dirent_name(const struct dirent *entry) { return entry->d_name; }

// Request numbers built by _IO macros.
enum __attribute__((enum_extensibility(open))) clinux_request {
  clinux_tiocgwinsz = TIOCGWINSZ,
  clinux_tiocswinsz = TIOCSWINSZ,
};
CLINUX_INLINE unsigned long clinux_blkgetsize64(void) { return BLKGETSIZE64; }
CLINUX_INLINE unsigned long clinux_blkdiscard(void) { return BLKDISCARD; }

// epoll_event is packed and holds a union with a pointer; vmrun keys its sources by descriptor.
struct clinux_ready { uint32_t events; int32_t descriptor; };
enum { CLINUX_READY_MAX = 32 };
CLINUX_INLINE int clinux_epoll_ctl(int epoll, int operation, int descriptor, uint32_t events) {
  struct epoll_event event = {.events = events, .data = {.fd = descriptor}};
  return epoll_ctl(epoll, operation, descriptor, &event);
}
CLINUX_INLINE int clinux_epoll_wait(int epoll, struct clinux_ready *ready, int capacity, int timeout) {
  struct epoll_event events[CLINUX_READY_MAX];
  int count = epoll_wait(epoll, events, capacity < CLINUX_READY_MAX ? capacity : CLINUX_READY_MAX, timeout);
  for (int i = 0; i < count; i++) ready[i] = (struct clinux_ready){events[i].events, events[i].data.fd};
  return count;
}

// Threads: a C entry point that Swift cannot spell as a capture-free closure with a Sendable box.
typedef void (*clinux_thread_body)(void *context);
struct clinux_thread_start { clinux_thread_body body; void *context; };
int clinux_thread_create(pthread_t *thread, size_t stack_size, clinux_thread_body body, void *context);


// A handler that does nothing: its only use is that the signal interrupts a system call. Also unblocks the signal in the
// calling thread, and so in threads that it starts later.
int clinux_install_interrupting_handler(int number);
CLINUX_INLINE void clinux_ignore_signal(int number) { signal(number, SIG_IGN); }
CLINUX_INLINE void clinux_default_signal(int number) { signal(number, SIG_DFL); }


// memory shared with another party (a guest, the kernel): single-copy accesses the compiler may neither tear nor repeat.
CLINUX_INLINE uint8_t clinux_load8(const void *p) { return __atomic_load_n((const uint8_t *)p, __ATOMIC_RELAXED); }
CLINUX_INLINE uint16_t clinux_load16(const void *p) { return __atomic_load_n((const uint16_t *)p, __ATOMIC_RELAXED); }
CLINUX_INLINE uint32_t clinux_load32(const void *p) { return __atomic_load_n((const uint32_t *)p, __ATOMIC_RELAXED); }
CLINUX_INLINE uint64_t clinux_load64(const void *p) { return __atomic_load_n((const uint64_t *)p, __ATOMIC_RELAXED); }
CLINUX_INLINE uint16_t clinux_load16_acquire(const void *p) { return __atomic_load_n((const uint16_t *)p, __ATOMIC_ACQUIRE); }
CLINUX_INLINE void clinux_store8(void *p, uint8_t v) { __atomic_store_n((uint8_t *)p, v, __ATOMIC_RELAXED); }
CLINUX_INLINE void clinux_store16(void *p, uint16_t v) { __atomic_store_n((uint16_t *)p, v, __ATOMIC_RELAXED); }
CLINUX_INLINE void clinux_store32(void *p, uint32_t v) { __atomic_store_n((uint32_t *)p, v, __ATOMIC_RELAXED); }
CLINUX_INLINE void clinux_store64(void *p, uint64_t v) { __atomic_store_n((uint64_t *)p, v, __ATOMIC_RELAXED); }
CLINUX_INLINE void clinux_store16_release(void *p, uint16_t v) { __atomic_store_n((uint16_t *)p, v, __ATOMIC_RELEASE); }
CLINUX_INLINE void clinux_fence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

struct clinux_cpuid { uint32_t eax, ebx, ecx, edx; };
CLINUX_INLINE struct clinux_cpuid clinux_cpuid(uint32_t leaf, uint32_t subleaf) {
  struct clinux_cpuid r;
  __asm__ volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(subleaf));
  return r;
}

// Port I/O from a guest's user space (after iopl(3)).
CLINUX_INLINE void clinux_outb(uint16_t port, uint8_t v) { __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port)); }
CLINUX_INLINE void clinux_outl(uint16_t port, uint32_t v) { __asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port)); }
CLINUX_INLINE uint32_t clinux_inl(uint16_t port) { uint32_t v; __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port)); return v; }
CLINUX_INLINE void clinux_outsb(uint16_t port, const void *p, size_t n) { __asm__ volatile("rep outsb" : "+S"(p), "+c"(n) : "d"(port) : "memory"); }
CLINUX_INLINE void clinux_insb(uint16_t port, void *p, size_t n) { __asm__ volatile("rep insb" : "+D"(p), "+c"(n) : "d"(port) : "memory"); }

#endif
