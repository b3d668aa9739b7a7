// The least that a program can do to run one command in the bench's default OCI bundle: the kernel work that config.json asks for,
// by the cheapest calls that have the same result, and nothing else: no configuration read, no state kept, no checks.
// usage: container-floor [--phases] [--seccomp FILE] ROOTFS CGROUP COMMAND [ARGS]
//   --seccomp FILE   a finished filter, an array of struct sock_filter
//   --phases         prints where the time went, in microseconds, on standard error
// The namespaces, cgroups with their device rules, mounts, device nodes, masks, capabilities and the order are those of the
// OCI runtimes. cgroups: v2 by CLONE_INTO_CGROUP, v1 by the child's own write to `tasks`, which waits for nobody.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CGROUP2_MAGIC = 0x63677270, MOST_HIERARCHIES = 24, MOST_PHASES = 24, KEYCTL_JOIN = 1 };
static const int CAPABILITIES[] = {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FSETID, CAP_FOWNER, CAP_MKNOD, CAP_NET_RAW, CAP_SETGID, CAP_SETUID,
                                   CAP_SETFCAP, CAP_SETPCAP, CAP_NET_BIND_SERVICE, CAP_SYS_CHROOT, CAP_KILL, CAP_AUDIT_WRITE};
static const char *const MASKED[] = {"/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                                     "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"};
static const char *const READONLY[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
static const char *const DEVICE_RULES[] = {"c *:* m", "b *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm",
                                           "c 5:0 rwm", "c 5:1 rwm", "c 5:2 rwm", "c 136:* rwm"};
#define COUNT(array) (sizeof(array) / sizeof *(array))

static struct {
  int count;
  struct { const char *name; struct timespec at; } stamps[MOST_PHASES];
} *phases;

static void stamp(const char *name) {
  if (!phases || phases->count == MOST_PHASES) return;
  phases->stamps[phases->count].name = name;
  clock_gettime(CLOCK_MONOTONIC, &phases->stamps[phases->count++].at);
}

static long check(long result, const char *what) {
  if (result < 0) {
    dprintf(2, "container-floor: %s: %s\n", what, strerror(errno));
    _exit(125);
  }
  return result;
}

static void write_file(int folder, const char *path, const char *text, size_t length) {
  int file = (int)check(openat(folder, path, O_WRONLY | O_CLOEXEC), path);
  check(write(file, text, length), path);
  close(file);
}

static void copy_file(int from, int to, const char *path) {
  char text[256];
  int file = (int)check(openat(from, path, O_RDONLY | O_CLOEXEC), path);
  long length = check(read(file, text, sizeof text), path);
  close(file);
  write_file(to, path, text, (size_t)length);
}

// The hierarchies of version 1, by the names of their folders.
static struct { char name[32]; int root, tasks; } hierarchies[MOST_HIERARCHIES];
static int hierarchy_count;

static void find_hierarchies(void) {
  DIR *folder = opendir("/sys/fs/cgroup");
  if (!folder) check(-1, "/sys/fs/cgroup");
  for (struct dirent *entry; (entry = readdir(folder)) && hierarchy_count < MOST_HIERARCHIES;) {
    if (entry->d_type != DT_DIR || entry->d_name[0] == '.' || !strcmp(entry->d_name, "unified")) continue;
    int root = (int)check(openat(dirfd(folder), entry->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC), entry->d_name);
    snprintf(hierarchies[hierarchy_count].name, sizeof hierarchies->name, "%.31s", entry->d_name);
    hierarchies[hierarchy_count++].root = root;
  }
  closedir(folder);
}

static void make_cgroups_1(const char *name) {
  for (int i = 0; i < hierarchy_count; i++) {
    check(mkdirat(hierarchies[i].root, name, 0755), hierarchies[i].name);
    int own = (int)check(openat(hierarchies[i].root, name, O_PATH | O_DIRECTORY | O_CLOEXEC), name);
    if (!strcmp(hierarchies[i].name, "cpuset")) {
      copy_file(hierarchies[i].root, own, "cpuset.cpus");
      copy_file(hierarchies[i].root, own, "cpuset.mems");
    }
    if (!strcmp(hierarchies[i].name, "devices")) {
      write_file(own, "devices.deny", "a", 1);
      int allow = (int)check(openat(own, "devices.allow", O_WRONLY | O_CLOEXEC), "devices.allow");
      for (size_t rule = 0; rule < COUNT(DEVICE_RULES); rule++)
        check(write(allow, DEVICE_RULES[rule], strlen(DEVICE_RULES[rule])), DEVICE_RULES[rule]);
      close(allow);
    }
    hierarchies[i].tasks = (int)check(openat(own, "tasks", O_WRONLY | O_CLOEXEC), "tasks");
    close(own);
  }
}

// The same rules as a program for version 2: allows what a rule names, refuses the rest.
static void attach_device_program(int cgroup) {
  struct bpf_insn program[128];
  int count = 0;
#define PUT(...) program[count++] = (struct bpf_insn){__VA_ARGS__}
  PUT(.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 2, .src_reg = 1, .off = 0);  // type, and access in the upper half
  PUT(.code = BPF_ALU | BPF_MOV | BPF_X, .dst_reg = 3, .src_reg = 2);
  PUT(.code = BPF_ALU | BPF_AND | BPF_K, .dst_reg = 2, .imm = 0xFFFF);
  PUT(.code = BPF_ALU | BPF_RSH | BPF_K, .dst_reg = 3, .imm = 16);
  PUT(.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 4, .src_reg = 1, .off = 4);  // major
  PUT(.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 5, .src_reg = 1, .off = 8);  // minor
  for (size_t rule = 0; rule < COUNT(DEVICE_RULES); rule++) {
    char type, access[4] = "", major[8], minor[8];
    sscanf(DEVICE_RULES[rule], "%c %7[^:]:%7s %3s", &type, major, minor, access);
    int first = count;
    PUT(.code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = 2, .imm = type == 'c' ? BPF_DEVCG_DEV_CHAR : BPF_DEVCG_DEV_BLOCK);
    if (!strcmp(access, "m")) PUT(.code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = 3, .imm = BPF_DEVCG_ACC_MKNOD);
    if (major[0] != '*') PUT(.code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = 4, .imm = atoi(major));
    if (minor[0] != '*') PUT(.code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = 5, .imm = atoi(minor));
    for (int i = first; i < count; i++) program[i].off = (short)(count + 2 - i - 1);
    PUT(.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 1);
    PUT(.code = BPF_JMP | BPF_EXIT);
  }
  PUT(.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 0);
  PUT(.code = BPF_JMP | BPF_EXIT);
#undef PUT
  union bpf_attr load = {.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE, .insns = (uintptr_t)program, .insn_cnt = (unsigned)count,
                         .license = (uintptr_t)"GPL"};
  int loaded = (int)check(syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load), "the device program");
  union bpf_attr attach = {.target_fd = (unsigned)cgroup, .attach_bpf_fd = (unsigned)loaded, .attach_type = BPF_CGROUP_DEVICE,
                           .attach_flags = BPF_F_ALLOW_MULTI};
  check(syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof attach), "attach the device program");
  close(loaded);
}

static void mount_all(int version_2) {
  const unsigned long quiet = MS_NOSUID | MS_NOEXEC | MS_NODEV;
  check(mount("proc", "proc", "proc", quiet, NULL), "proc");
  check(mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"), "dev");
  check(mkdir("dev/pts", 0755), "dev/pts");
  check(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"), "dev/pts");
  check(mount("sysfs", "sys", "sysfs", quiet | MS_RDONLY, NULL), "sys");
  if (version_2) {
    check(mount("cgroup", "sys/fs/cgroup", "cgroup2", quiet | MS_RDONLY, NULL), "sys/fs/cgroup");
  } else {
    check(mount("tmpfs", "sys/fs/cgroup", "tmpfs", quiet, "mode=755"), "sys/fs/cgroup");
    for (int i = 0; i < hierarchy_count; i++) {
      char path[64] = "sys/fs/cgroup/", data[64] = "name=";
      strcat(path, hierarchies[i].name);
      strcpy(data + (strcmp(hierarchies[i].name, "systemd") ? 0 : 5), hierarchies[i].name);
      check(mkdir(path, 0755), path);
      check(mount("cgroup", path, "cgroup", quiet | MS_RDONLY, data), path);
    }
    check(mount(NULL, "sys/fs/cgroup", NULL, quiet | MS_RDONLY | MS_REMOUNT | MS_BIND, NULL), "sys/fs/cgroup, read-only");
  }
  check(mkdir("dev/mqueue", 0755), "dev/mqueue");
  check(mount("mqueue", "dev/mqueue", "mqueue", quiet, NULL), "dev/mqueue");
  check(mkdir("dev/shm", 0755), "dev/shm");
  check(mount("shm", "dev/shm", "tmpfs", quiet, "mode=1777,size=67108864"), "dev/shm");
}

static void make_devices(void) {
  static const struct { const char *path; unsigned major, minor; } nodes[] = {
    {"dev/null", 1, 3}, {"dev/zero", 1, 5}, {"dev/full", 1, 7}, {"dev/random", 1, 8}, {"dev/urandom", 1, 9}, {"dev/tty", 5, 0}};
  static const char *const links[][2] = {{"/proc/self/fd", "dev/fd"}, {"/proc/self/fd/0", "dev/stdin"}, {"/proc/self/fd/1", "dev/stdout"},
                                         {"/proc/self/fd/2", "dev/stderr"}, {"/proc/kcore", "dev/core"}, {"pts/ptmx", "dev/ptmx"}};
  mode_t mask = umask(0);
  for (size_t i = 0; i < COUNT(nodes); i++) check(mknod(nodes[i].path, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)), nodes[i].path);
  for (size_t i = 0; i < COUNT(links); i++) check(symlink(links[i][0], links[i][1]), links[i][1]);
  umask(mask);
}

// In the new root: what the kernel does not have is passed over, as the specification says.
static void seal(void) {
  for (size_t i = 0; i < COUNT(READONLY); i++) {
    if (mount(READONLY[i], READONLY[i], NULL, MS_BIND | MS_REC, NULL)) continue;
    check(mount(NULL, READONLY[i], NULL, MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY | MS_REMOUNT | MS_BIND, NULL), READONLY[i]);
  }
  const char *empty = NULL;
  for (size_t i = 0; i < COUNT(MASKED); i++) {
    if (!mount("/dev/null", MASKED[i], NULL, MS_BIND, NULL) || errno != ENOTDIR) continue;
    // One empty file system serves every masked folder.
    check(empty ? mount(empty, MASKED[i], NULL, MS_BIND, NULL) : mount("tmpfs", MASKED[i], "tmpfs", MS_RDONLY, "size=0k"), MASKED[i]);
    empty = MASKED[i];
  }
}

static void drop_capabilities(void) {
  uint64_t keep = 0;
  for (size_t i = 0; i < COUNT(CAPABILITIES); i++) keep |= 1ull << CAPABILITIES[i];
  for (int number = 0; number <= CAP_LAST_CAP; number++)
    if (!(keep >> number & 1) && prctl(PR_CAPBSET_DROP, number, 0, 0, 0) && errno != EINVAL) check(-1, "PR_CAPBSET_DROP");
  check(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "PR_CAP_AMBIENT_CLEAR_ALL");
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2] = {{(uint32_t)keep, (uint32_t)keep, 0}, {(uint32_t)(keep >> 32), (uint32_t)(keep >> 32), 0}};
  check(syscall(SYS_capset, &header, data), "capset");
}

static void loopback_up(void) {
  int control = (int)check(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
  check(ioctl(control, SIOCSIFFLAGS, &request), "SIOCSIFFLAGS");
  close(control);
}

int main(int argc, char **argv) {
  struct sock_fprog filter = {0, NULL};
  static struct sock_filter instructions[4096];
  int next = 1;
  for (; next < argc && argv[next][0] == '-'; next++) {
    if (!strcmp(argv[next], "--phases")) {
      phases = mmap(NULL, sizeof *phases, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
      if (phases == MAP_FAILED) return 125;
    } else if (!strcmp(argv[next], "--seccomp") && next + 1 < argc) {
      int file = (int)check(open(argv[next + 1], O_RDONLY | O_CLOEXEC), argv[next + 1]);
      next++;
      filter.len = (unsigned short)((size_t)check(read(file, instructions, sizeof instructions), argv[next]) / sizeof *instructions);
      filter.filter = instructions;
      close(file);
    } else return 125;
  }
  if (argc - next < 3) return 125;
  const char *rootfs = argv[next], *name = argv[next + 1];
  char **command = argv + next + 2;
  stamp("begin");

  struct statfs kind;
  check(statfs("/sys/fs/cgroup", &kind), "/sys/fs/cgroup");
  int version_2 = kind.f_type == CGROUP2_MAGIC, cgroup = -1, cgroup_root = -1;
  if (version_2) {
    cgroup_root = (int)check(open("/sys/fs/cgroup", O_PATH | O_DIRECTORY | O_CLOEXEC), "/sys/fs/cgroup");
    check(mkdirat(cgroup_root, name, 0755), name);
    cgroup = (int)check(openat(cgroup_root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), name);
    attach_device_program(cgroup);
  } else {
    find_hierarchies();
    make_cgroups_1(name);
  }
  stamp("cgroups made");

  struct clone_args arguments = {.flags = CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWNS | CLONE_NEWUTS, .exit_signal = SIGCHLD};
  if (version_2) {
    arguments.flags |= CLONE_INTO_CGROUP;
    arguments.cgroup = (unsigned)cgroup;
  }
  pid_t child = (pid_t)check(syscall(SYS_clone3, &arguments, sizeof arguments), "clone3");
  if (child == 0) {
    stamp("cloned");
    for (int i = 0; i < hierarchy_count; i++) check(write(hierarchies[i].tasks, "0", 1), hierarchies[i].name);
    check(unshare(CLONE_NEWCGROUP), "unshare");
    stamp("cgroups joined");
    check(setsid(), "setsid");
    check(syscall(SYS_keyctl, KEYCTL_JOIN, "floor"), "session keyring");
    loopback_up();
    stamp("loopback up");
    check(mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL), "propagation");
    check(mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL), rootfs);
    check(chdir(rootfs), rootfs);
    mount_all(version_2);
    stamp("mounted");
    make_devices();
    stamp("devices");
    check(syscall(SYS_pivot_root, ".", "."), "pivot_root");
    check(mount(NULL, ".", NULL, MS_REC | MS_SLAVE, NULL), "the old root's propagation");
    check(umount2(".", MNT_DETACH), "the old root");
    check(chdir("/"), "/");
    stamp("pivoted");
    seal();
    stamp("masked");
    check(sethostname("box", 3), "sethostname");
    write_file(AT_FDCWD, "/proc/self/oom_score_adj", "0", 1);
    umask(022);
    check(syscall(SYS_setgroups, 0, NULL), "setgroups");
    check(syscall(SYS_setresgid, 0, 0, 0), "setresgid");
    check(syscall(SYS_setresuid, 0, 0, 0), "setresuid");
    drop_capabilities();
    check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS");
    check(close_range(3, ~0u, CLOSE_RANGE_CLOEXEC), "close_range");
    stamp("identity");
    if (filter.len) check(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter), "seccomp");
    stamp("seccomp");
    static char *const environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=box", NULL};
    execve(command[0], command, environment);
    check(-1, command[0]);
  }
  int status;
  check(waitpid(child, &status, 0), "waitpid");
  stamp("ended");
  if (version_2) check(unlinkat(cgroup_root, name, AT_REMOVEDIR), name);
  for (int i = 0; i < hierarchy_count; i++) check(unlinkat(hierarchies[i].root, name, AT_REMOVEDIR), hierarchies[i].name);
  stamp("cgroups removed");
  for (int i = 1; phases && i < phases->count; i++) {
    long nanoseconds = (phases->stamps[i].at.tv_sec - phases->stamps[i - 1].at.tv_sec) * 1000000000 +
                       phases->stamps[i].at.tv_nsec - phases->stamps[i - 1].at.tv_nsec;
    fprintf(stderr, "%8.1f us  %s\n", (double)nanoseconds / 1000, phases->stamps[i].name);
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
