// What the isolation probe and its launcher need of the kernel: system calls by number, counting those of other processes, and
// objects that two sides might share.
#ifndef CCONTAINER_ISOLATION_H
#define CCONTAINER_ISOLATION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

// How one system call number is tried.
enum cisolation_how {
  cisolation_plain = 0,      // with the plan's arguments
  cisolation_forks = 1,      // the same, and a child that it makes ends at once
  cisolation_assumed = 2,    // not run at all: permitted by the filters is taken for reached
  cisolation_namespace = 3,  // the first argument is a descriptor of the caller's own UTS namespace
};
struct cisolation_plan {
  int number;
  int how;
  long arguments[6];
  const char *reason;  // why these arguments; NULL for the general plan, in which every argument is -1
};
// The plan for system call `number`.
struct cisolation_plan cisolation_plan_for(int number);

// What the filters said.
enum cisolation_filter {
  cisolation_filter_unknown = 0,    // they could not be asked
  cisolation_filter_permits = 1,
  cisolation_filter_answers = 2,    // with filter_errno (0: success) instead of the call
  cisolation_filter_kills = 3,
};
// What the call itself did.
enum cisolation_state {
  cisolation_untried = 0,
  cisolation_started = 1,    // while it runs
  cisolation_returned = 2,   // value is what it returned: negative is an error number
  cisolation_blocked = 3,    // it had not returned after its time
  cisolation_ended = 4,      // the process ended instead
  cisolation_signalled = 5,  // value is the signal that ended the process
  cisolation_not_run = 6,    // see cisolation_assumed
};
struct cisolation_outcome {
  uint8_t filter;
  uint8_t state;
  int32_t filter_errno;
  int64_t value;
};

enum {
  cisolation_most_calls = 1024,
  cisolation_extra_calls = 2,  // behind them: getpid by x32's number, getpid by int 0x80
  cisolation_marker = 1015,    // a number that no kernel has, by which a call is recognised from outside
};

// Tries the calls 0 to count - 1 and the two extra ones; `outcomes` has room for count + 2. With `apart` the calls are made in
// namespaces of their own, as far as the caller may make them. Returns 0, or an errno.
int cisolation_sweep(unsigned count, bool apart, unsigned call_milliseconds, unsigned total_milliseconds,
                     struct cisolation_outcome *outcomes);
// The raw call, with no wrapper between; negative is an error number.
long cisolation_call(long number, long a, long b, long c, long d, long e, long f);
// For tests: a filter for the caller and its children that answers `denied` with EPERM and `missing` with ENOSYS, and kills on `deadly`.
int cisolation_install_test_filter(int denied, int missing, int deadly);

// Starts a program in a process group of its own, which dies with its parent. Returns its PID, or -1 with errno.
int cisolation_spawn(const char *path, char *const *arguments, char *const *environment, int in, int out, int err);
// The same with new pipes for the three streams: ends[0] writes its input, ends[1] and ends[2] read what it writes.
int cisolation_start(const char *path, char *const *arguments, char *const *environment, int ends[3]);
// Runs a program to its end, with nothing but fork, exec and wait: its status, or -1 with errno.
int cisolation_run(const char *path, char *const *arguments, char *const *environment);
// A child that sleeps under `name` until it is killed or its parent dies.
int cisolation_sleeper(const char *name);
// `count` children that end at once; all are waited for. Returns how many there were.
int cisolation_fork_and_reap(int count);

// Counting from outside. One counter at a time.
struct cisolation_counter {
  uint32_t calls[cisolation_most_calls];
  uint64_t total;
  uint64_t markers;
  uint32_t attached, refused;
  int32_t refusal;  // errno of the last refusal
  bool counts;
  int main_pid, main_status;
  bool main_ended;
};
static inline __attribute__((unused)) uint32_t cisolation_count_of(const struct cisolation_counter *counter, uint32_t number) {
  return number < cisolation_most_calls ? counter->calls[number] : 0;
}
void cisolation_seize(struct cisolation_counter *counter, int thread);
// Handles what has happened to any child or tracee, without waiting. Returns how many events there were.
int cisolation_step(struct cisolation_counter *counter);
// A descriptor that is readable when a child changed, or SIGINT, SIGTERM or SIGHUP came: those are blocked from then on.
int cisolation_watch_signals(void);
// The number of a signal that `descriptor` has, 0 for none.
int cisolation_next_signal(int descriptor);

// Things that two sides might share. Each returns 0 or a descriptor, or a negative error number.
int cisolation_listen_abstract(const char *name);
int cisolation_connect_abstract(const char *name);
int cisolation_listen_tcp(uint16_t *port);
int cisolation_connect_tcp(uint16_t port);
int cisolation_make_queue(int key);      // SysV
int cisolation_find_queue(int key);
int cisolation_remove_queue(int key);
int cisolation_make_mqueue(const char *name);  // POSIX
int cisolation_find_mqueue(const char *name);
int cisolation_remove_mqueue(const char *name);
long cisolation_add_key(const char *name);     // in the user's keyring
long cisolation_find_key(const char *name);
int cisolation_remove_key(long key);
int cisolation_set_hostname(const char *name);
int cisolation_set_nothing_as_time(void);
int cisolation_read_kernel_log(void);
int cisolation_mount_tmpfs(const char *path);
int cisolation_unmount(const char *path);
int cisolation_securebits(void);
int cisolation_lower_nice(void);
// readlink(2) and access(2) with types that Swift passes.
long cisolation_readlink(const char *path, void *target, size_t size);
bool cisolation_may_write(const char *path);
// mkdtemp(3): 0, or an error number.
int cisolation_make_folder(void *pattern);
// Memory that is touched, of `mebibytes`; NULL when there is none. Given back by the second.
void *cisolation_hold_memory(int mebibytes);
void cisolation_give_back_memory(void *memory, int mebibytes);
// Turns the processor for so long.
void cisolation_spin(int milliseconds);
// A local socket that is not connected, for the file table; -1 for none.
int cisolation_idle_socket(void);

// Bombs. Each runs in children of the caller, bounded by `most` and by `milliseconds`, and returns how far it came; *error is the error
// number that stopped it, 0 for none, and -9 and the like when a signal did.
int cisolation_bomb_forks(int most, int milliseconds, int *error);
int cisolation_bomb_memory(int most_mebibytes, int milliseconds, int *error);
int cisolation_bomb_descriptors(int most, int milliseconds, int *error);
// Spins in `processes` children; the result is the milliseconds of processor time that they got.
int cisolation_bomb_processor(int processes, int milliseconds, int *error);

#endif
