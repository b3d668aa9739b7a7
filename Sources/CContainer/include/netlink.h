#ifndef CCONTAINER_NETLINK_H
#define CCONTAINER_NETLINK_H

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/veth.h>

// Sets the flags of one interface of the caller's network namespace (netdevice(7), SIOCSIFFLAGS): a union of ifreq.
static inline int ccontainer_set_interface_flags(int socket, const char *name, short flags) {
  struct ifreq request;
  memset(&request, 0, sizeof request);
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  request.ifr_flags = flags;
  return ioctl(socket, SIOCSIFFLAGS, &request);
}

// A routing socket; with the kernel's own words for a refusal where it has them (NETLINK_EXT_ACK, Linux 4.12), which is not
// worth an error.
static inline int ccontainer_netlink_open(void) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return fd;
  int on = 1;
  (void)setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  (void)setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  return fd;
}

#endif
