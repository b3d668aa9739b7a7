#include "tools.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *place) {
  (void)status, (void)kind, (void)place;
  return remove(path);
}

int ccontainer_remove_tree(const char *path) { return nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT); }

int ccontainer_exchange(const char *from, const char *to) {
  if (syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE) == 0) return 0;
  if (errno == ENOENT) return rename(from, to);
  return -1;
}

int ccontainer_make_temporary_folder(char *path) { return mkdtemp(path) ? 0 : -1; }

long ccontainer_find(const void *bytes, unsigned long count, const void *needle, unsigned long length) {
  const void *found = memmem(bytes, count, needle, length);
  return found ? (const char *)found - (const char *)bytes : -1;
}
