import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import type { OciSyscall } from '@gantry/oci';
import { SecurityProfile_ProfileType as ProfileType, SecurityProfileSchema } from '@gantry/proto';
import { capabilityNames, defaultCapabilities } from '../capability-names.ts';
import { allowedSyscalls } from './allowed-syscalls.ts';
import { defaultProfile } from './default-profile.ts';
import { parseSeccompProfile } from './parse-profile.ts';
import { resolveSeccomp, type SeccompContext } from './profile.ts';
import { type SeccompFields, seccompOf, seccompRequestOf } from './seccomp.ts';

const plain: SeccompContext = {
  capabilities: defaultCapabilities,
  arch: 'x64',
  kernel: { major: 6, minor: 1 },
};
const rulesOf = (name: string, context: Partial<SeccompContext> = {}): OciSyscall[] =>
  (resolveSeccomp(defaultProfile, { ...plain, ...context }).syscalls ?? []).filter((rule) =>
    rule.names.includes(name),
  );
/** Allowed whatever its arguments are. */
const isFree = (name: string, context: Partial<SeccompContext> = {}): boolean =>
  rulesOf(name, context).some((r) => r.action === 'SCMP_ACT_ALLOW' && r.args === undefined);

test('what is not named fails with EPERM', () => {
  const profile = resolveSeccomp(defaultProfile, plain);
  assert.equal(profile.defaultAction, 'SCMP_ACT_ERRNO');
  assert.equal(profile.defaultErrnoRet, 1);
});

test('no system call is listed twice', () => {
  assert.deepEqual(
    allowedSyscalls.filter((name, i) => allowedSyscalls.indexOf(name) !== i),
    [],
  );
});

for (const name of [
  'read',
  'execve',
  'openat2',
  'rseq',
  'futex_waitv',
  'statx',
  'landlock_create_ruleset',
]) {
  test(`${name} is allowed to all`, () => {
    assert.ok(isFree(name, { capabilities: [] }));
  });
}

for (const name of [
  'mount',
  'keyctl',
  'add_key',
  'request_key',
  'kexec_load',
  'kexec_file_load',
  'swapon',
  'swapoff',
  'pivot_root',
  'io_uring_setup',
  'io_uring_enter',
  'io_uring_register',
  'userfaultfd',
  'nfsservctl',
  'unshare',
  'setns',
  'bpf',
  'reboot',
  'init_module',
  'open_by_handle_at',
  'quotactl',
  'ioperm',
  'settimeofday',
]) {
  test(`${name} is refused without further capabilities`, () => {
    assert.deepEqual(rulesOf(name), []);
  });
}

const opened: readonly [capability: string, names: string][] = [
  ['CAP_BPF', 'bpf'],
  ['CAP_DAC_READ_SEARCH', 'open_by_handle_at'],
  ['CAP_PERFMON', 'perf_event_open'],
  ['CAP_SYS_ADMIN', 'mount umount2 unshare setns clone clone3 bpf fsopen move_mount sethostname'],
  ['CAP_SYS_BOOT', 'reboot'],
  ['CAP_SYS_CHROOT', 'chroot'],
  ['CAP_SYS_MODULE', 'init_module finit_module delete_module'],
  ['CAP_SYS_NICE', 'mbind set_mempolicy'],
  ['CAP_SYS_PACCT', 'acct'],
  ['CAP_SYS_PTRACE', 'kcmp pidfd_getfd process_madvise'],
  ['CAP_SYS_RAWIO', 'iopl ioperm'],
  ['CAP_SYS_TIME', 'settimeofday clock_settime stime'],
  ['CAP_SYS_TTY_CONFIG', 'vhangup'],
  ['CAP_SYSLOG', 'syslog'],
];
for (const [capability, names] of opened) {
  test(`${capability} opens ${names}`, () => {
    for (const name of names.split(' ')) {
      assert.ok(!isFree(name, { capabilities: [] }), name);
      assert.ok(isFree(name, { capabilities: [capability] }), name);
    }
  });
}

test('every capability that opens something is one that exists', () => {
  const named = defaultProfile.rules.flatMap(({ when = {}, unless = {} }) => [
    ...(when.capabilities ?? []),
    ...(unless.capabilities ?? []),
  ]);
  assert.deepEqual(
    named.filter((name) => !capabilityNames.includes(name)),
    [],
  );
});

test('clone may make processes and threads but no namespace, and clone3 seems not to exist', () => {
  assert.deepEqual(rulesOf('clone'), [
    {
      names: ['clone'],
      action: 'SCMP_ACT_ALLOW',
      args: [{ index: 0, op: 'SCMP_CMP_MASKED_EQ', value: 0x7e020000, valueTwo: 0 }],
    },
  ]);
  assert.deepEqual(rulesOf('clone3'), [
    { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: 38 },
  ]);
  assert.equal(rulesOf('clone', { arch: 's390x' })[0]?.args?.[0]?.index, 1);
  assert.equal(rulesOf('clone3', { capabilities: ['CAP_SYS_ADMIN'] }).length, 1);
});

test('sockets of all families but vsock', () => {
  assert.deepEqual(
    rulesOf('socket').map(({ args }) => args),
    [[{ index: 0, op: 'SCMP_CMP_NE', value: 40 }]],
  );
});

test('personalities that change little', () => {
  assert.deepEqual(
    rulesOf('personality').map(({ args }) => args?.[0]?.value),
    [0, 8, 0x20000, 0x20008, 0xffffffff],
  );
});

test('ptrace needs a kernel that filters after the tracer', () => {
  assert.ok(isFree('ptrace', { kernel: { major: 4, minor: 8 } }));
  assert.ok(!isFree('ptrace', { kernel: { major: 4, minor: 7 } }));
  assert.ok(isFree('ptrace', { kernel: { major: 3, minor: 9 }, capabilities: ['CAP_SYS_PTRACE'] }));
});

test('calls of one CPU are allowed there alone', () => {
  assert.ok(isFree('arch_prctl'));
  assert.ok(!isFree('arch_prctl', { arch: 'arm64' }));
  assert.ok(isFree('set_tls', { arch: 'arm64' }));
  assert.ok(isFree('riscv_flush_icache', { arch: 'riscv64' }));
});

test('the profile counts for all modes of the CPU, and for all that runs on an unknown one', () => {
  const modes = (arch: string) => resolveSeccomp(defaultProfile, { ...plain, arch }).architectures;
  assert.deepEqual(modes('x64'), ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32']);
  assert.deepEqual(modes('arm64'), ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM']);
  assert.equal(modes('vax'), undefined);
});

type Fields = Partial<Omit<SeccompFields, 'seccomp'>> & {
  seccomp?: { profileType: ProfileType; localhostRef?: string };
};
const fields = ({ seccomp, ...others }: Fields): SeccompFields => ({
  privileged: false,
  seccompProfilePath: '',
  ...others,
  ...(seccomp && { seccomp: create(SecurityProfileSchema, seccomp) }),
});
const requests: readonly [init: Fields, type: string, path?: string][] = [
  [{}, 'unconfined'],
  [{ seccomp: { profileType: ProfileType.Unconfined } }, 'unconfined'],
  [{ seccomp: { profileType: ProfileType.RuntimeDefault } }, 'runtime-default'],
  [{ seccomp: { profileType: ProfileType.RuntimeDefault }, privileged: true }, 'unconfined'],
  [{ seccomp: { profileType: ProfileType.Localhost, localhostRef: '/p' } }, 'localhost', '/p'],
  [{ seccompProfilePath: 'unconfined' }, 'unconfined'],
  [{ seccompProfilePath: 'runtime/default' }, 'runtime-default'],
  [{ seccompProfilePath: 'docker/default' }, 'runtime-default'],
  [{ seccompProfilePath: 'localhost//p' }, 'localhost', '/p'],
  [
    { seccomp: { profileType: ProfileType.Unconfined }, seccompProfilePath: 'runtime/default' },
    'unconfined',
  ],
];
for (const [init, type, path] of requests) {
  test(`seccomp ${JSON.stringify(init)} asks for ${type}`, () => {
    assert.deepEqual(seccompRequestOf(fields(init)), {
      type,
      ...(path !== undefined && { path }),
    });
  });
}

test('a localhost profile needs an absolute path', () => {
  for (const init of [
    { seccomp: { profileType: ProfileType.Localhost, localhostRef: 'p' } },
    { seccompProfilePath: 'localhost/p' },
    { seccomp: { profileType: 9 as ProfileType } },
  ]) {
    assert.throws(() => seccompRequestOf(fields(init)), { kind: 'invalid-argument' });
  }
});

test('a profile on a host without seccomp is refused, none is not', () => {
  const host = { ...plain, seccomp: false };
  assert.equal(seccompOf({ type: 'unconfined' }, host, []), undefined);
  assert.throws(() => seccompOf({ type: 'runtime-default' }, host, []), {
    kind: 'failed-precondition',
  });
});

test('a profile in the runtime’s form comes through as it is', () => {
  const source = {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: 38,
    architectures: ['SCMP_ARCH_X86_64'],
    flags: ['SECCOMP_FILTER_FLAG_LOG'],
    syscalls: [
      { names: ['read', 'no_such_call'], action: 'SCMP_ACT_ALLOW' },
      {
        names: ['socket'],
        action: 'SCMP_ACT_TRAP',
        errnoRet: 5,
        args: [{ index: 0, value: 1, valueTwo: 2, op: 'SCMP_CMP_MASKED_EQ' }],
      },
    ],
  };
  const profile = parseSeccompProfile(JSON.stringify(source), 'profile');
  assert.deepEqual(resolveSeccomp(profile, plain), source);
});

test('a profile in Docker’s form follows capabilities, CPU and kernel', () => {
  const profile = parseSeccompProfile(
    JSON.stringify({
      defaultAction: 'SCMP_ACT_ERRNO',
      archMap: [{ architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86'] }],
      syscalls: [
        { name: 'a', action: 'SCMP_ACT_ALLOW', args: null },
        { names: ['b'], action: 'SCMP_ACT_ALLOW', includes: { caps: ['CAP_CHOWN'] } },
        { names: ['c'], action: 'SCMP_ACT_ALLOW', excludes: { caps: ['CAP_CHOWN'] } },
        { names: ['d'], action: 'SCMP_ACT_ALLOW', includes: { arches: ['arm64'] } },
        { names: ['e'], action: 'SCMP_ACT_ALLOW', includes: { minKernel: '6.1' } },
        { names: ['f'], action: 'SCMP_ACT_ALLOW', includes: { minKernel: '6.2' } },
        { names: ['g'], action: 'SCMP_ACT_ALLOW', excludes: { arches: ['amd64'] } },
        { names: ['h'], action: 'SCMP_ACT_ALLOW', excludes: { minKernel: '6.1' } },
      ],
    }),
    'profile',
  );
  const names = resolveSeccomp(profile, plain).syscalls?.flatMap((rule) => rule.names);
  assert.deepEqual(names, ['a', 'b', 'e']);
});

for (const [text, message] of [
  ['', /^profile: not JSON/],
  ['{}', /^profile: defaultAction/],
  ['{"defaultAction":"SCMP_ACT_MAYBE"}', /defaultAction/],
  ['{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"]}]}', /syscalls\.0\.action/],
  ['[]', /^profile/],
] as const) {
  test(`the profile ${text || 'without text'} is refused`, () => {
    assert.throws(() => parseSeccompProfile(text, 'profile'), {
      kind: 'invalid-argument',
      message,
    });
  });
}
