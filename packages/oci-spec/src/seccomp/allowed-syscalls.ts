/*
 * System calls that every container may make, by theme: the ones that the
 * kernel guards well itself. Names with a suffix (32, 64, _time64) are the
 * same call in another mode of the CPU. What is missing here and in
 * default-profile.ts is refused: io_uring (too many holes), keyrings
 * and accounting that know no namespaces, obsolete and host-wide calls.
 */

const files = `
  access chdir chmod chown chown32 close close_range creat dup dup2 dup3 faccessat faccessat2
  fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 file_getattr file_setattr
  flock getcwd ioctl lchown lchown32 link linkat mkdir mkdirat mknod mknodat name_to_handle_at
  open openat openat2 readlink readlinkat rename renameat renameat2 rmdir symlink symlinkat umask
  unlink unlinkat utime utimes futimesat utimensat utimensat_time64`;

const fileData = `
  copy_file_range fadvise64 fadvise64_64 fallocate fdatasync fsync ftruncate ftruncate64 _llseek
  lseek pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readv sendfile sendfile64
  splice sync sync_file_range syncfs tee truncate truncate64 vmsplice write writev`;

const fileFacts = `
  fstat fstat64 fstatat64 fstatfs fstatfs64 getdents getdents64 listmount lstat lstat64 newfstatat
  stat stat64 statfs statfs64 statmount statx
  fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat
  llistxattr lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat`;

const waiting = `
  epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
  epoll_wait_old eventfd eventfd2 fanotify_mark inotify_add_watch inotify_init inotify_init1
  inotify_rm_watch _newselect pause poll ppoll ppoll_time64 pselect6 pselect6_time64 select
  signalfd signalfd4 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
  timerfd_settime64
  io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit`;

const memory = `
  brk cachestat madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2
  mlockall mmap mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free
  pkey_mprotect process_mrelease remap_file_pages`;

const processes = `
  execve execveat exit exit_group fork getcpu getpgid getpgrp getpid getppid getpriority getrlimit
  getrusage getsid gettid get_thread_area ioprio_get ioprio_set kill pidfd_open pidfd_send_signal
  prctl prlimit64 restart_syscall rseq seccomp setpgid setpriority setrlimit setsid
  set_thread_area set_tid_address tgkill times tkill ugetrlimit uretprobe vfork wait4 waitid
  waitpid
  sched_getaffinity sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min
  sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity
  sched_setattr sched_setparam sched_setscheduler sched_yield
  landlock_add_rule landlock_create_ruleset landlock_restrict_self lsm_get_self_attr
  lsm_list_modules lsm_set_self_attr`;

const identity = `
  capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid
  getresgid32 getresuid getresuid32 getuid getuid32 setfsgid setfsgid32 setfsuid setfsuid32 setgid
  setgid32 setgroups setgroups32 setregid setregid32 setresgid setresgid32 setresuid setresuid32
  setreuid setreuid32 setuid setuid32 sysinfo uname`;

const signals = `
  rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
  rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack sigprocmask sigreturn`;

// The adjusting ones are refused by the kernel without CAP_SYS_TIME, but they read the clock's state too.
const time = `
  adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime
  clock_gettime64 clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer
  time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime
  timer_settime64`;

const interprocess = `
  futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake get_robust_list
  set_robust_list getrandom ipc mq_getsetattr mq_notify mq_open mq_timedreceive
  mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd
  pipe pipe2 semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget`;

const network = `
  accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg
  recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair`;

/** Splits a list of names at white space. */
export function namesOf(list: string): string[] {
  return list.trim().split(/\s+/);
}

export const allowedSyscalls: readonly string[] = [
  files,
  fileData,
  fileFacts,
  waiting,
  memory,
  processes,
  identity,
  signals,
  time,
  interprocess,
  network,
]
  .flatMap(namesOf)
  .sort();
