#ifndef CCONTAINER_CGROUPS_H
#define CCONTAINER_CGROUPS_H

#include <errno.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

// union bpf_attr does not import: one function per command that vmrun uses.
static inline int ccontainer_bpf(int command, union bpf_attr *attr) {
  return (int)syscall(SYS_bpf, command, attr, sizeof *attr);
}
static inline int ccontainer_bpf_load_device(const void *instructions, uint32_t count) {
  union bpf_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attr.insns = (uint64_t)(uintptr_t)instructions;
  attr.insn_cnt = count;
  attr.license = (uint64_t)(uintptr_t) "GPL";
  return ccontainer_bpf(BPF_PROG_LOAD, &attr);
}
// replaced: the program whose place this one takes, or -1 to stand beside those that are there.
static inline int ccontainer_bpf_attach_device(int cgroup, int program, int replaced) {
  union bpf_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.target_fd = (uint32_t)cgroup;
  attr.attach_bpf_fd = (uint32_t)program;
  attr.attach_type = BPF_CGROUP_DEVICE;
  attr.attach_flags = BPF_F_ALLOW_MULTI;
  if (replaced >= 0) {
    attr.attach_flags |= BPF_F_REPLACE;
    attr.replace_bpf_fd = (uint32_t)replaced;
  }
  return ccontainer_bpf(BPF_PROG_ATTACH, &attr);
}
static inline int ccontainer_bpf_detach_device(int cgroup, int program) {
  union bpf_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.target_fd = (uint32_t)cgroup;
  attr.attach_bpf_fd = (uint32_t)program;
  attr.attach_type = BPF_CGROUP_DEVICE;
  return ccontainer_bpf(BPF_PROG_DETACH, &attr);
}
// The programs attached to this very cgroup; returns their number, at most capacity, or -1.
static inline int ccontainer_bpf_query_device(int cgroup, uint32_t *ids, uint32_t capacity) {
  union bpf_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.query.target_fd = (uint32_t)cgroup;
  attr.query.attach_type = BPF_CGROUP_DEVICE;
  attr.query.prog_ids = (uint64_t)(uintptr_t)ids;
  attr.query.prog_cnt = capacity;
  if (ccontainer_bpf(BPF_PROG_QUERY, &attr) != 0) return -1;
  return (int)(attr.query.prog_cnt < capacity ? attr.query.prog_cnt : capacity);
}
static inline int ccontainer_bpf_program(uint32_t id) {
  union bpf_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.prog_id = id;
  return ccontainer_bpf(BPF_PROG_GET_FD_BY_ID, &attr);
}

// A stream socket connected to a path, or to a name of the abstract namespace when it begins with a NUL.
static inline int ccontainer_connect_unix(const uint8_t *name, size_t count) {
  struct sockaddr_un address;
  memset(&address, 0, sizeof address);
  if (count == 0 || count >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, name, count);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + count + (name[0] ? 1 : 0));
  if (connect(fd, (struct sockaddr *)&address, length) != 0) {
    int error = errno;
    close(fd);
    errno = error;
    return -1;
  }
  return fd;
}

#endif
