// Timers and clocks of one thread.
#ifndef CLINUX_TIMER_H
#define CLINUX_TIMER_H

#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef SIGEV_THREAD_ID
#define SIGEV_THREAD_ID 4
#endif

// A timer (timer_create(2)) that sends `number` to the calling thread every `period` nanoseconds, below a second; its number, or -1 with
// errno set. By system call: the C library's own would bring threads along.
static inline int clinux_thread_timer_start(int number, long period) {
  struct sigevent event;
  __builtin_memset(&event, 0, sizeof event);
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = number;
  event._sigev_un._tid = (int)syscall(SYS_gettid);
  int timer = -1;
  if (syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer)) return -1;
  struct itimerspec often = {{0, period}, {0, period}};
  if (syscall(SYS_timer_settime, timer, 0, &often, NULL)) {
    syscall(SYS_timer_delete, timer);
    return -1;
  }
  return timer;
}

// Ends such a timer, drops what it may have left waiting, and gives the signal its default meaning.
static inline void clinux_thread_timer_end(int timer, int number) {
  syscall(SYS_timer_delete, timer);
  signal(number, SIG_IGN);
  signal(number, SIG_DFL);
}

#endif
