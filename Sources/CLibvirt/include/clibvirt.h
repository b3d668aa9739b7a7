// What vmrun-libvirt needs of libvirt's C API, and calls whose structs Swift cannot spell.
#ifndef CLIBVIRT_H
#define CLIBVIRT_H

// As in CLinux: one module may not see other C library types than another.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

// What a watcher is told.
enum clibvirt_news {
  CLIBVIRT_NEWS_LIFECYCLE = 0, // a virDomainEventType and its detail
  CLIBVIRT_NEWS_REBOOT = 1,    // the guest was reset
  CLIBVIRT_NEWS_CLOSED = 2,    // the connection is gone, with a virConnectCloseReason
};
typedef void (*clibvirt_watcher)(void *context, int news, int event, int detail);

// Initialises the library, keeps it from printing errors, and runs its event loop in a thread of its own for the process's life.
// Returns 0 or -1.
int clibvirt_start(void);

// Tells `watcher`, on the event loop's thread, what happens to the connection and to the domain called `name`, which may
// not exist yet. All three must live as long as the connection. Returns 0 or -1.
int clibvirt_watch(virConnectPtr connection, const char *name, clibvirt_watcher watcher, void *context);

// Connects like virConnectOpen(), but fails where the user would have to be asked for a password. NULL for none.
virConnectPtr clibvirt_open(const char *uri);

// The library's last error on this thread; never NULL.
const char *clibvirt_error(void);
int clibvirt_error_code(void);

// A listening stream socket at `path` with permissions `mode`, close-on-exec and non-blocking; or -1 and errno.
int clibvirt_listen(const char *path, mode_t mode);
// A connection to the socket at `path`; or -1 and errno.
int clibvirt_connect(const char *path);
// The next connection to a listening socket, close-on-exec and non-blocking, and who is at its other end; or -1 and errno.
int clibvirt_accept(int listener, pid_t *process, uid_t *user);

// Removes the folder at `path` with the files in it; what is no file in it stays, and so does it then.
void clibvirt_remove_folder(const char *path);

// A child that outlives this process to clean up after it, should it be killed: removes `folder` and, when no process has `name` in its arguments
// any more, the file `log`. It sleeps until then. Returns a descriptor that keeps it asleep, or -1; `child` is its process id.
int clibvirt_guard(const char *folder, const char *log, const char *name, pid_t *child);
// Ends the guard behind `descriptor`: there is nothing to clean up.
void clibvirt_dismiss(int descriptor, pid_t child);

// Goes on in a user namespace in which this process's user is `user` and its group `group`. Before any thread is started.
// Returns 0 or an errno.
int clibvirt_enter_user_namespace(uid_t user, gid_t group);

// Whether process `process` has `name` in its arguments.
bool clibvirt_process_has(pid_t process, const char *name);

#endif
