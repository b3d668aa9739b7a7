#include "clinux.h"

static void *run_body(void *argument) {
  struct clinux_thread_start start = *(struct clinux_thread_start *)argument;
  free(argument);
  start.body(start.context);
  return NULL;
}

int clinux_thread_create(pthread_t *thread, size_t stack_size, clinux_thread_body body, void *context) {
  struct clinux_thread_start *start = malloc(sizeof *start);
  if (!start) return ENOMEM;
  start->body = body;
  start->context = context;
  pthread_attr_t attributes;
  int error = pthread_attr_init(&attributes);
  if (!error) {
    error = pthread_attr_setstacksize(&attributes, stack_size);
    if (!error) error = pthread_create(thread, &attributes, run_body, start);
    pthread_attr_destroy(&attributes);
  }
  if (error) free(start);
  return error;
}

static void ignore(int number) { (void)number; }

int clinux_install_interrupting_handler(int number) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = ignore;  // no SA_RESTART: the call in progress must return EINTR
  if (sigaction(number, &action, NULL)) return -1;
  // Whoever started this process may have left the signal blocked: a mask survives execve(2), and threads inherit it.
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, number);
  return pthread_sigmask(SIG_UNBLOCK, &set, NULL) ? -1 : 0;
}
