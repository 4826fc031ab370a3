import { quote, RuntimeError } from '@gantry/errors';
import type { OciUser } from '@gantry/oci';
import { SupplementalGroupsPolicy } from '@gantry/proto';
import { type Account, accountsOf, type Group, groupsOf } from './account-files.ts';

/** Who is to run: the user fields of a CRI security context, the image's USER and its account files. */
export interface UserRequest {
  readonly runAsUser?: { readonly value: bigint } | undefined;
  readonly runAsUsername?: string;
  readonly runAsGroup?: { readonly value: bigint } | undefined;
  readonly supplementalGroups: readonly bigint[];
  readonly supplementalGroupsPolicy: SupplementalGroupsPolicy;
  /** USER of the image: `user`, `uid`, `user:group`, `uid:gid` and mixtures; '' when it has none. */
  readonly imageUser: string;
  /** Text of the image's /etc/passwd and /etc/group; '' where it has none. */
  readonly passwd: string;
  readonly group: string;
}

/** The kernel takes more, but beyond this others overflow and end up as root (CVE-2024-40635). */
const maxId = 0x7fffffff;

/**
 * The user, group and further groups of a container's first process.
 *
 * A name or number beats the image's USER; with none of them it is root.
 * A numeric user needs no entry in /etc/passwd, and has group 0 without one.
 * With policy Merge, the groups that list the user in /etc/group are added.
 * The primary group is always among the further groups (CVE-2023-25173).
 *
 * Throws `invalid-argument` for a group without a user, a name beside a number,
 * a name that the image does not know, and ids outside 0..2^31-1.
 */
export function resolveUser(request: UserRequest): OciUser {
  const accounts = accountsOf(request.passwd);
  const groups = groupsOf(request.group);
  checkPolicy(request.supplementalGroupsPolicy);
  const { user, group } = wanted(request);

  const account = accountOf(user, accounts);
  const gid = group === '' ? checkId(account.gid, 'primary group') : gidOf(group, groups);
  const additionalGids = new Set([
    gid,
    ...request.supplementalGroups.map((id) => parseId(String(id), 'supplemental_groups')),
  ]);
  if (request.supplementalGroupsPolicy === SupplementalGroupsPolicy.Merge) {
    for (const { name, gid: member, members } of groups) {
      if (account.name !== '' && members.includes(account.name)) {
        additionalGids.add(checkId(member, `group ${name}`));
      }
    }
  }
  return { uid: account.uid, gid, additionalGids: [...additionalGids] };
}

function checkPolicy(policy: SupplementalGroupsPolicy): void {
  if (policy !== SupplementalGroupsPolicy.Merge && policy !== SupplementalGroupsPolicy.Strict) {
    throw new RuntimeError(
      'invalid-argument',
      `supplemental_groups_policy: ${String(policy)} is neither Merge nor Strict`,
    );
  }
}

function wanted(request: UserRequest): { user: string; group: string } {
  if (request.runAsUser !== undefined && request.runAsUsername) {
    throw new RuntimeError(
      'invalid-argument',
      `run_as_user and run_as_username: ${request.runAsUser.value} and ${quote(request.runAsUsername)} are given, only one can be`,
    );
  }
  const user = request.runAsUsername || request.runAsUser?.value.toString() || '';
  const group = request.runAsGroup?.value.toString() ?? '';
  if (user === '' && group !== '') {
    throw new RuntimeError(
      'invalid-argument',
      `run_as_group: user group "${group}" is specified without user`,
    );
  }
  return user === '' ? ofImage(request.imageUser) : { user, group };
}

/** `user:group`, either of them by name or number, or missing. */
function ofImage(imageUser: string): { user: string; group: string } {
  const colon = imageUser.indexOf(':');
  const user = colon < 0 ? imageUser : imageUser.slice(0, colon);
  return { user: user === '' ? '0' : user, group: colon < 0 ? '' : imageUser.slice(colon + 1) };
}

/** The account of a name or number; one that is not in the file has no name and group 0. */
function accountOf(user: string, accounts: readonly Account[]): Account {
  if (isNumber(user)) {
    const uid = parseId(user, 'user');
    return accounts.find((a) => a.uid === uid) ?? { name: '', uid, gid: 0 };
  }
  const account = accounts.find((a) => a.name === user);
  if (account === undefined) {
    throw new RuntimeError(
      'invalid-argument',
      `user ${quote(user)}: not in the image's /etc/passwd`,
    );
  }
  return { ...account, uid: checkId(account.uid, `user ${user}`) };
}

function gidOf(group: string, groups: readonly Group[]): number {
  if (isNumber(group)) {
    return parseId(group, 'group');
  }
  const found = groups.find((g) => g.name === group);
  if (found === undefined) {
    throw new RuntimeError(
      'invalid-argument',
      `group ${quote(group)}: not in the image's /etc/group`,
    );
  }
  return checkId(found.gid, `group ${group}`);
}

// A minus counts as a number too, so that -1 is told as out of range.
const isNumber = (text: string): boolean => /^-?[0-9]+$/.test(text);

function checkId(id: number, what: string): number {
  return parseId(String(id), what);
}

/** The message has the number as it was given: beyond 2^53 there is no such `number`. */
function parseId(text: string, what: string): number {
  const id = Number(text);
  if (!Number.isInteger(id) || id < 0 || id > maxId) {
    throw new RuntimeError('invalid-argument', `${what}: id ${shown(text)} is not in 0..${maxId}`);
  }
  return id;
}

/** Any number that the CRI can carry as it is; one of an image may be of any length. */
const shown = (text: string): string => (text.length > 20 ? quote(text) : text);
