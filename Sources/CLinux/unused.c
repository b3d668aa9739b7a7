// Parts of the static C library that vmrun never uses, but that what it does use names: the resolver's state (by pthread_create),
// message catalogues (by strerror), wide character output (by assert). Each of them drags in a tenth of the library. A weak
// definition keeps the linker from taking the archive's member for the name; should something take it for another
// name, its definition prevails. About 140 KiB. Debug builds link the C library dynamically and need none of it.
#ifndef DEBUG

#include <stdlib.h>
#include <unistd.h>

#define WEAK __attribute__((weak))

// A new thread stores the address of its resolver state here; only the resolver reads it.
WEAK __thread void *__libc_resp;

// There are no translations without setlocale(3), which vmrun does not call.
WEAK char *__dcgettext(const char *domain, const char *message, int category) {
  (void)domain, (void)category;
  return (char *)message;
}

WEAK _Noreturn void __assert_fail(const char *assertion, const char *file, unsigned line, const char *function) {
  (void)assertion, (void)file, (void)line, (void)function;
  static const char text[] = "vmrun: internal error: an assertion of the C library failed\n";
  (void)!write(STDERR_FILENO, text, sizeof text - 1);
  abort();
}

#endif
