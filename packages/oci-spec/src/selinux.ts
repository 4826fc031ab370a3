import { RuntimeError } from '@gantry/errors';

/** A level with categories (MCS), as `s0:c1,c2` or `s0-s1:c1.c5`. */
const level = /^s\d(-s\d)?(:c\d{1,4}([.,]c\d{1,4})*)?$/;

/** Throws `invalid-argument` for an SELinux level that no policy can mean. '' is none. */
export function checkSelinuxLevel(options: { readonly level: string } | undefined): void {
  if (options !== undefined && options.level !== '' && !level.test(options.level)) {
    throw new RuntimeError(
      'invalid-argument',
      `selinux_options: ${JSON.stringify(options.level)} is no level`,
    );
  }
}
