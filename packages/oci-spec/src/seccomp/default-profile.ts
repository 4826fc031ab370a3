import type { OciSyscallArg } from '@gantry/oci';
import { allowedSyscalls, namesOf } from './allowed-syscalls.ts';
import type { SeccompProfile, SeccompRule } from './profile.ts';

const eperm = 1;
const enosys = 38;

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET (linux/sched.h). */
const newNamespaceFlags = 0x7e02_0000;
/** AF_VSOCK reaches the hypervisor and sibling machines past every network namespace. */
const vsock = 40;
/** Personalities that change no more than what programs see: Linux, SVR4's and BSD's on 32 bits, "ask". */
const harmlessPersonalities = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

const allow = (list: string, conditions: Partial<SeccompRule> = {}): SeccompRule => ({
  names: namesOf(list),
  action: 'SCMP_ACT_ALLOW',
  ...conditions,
});
const argument = (
  index: number,
  op: OciSyscallArg['op'],
  value: number,
  valueTwo?: number,
): OciSyscallArg => ({ index, op, value, ...(valueTwo !== undefined && { valueTwo }) });

/** What a capability opens: the kernel checks it too, so that the filter need not stand in the way. */
const byCapability: Readonly<Record<string, string>> = {
  CAP_BPF: 'bpf',
  CAP_DAC_READ_SEARCH: 'open_by_handle_at',
  CAP_PERFMON: 'perf_event_open',
  CAP_SYS_ADMIN: `bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount
    mount_setattr move_mount open_tree open_tree_attr perf_event_open quotactl quotactl_fd
    setdomainname sethostname setns syslog umount umount2 unshare`,
  CAP_SYS_BOOT: 'reboot',
  CAP_SYS_CHROOT: 'chroot',
  CAP_SYSLOG: 'syslog',
  CAP_SYS_MODULE: 'delete_module finit_module init_module',
  CAP_SYS_NICE: 'get_mempolicy mbind set_mempolicy set_mempolicy_home_node',
  CAP_SYS_PACCT: 'acct',
  CAP_SYS_PTRACE: 'kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace',
  CAP_SYS_RAWIO: 'ioperm iopl',
  CAP_SYS_TIME: 'clock_settime clock_settime64 settimeofday stime',
  CAP_SYS_TTY_CONFIG: 'vhangup',
};

const byCpu: readonly (readonly [arches: readonly string[], names: string])[] = [
  [['amd64', '386'], 'arch_prctl modify_ldt'],
  [
    ['arm', 'arm64'],
    'arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2',
  ],
  [['ppc64le'], 'swapcontext sync_file_range2'],
  [['riscv64'], 'riscv_flush_icache riscv_hwprobe'],
  [['s390x'], 's390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr'],
];

const withoutAdmin: Partial<SeccompRule> = { unless: { capabilities: ['CAP_SYS_ADMIN'] } };

/** The first argument of clone, the flags, is the second one on s390. */
const threadsAndProcesses: readonly SeccompRule[] = [
  allow('clone', {
    unless: { capabilities: ['CAP_SYS_ADMIN'], arches: ['s390x'] },
    args: [argument(0, 'SCMP_CMP_MASKED_EQ', newNamespaceFlags, 0)],
  }),
  allow('clone', {
    ...withoutAdmin,
    when: { arches: ['s390x'] },
    args: [argument(1, 'SCMP_CMP_MASKED_EQ', newNamespaceFlags, 0)],
  }),
  // Its flags lie in memory, where a filter can't look; after ENOSYS a C library uses clone.
  { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: enosys, ...withoutAdmin },
];

/**
 * RuntimeDefault: what is not allowed fails with EPERM. It follows the
 * capabilities of the container, the kernel and the CPU, and gives what
 * programs know from containerd and Docker.
 */
export const defaultProfile: SeccompProfile = {
  defaultAction: 'SCMP_ACT_ERRNO',
  defaultErrnoRet: eperm,
  rules: [
    { names: [...allowedSyscalls], action: 'SCMP_ACT_ALLOW' },
    allow('socket', { args: [argument(0, 'SCMP_CMP_NE', vsock)] }),
    ...harmlessPersonalities.map((value) =>
      allow('personality', { args: [argument(0, 'SCMP_CMP_EQ', value)] }),
    ),
    // Before 4.8 a tracer could change a system call after the filter had passed it.
    allow('process_vm_readv process_vm_writev ptrace', {
      when: { minKernel: { major: 4, minor: 8 } },
    }),
    ...byCpu.map(([arches, names]) => allow(names, { when: { arches } })),
    ...Object.entries(byCapability).map(([capability, names]) =>
      allow(names, { when: { capabilities: [capability] } }),
    ),
    ...threadsAndProcesses,
  ],
};
