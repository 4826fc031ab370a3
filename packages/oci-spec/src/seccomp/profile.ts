import type { OciSeccomp, OciSeccompAction, OciSyscall } from '@gantry/oci';
import { isAtLeast, type KernelVersion } from '../kernel-version.ts';

/** A set of conditions on one container. Each that is present must hold. */
export interface SeccompCondition {
  /** All of these capabilities are granted. */
  readonly capabilities?: readonly string[];
  /** The CPU is one of these, in Go's words: amd64, arm64, s390x, ... */
  readonly arches?: readonly string[];
  /** The kernel is this or newer. */
  readonly minKernel?: KernelVersion;
}

/** System calls and what happens to them, under conditions. */
export interface SeccompRule extends OciSyscall {
  readonly when?: SeccompCondition;
  /** The rule is dropped when any capability, any CPU, or the kernel matches. */
  readonly unless?: SeccompCondition;
}

/** A profile whose rules depend on what a container is granted; `resolveSeccomp` makes it definite. */
export interface SeccompProfile extends Omit<OciSeccomp, 'syscalls'> {
  readonly defaultAction: OciSeccompAction;
  readonly rules: readonly SeccompRule[];
}

/** What a profile's conditions are held against. */
export interface SeccompContext {
  /** The container's bounding set, with CAP_. */
  readonly capabilities: readonly string[];
  /** As Node's process.arch says it. */
  readonly arch: string;
  readonly kernel: KernelVersion;
}

const cpus: Readonly<Record<string, { name: string; modes: readonly string[] }>> = {
  x64: { name: 'amd64', modes: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'] },
  arm64: { name: 'arm64', modes: ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM'] },
  arm: { name: 'arm', modes: ['SCMP_ARCH_ARM'] },
  ia32: { name: '386', modes: ['SCMP_ARCH_X86'] },
  loong64: { name: 'loong64', modes: ['SCMP_ARCH_LOONGARCH64'] },
  ppc64: { name: 'ppc64le', modes: ['SCMP_ARCH_PPC64LE'] },
  riscv64: { name: 'riscv64', modes: ['SCMP_ARCH_RISCV64'] },
  s390x: { name: 's390x', modes: ['SCMP_ARCH_S390X', 'SCMP_ARCH_S390'] },
};

/** The profile that one container gets: the rules whose conditions hold, for all modes of this CPU. */
export function resolveSeccomp(profile: SeccompProfile, context: SeccompContext): OciSeccomp {
  const { rules, architectures = cpus[context.arch]?.modes, ...rest } = profile;
  const syscalls = rules
    .filter(({ when = {}, unless = {} }) => holds(when, context) && !matchesAny(unless, context))
    .map(({ names, action, errnoRet, args }) => ({
      names,
      action,
      ...(errnoRet !== undefined && { errnoRet }),
      ...(args !== undefined && { args }),
    }));
  return {
    ...rest,
    ...(architectures !== undefined && { architectures: [...architectures] }),
    syscalls,
  };
}

function holds(condition: SeccompCondition, context: SeccompContext): boolean {
  const { capabilities = [], arches, minKernel } = condition;
  return (
    capabilities.every((name) => context.capabilities.includes(name)) &&
    (arches === undefined || arches.includes(cpus[context.arch]?.name ?? context.arch)) &&
    (minKernel === undefined || isAtLeast(context.kernel, minKernel))
  );
}

function matchesAny(condition: SeccompCondition, context: SeccompContext): boolean {
  const { capabilities = [], arches = [], minKernel } = condition;
  return (
    capabilities.some((name) => context.capabilities.includes(name)) ||
    arches.includes(cpus[context.arch]?.name ?? context.arch) ||
    (minKernel !== undefined && isAtLeast(context.kernel, minKernel))
  );
}
