// What init does that Swift cannot: a child on borrowed memory, and calls whose structs hold unions or flexible arrays.
#ifndef CGUESTINIT_H
#define CGUESTINIT_H

// As in CLinux: one module may not see other C library types than another.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Where the start of a command failed.
enum spawn_stage {
  SPAWN_STAGE_NONE = 0,
  SPAWN_STAGE_FORK,
  SPAWN_STAGE_SESSION,
  SPAWN_STAGE_TERMINAL,
  SPAWN_STAGE_DESCRIPTORS,
  SPAWN_STAGE_GROUPS,
  SPAWN_STAGE_USER,
  SPAWN_STAGE_DIRECTORY,
  SPAWN_STAGE_EXECUTE,
};

struct spawn_request {
  const char *const *candidates; // paths to try in this order, ended by NULL
  char *const *arguments;        // ended by NULL
  char *const *environment;      // ended by NULL
  const char *directory;
  int descriptors[3];            // what becomes 0, 1 and 2; all above 2, but for a tty the same one three times
  int takes_terminal;            // whether descriptor 0 becomes the controlling terminal
  uint32_t user, group;
  const uint32_t *groups;
  size_t group_count;
  // Results of a failure.
  volatile int stage;            // enum spawn_stage
  volatile int error;            // errno
};

// Starts a program in a session of its own: default signal dispositions, no blocked signals, no other descriptors, umask
// 022, no port access. Returns its process id once it has been executed, or -1 with `stage` and `error` set.
pid_t spawn_command(struct spawn_request *request);

// Sets IFF_UP on "lo". Returns 0 or an errno; a kernel without IPv4 has no such thing.
int bring_up_loopback(void);

// Turns off everything that a terminal driver does to bytes. Returns 0 or an errno.
int make_raw(int descriptor);

// Sets a terminal's size. Returns 0 or an errno.
int set_window_size(int descriptor, uint16_t rows, uint16_t columns, uint16_t x_pixels, uint16_t y_pixels);

// The other end of a pseudo-terminal's master, close-on-exec, without becoming anybody's controlling terminal; or -1.
int open_terminal_peer(int master);

// A signalfd for SIGCHLD alone, which becomes blocked; or -1.
int open_child_signal(void);

// Ignores SIGPIPE: a command that closes its input must not end init.
void ignore_broken_pipes(void);

// Makes orphans of this process's descendants its own children, as they are process 1's by nature. For tests.
int adopt_orphans(void);

#endif
