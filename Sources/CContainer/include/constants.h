// Numbers of the kernel's headers under names that Swift can import (a header's enumeration and its macro share one name).
#ifndef CCONTAINER_CONSTANTS_H
#define CCONTAINER_CONSTANTS_H

#include <linux/capability.h>
#include <linux/ioprio.h>
#include <linux/mempolicy.h>
#include <linux/sched.h>
#include <sys/resource.h>

#ifndef SCHED_ISO
#define SCHED_ISO 4  // reserved by the kernel's header, and named by the specification
#endif

enum {
  ccontainer_rlimit_as = RLIMIT_AS,
  ccontainer_rlimit_core = RLIMIT_CORE,
  ccontainer_rlimit_cpu = RLIMIT_CPU,
  ccontainer_rlimit_data = RLIMIT_DATA,
  ccontainer_rlimit_fsize = RLIMIT_FSIZE,
  ccontainer_rlimit_locks = RLIMIT_LOCKS,
  ccontainer_rlimit_memlock = RLIMIT_MEMLOCK,
  ccontainer_rlimit_msgqueue = RLIMIT_MSGQUEUE,
  ccontainer_rlimit_nice = RLIMIT_NICE,
  ccontainer_rlimit_nofile = RLIMIT_NOFILE,
  ccontainer_rlimit_nproc = RLIMIT_NPROC,
  ccontainer_rlimit_rss = RLIMIT_RSS,
  ccontainer_rlimit_rtprio = RLIMIT_RTPRIO,
  ccontainer_rlimit_rttime = RLIMIT_RTTIME,
  ccontainer_rlimit_sigpending = RLIMIT_SIGPENDING,
  ccontainer_rlimit_stack = RLIMIT_STACK,

  ccontainer_ioprio_rt = IOPRIO_CLASS_RT,
  ccontainer_ioprio_be = IOPRIO_CLASS_BE,
  ccontainer_ioprio_idle = IOPRIO_CLASS_IDLE,

  ccontainer_sched_other = SCHED_NORMAL,
  ccontainer_sched_fifo = SCHED_FIFO,
  ccontainer_sched_rr = SCHED_RR,
  ccontainer_sched_batch = SCHED_BATCH,
  ccontainer_sched_iso = SCHED_ISO,
  ccontainer_sched_idle = SCHED_IDLE,
  ccontainer_sched_deadline = SCHED_DEADLINE,
  ccontainer_sched_flag_reset_on_fork = SCHED_FLAG_RESET_ON_FORK,
  ccontainer_sched_flag_reclaim = SCHED_FLAG_RECLAIM,
  ccontainer_sched_flag_dl_overrun = SCHED_FLAG_DL_OVERRUN,
  ccontainer_sched_flag_keep_policy = SCHED_FLAG_KEEP_POLICY,
  ccontainer_sched_flag_keep_params = SCHED_FLAG_KEEP_PARAMS,
  ccontainer_sched_flag_util_clamp_min = SCHED_FLAG_UTIL_CLAMP_MIN,
  ccontainer_sched_flag_util_clamp_max = SCHED_FLAG_UTIL_CLAMP_MAX,

  ccontainer_mpol_default = MPOL_DEFAULT,
  ccontainer_mpol_preferred = MPOL_PREFERRED,
  ccontainer_mpol_bind = MPOL_BIND,
  ccontainer_mpol_interleave = MPOL_INTERLEAVE,
  ccontainer_mpol_local = MPOL_LOCAL,
  ccontainer_mpol_preferred_many = MPOL_PREFERRED_MANY,
  ccontainer_mpol_weighted_interleave = MPOL_PREFERRED_MANY + 1,  // since Linux 6.9, above these headers
  ccontainer_mpol_static_nodes = MPOL_F_STATIC_NODES,
  ccontainer_mpol_relative_nodes = MPOL_F_RELATIVE_NODES,
  ccontainer_mpol_numa_balancing = MPOL_F_NUMA_BALANCING,
};

#endif
