// Time, for both files of the isolation probe.
#ifndef CCONTAINER_ISOLATION_TIME_H
#define CCONTAINER_ISOLATION_TIME_H

#include <stdint.h>
#include <time.h>

static inline int64_t milliseconds_now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}
static inline void nap(long microseconds) {
  struct timespec time = {microseconds / 1000000, microseconds % 1000000 * 1000};
  nanosleep(&time, NULL);
}

#endif
