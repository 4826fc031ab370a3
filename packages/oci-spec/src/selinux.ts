import { quote, RuntimeError } from '@gantry/errors';

/** A level with categories (MCS), as `s0:c1,c2` or `s0-s1:c1.c5`. */
const level = /^s\d(-s\d)?(:c\d{1,4}([.,]c\d{1,4})*)?$/;
/** What containers run as that are not to be confined. */
const unconfined = 'spc_t';

interface Options {
  readonly user: string;
  readonly role: string;
  readonly type: string;
  readonly level: string;
}

interface Facts {
  readonly host: { readonly selinux: boolean };
  /** Absent where nobody hands labels out. */
  readonly selinux?: object | undefined;
}

/**
 * Throws `invalid-argument` for an SELinux level that no policy can mean. Where
 * SELinux is off all the rest is of no consequence, as with other runtimes: pods
 * that name labels run on every node. Where it is on, and there are no labels to
 * be had, a container that asks for one is refused (`failed-precondition`).
 */
export function checkSelinux(
  options: Options | undefined,
  { host, selinux }: Facts,
  privileged: boolean,
): void {
  if (options === undefined) {
    return;
  }
  if (options.level !== '' && !level.test(options.level)) {
    const message = `selinux_options: ${quote(options.level)} is no level`;
    throw new RuntimeError('invalid-argument', message);
  }
  const { user, role, type } = options;
  const asks = [user, role, type, options.level].some((field) => field !== '');
  if (host.selinux && selinux === undefined && asks && !privileged && type !== unconfined) {
    throw new RuntimeError(
      'failed-precondition',
      'selinux_options: labels are not supported on a host where SELinux is on',
    );
  }
}
