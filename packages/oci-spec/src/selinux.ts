import { quote, RuntimeError } from '@gantry/errors';
import type { SelinuxLabels } from './spec-input.ts';

/** A level: a sensitivity or a range of them, and categories (MCS), as `s0:c1,c2` or `s0-s1:c1.c5,c9`. */
const level = /^s\d(-s\d)?(:c\d{1,4}(\.c\d{1,4})?(,c\d{1,4}(\.c\d{1,4})?)*)?$/;
/** What containers run as that are not to be confined. */
const unconfined = 'spc_t';
/** Categories are c0 to c1023. */
const categories = 1024;
const longestPart = 255;

/** `selinux_options` of the CRI; an empty field is not asked for. */
export interface SelinuxOptions {
  readonly user: string;
  readonly role: string;
  readonly type: string;
  readonly level: string;
}

/** What a policy says that containers and their files are; see `parseLxcContexts`. */
export interface SelinuxPolicy {
  /** Such as `system_u:system_r:container_t:s0`. */
  readonly process: string;
  /** Such as `system_u:object_r:container_file_t:s0`. */
  readonly file: string;
}

interface Facts {
  readonly host: { readonly selinux: boolean };
  /** Absent where nobody hands labels out. */
  readonly selinux?: object | undefined;
}

/**
 * Throws `invalid-argument` for SELinux options that no label can be made of. Where
 * SELinux is off all the rest is of no consequence, as with other runtimes: pods
 * that name labels run on every node. Where it is on, and there are no labels to
 * be had, a container that asks for one is refused (`failed-precondition`).
 */
export function checkSelinux(
  options: SelinuxOptions | undefined,
  { host, selinux }: Facts,
  privileged: boolean,
): void {
  if (options === undefined) {
    return;
  }
  checkSelinuxOptions(options);
  const { user, role, type } = options;
  const asks = [user, role, type, options.level].some((field) => field !== '');
  if (host.selinux && selinux === undefined && asks && !privileged && type !== unconfined) {
    throw new RuntimeError(
      'failed-precondition',
      'selinux_options: SELinux is on, but the host has no policy for containers (contexts/lxc_contexts)',
    );
  }
}

/** Throws `invalid-argument` for options that are no part of a label: they are checked on every host. */
export function checkSelinuxOptions(options: SelinuxOptions | undefined): void {
  if (options === undefined) {
    return;
  }
  for (const key of ['user', 'role', 'type'] as const) {
    const part = options[key];
    if (!/^[\w.-]*$/.test(part) || part.length > longestPart) {
      throw new RuntimeError('invalid-argument', `selinux_options: ${quote(part)} is no ${key}`);
    }
  }
  const wanted = options.level;
  if (wanted !== '' && !(level.test(wanted) && rangesRise(wanted))) {
    throw new RuntimeError('invalid-argument', `selinux_options: ${quote(wanted)} is no level`);
  }
}

/** `c5.c2` and `s1-s0` are none, and there is no c1024. */
function rangesRise(text: string): boolean {
  const [sensitivities = '', sets = ''] = text.split(':', 2);
  const rises = (range: string, between: string): boolean => {
    const [low = 0, high = low] = range.split(between).map((name) => Number(name.slice(1)));
    return low <= high && high < categories;
  };
  return (
    rises(sensitivities, '-') &&
    (sets === '' || sets.split(',').every((range) => rises(range, '.')))
  );
}

/**
 * The labels of containers in the text of a policy's `contexts/lxc_contexts`:
 * lines of `key = "label"`. Undefined where it names no process or no file.
 */
export function parseLxcContexts(text: string): SelinuxPolicy | undefined {
  const values = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [, key, value] = /^\s*(\w+)\s*=\s*"?([^"#\s]+)"?\s*$/.exec(line) ?? [];
    if (key !== undefined && value !== undefined) {
      values.set(key, value);
    }
  }
  const [process, file] = [values.get('process'), values.get('file')];
  return process === undefined || file === undefined || !isLabel(process) || !isLabel(file)
    ? undefined
    : { process, file };
}

function isLabel(text: string): boolean {
  return /^[\w.-]+:[\w.-]+:[\w.-]+(:\S+)?$/.test(text);
}

/**
 * A pod's labels. A level that it does not ask for is one of its own, so that pods
 * are kept apart: `freeLevel` of `freeSelinuxLevel`, where the policy has levels at all.
 */
export function podLabels(
  policy: SelinuxPolicy,
  options: SelinuxOptions | undefined,
  freeLevel: string,
): SelinuxLabels {
  const process = partsOf(policy.process);
  const file = partsOf(policy.file);
  const own = process.level === '' ? '' : freeLevel;
  return relabelled(
    { process: { ...process, level: own }, file: { ...file, level: own } },
    options,
  );
}

/** A container's labels: its pod's, but for what it asks for itself. */
export function containerLabels(
  pod: SelinuxLabels,
  options: SelinuxOptions | undefined,
): SelinuxLabels {
  return relabelled({ process: partsOf(pod.process), file: partsOf(pod.mount) }, options);
}

/** The label of files that every container of any level may use: of the same type, in no category. */
export function sharedLabel({ mount }: SelinuxLabels): string {
  const { level: of, ...parts } = partsOf(mount);
  return textOf({ ...parts, level: of.split(':', 1)[0]?.split('-', 1)[0] ?? '' });
}

/** The level of a label; '' where its policy has none. */
export function selinuxLevelOf(label: string): string {
  return partsOf(label).level;
}

/**
 * A level of two categories that is not in `taken`. `random` gives a whole number below
 * its argument. Throws `resource-exhausted` when all half a million are taken.
 */
export function freeSelinuxLevel(
  taken: ReadonlySet<string>,
  random: (below: number) => number,
): string {
  const pairs = (categories * (categories - 1)) / 2;
  const start = random(pairs);
  for (let tried = 0; tried < pairs; tried += 1) {
    const candidate = levelOfPair((start + tried) % pairs);
    if (!taken.has(candidate)) {
      return candidate;
    }
  }
  throw new RuntimeError('resource-exhausted', 'selinux: every level belongs to a pod');
}

/** Pairs in the order c0,c1; c0,c2; c1,c2; c0,c3; ... */
function levelOfPair(index: number): string {
  const high = Math.floor((1 + Math.sqrt(1 + 8 * index)) / 2);
  return `s0:c${String(index - (high * (high - 1)) / 2)},c${String(high)}`;
}

interface Parts {
  readonly user: string;
  readonly role: string;
  readonly type: string;
  readonly level: string;
}

/** A type and a role are the process's alone: files are of the policy's. */
function relabelled(
  { process, file }: { readonly process: Parts; readonly file: Parts },
  options: SelinuxOptions | undefined,
): SelinuxLabels {
  const { user, role, type, level: wanted } = options ?? none;
  return {
    process: textOf({
      user: user || process.user,
      role: role || process.role,
      type: type || process.type,
      level: wanted || process.level,
    }),
    mount: textOf({ ...file, user: user || file.user, level: wanted || file.level }),
  };
}

const none: SelinuxOptions = { user: '', role: '', type: '', level: '' };

function partsOf(label: string): Parts {
  const [user = '', role = '', type = '', ...rest] = label.split(':');
  return { user, role, type, level: rest.join(':') };
}

function textOf({ user, role, type, level: of }: Parts): string {
  return [user, role, type, ...(of === '' ? [] : [of])].join(':');
}
