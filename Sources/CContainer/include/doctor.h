// Acts that show whether the kernel lets this process do something; each is meant for a child of its own.
#ifndef CCONTAINER_DOCTOR_H
#define CCONTAINER_DOCTOR_H

#include <stdint.h>

// fork(2), with what the C library does around it.
int ccontainer_fork(void);

// Becomes user and group `identity` for good, with no other groups, and stays traceable as the user's own programs are.
int ccontainer_become(uint32_t identity);

// Installs a filter that refuses getppid(2) with ENOTNAM; 0 when that call was refused so, else an error number.
int ccontainer_prove_seccomp(void);

// Has a child's getppid(2) answered through a filter's listener (seccomp_unotify(2)); 0 or an error number.
int ccontainer_prove_seccomp_notification(void);

// The flags of SECCOMP_SET_MODE_FILTER that the kernel knows, of those in `asked`.
uint32_t ccontainer_seccomp_flags(uint32_t asked);

// Makes a tap device in the caller's network namespace, which goes with its descriptor; 0 or an error number.
int ccontainer_prove_tap(void);

// Whether this processor runs inside a virtual machine (CPUID leaf 1, ECX bit 31).
int ccontainer_is_virtual_machine(void);

// The time between writing this process's child to `procs` and the kernel's having moved it, in nanoseconds; -1 with errno.
int64_t ccontainer_time_migration(const char *procs);

// RLIMIT_MEMLOCK's soft limit in bytes; UINT64_MAX for none.
uint64_t ccontainer_memory_lock_limit(void);

#endif
