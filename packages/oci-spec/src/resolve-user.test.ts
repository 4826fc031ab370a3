import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SupplementalGroupsPolicy } from '@gantry/proto';
import { resolveUser, type UserRequest } from './resolve-user.ts';

const passwd = `root:x:0:0:root:/root:/bin/sh
# a comment:x:5:5::/:
app:x:1000:1001:App:/home/app:/bin/sh
bad:x:notanumber:3::/:
+nis::::::
huge:x:4294967296:0::/:
`;
const group = `root:x:0:
wheel:x:10:root,app
video:x:44: app , other
app:x:1001:
hugegroup:x:2147483648:nobody
`;

const request = (changes: Partial<UserRequest> = {}): UserRequest => ({
  runAsUsername: '',
  supplementalGroups: [],
  supplementalGroupsPolicy: SupplementalGroupsPolicy.Strict,
  imageUser: '',
  passwd,
  group,
  ...changes,
});
const id = (value: bigint) => ({ value });

const cases: readonly [
  what: string,
  changes: Partial<UserRequest>,
  uid: number,
  gid: number,
  groups?: number[],
][] = [
  ['nobody named is root', {}, 0, 0],
  ['nothing named and no account files is root', { passwd: '', group: '' }, 0, 0],
  ['a number with an entry has its group', { runAsUser: id(1000n) }, 1000, 1001],
  ['a number without an entry has group 0', { runAsUser: id(4711n) }, 4711, 0],
  ['a group is taken as it is', { runAsUser: id(1000n), runAsGroup: id(9n) }, 1000, 9],
  ['a name is looked up', { runAsUsername: 'app' }, 1000, 1001],
  ['a name that is a number is one', { runAsUsername: '1000' }, 1000, 1001],
  ['a request beats the image', { runAsUser: id(0n), imageUser: 'app:video' }, 0, 0],
  ['image user by name', { imageUser: 'app' }, 1000, 1001],
  ['image user by number', { imageUser: '1000' }, 1000, 1001],
  ['image user and group by name', { imageUser: 'app:video' }, 1000, 44],
  ['image user and group by number', { imageUser: '7:8' }, 7, 8],
  ['image name and group number', { imageUser: 'app:8' }, 1000, 8],
  ['image number and group name', { imageUser: '7:wheel' }, 7, 10],
  ['image group alone is for root', { imageUser: ':wheel' }, 0, 10],
  ['image user with an empty group', { imageUser: 'app:' }, 1000, 1001],
  ['the largest id', { runAsUser: id(2147483647n) }, 2147483647, 0],
  [
    'Merge adds the groups that list the user',
    {
      runAsUser: id(1000n),
      supplementalGroupsPolicy: SupplementalGroupsPolicy.Merge,
      supplementalGroups: [77n],
    },
    1000,
    1001,
    [1001, 77, 10, 44],
  ],
  [
    'Merge of a user without an entry adds nothing',
    { runAsUser: id(5n), supplementalGroupsPolicy: SupplementalGroupsPolicy.Merge },
    5,
    0,
    [0],
  ],
  [
    'Strict adds the given ones alone',
    { runAsUser: id(1000n), supplementalGroups: [77n, 44n, 77n] },
    1000,
    1001,
    [1001, 77, 44],
  ],
];
for (const [what, changes, uid, gid, groups = [gid]] of cases) {
  test(what, () => {
    assert.deepEqual(resolveUser(request(changes)), { uid, gid, additionalGids: groups });
  });
}

const refused: readonly [what: string, changes: Partial<UserRequest>, message: RegExp][] = [
  ['a group without a user', { runAsGroup: id(5n), imageUser: 'app' }, /without user/],
  ['a name beside a number', { runAsUsername: 'app', runAsUser: id(0n) }, /only one/],
  ['a policy that is none', { supplementalGroupsPolicy: 42 as never }, /policy: 42/],
  ['an unknown name', { runAsUsername: 'ghost' }, /"ghost": not in .*passwd/],
  ['an unknown group of the image', { imageUser: 'app:ghosts' }, /"ghosts": not in .*group/],
  ['a name of a broken line', { runAsUsername: 'bad' }, /"bad"/],
  ['a name with an id that overflows', { runAsUsername: 'huge' }, /4294967296/],
  ['an id over 2^31-1', { runAsUser: id(2147483648n) }, /2147483648/],
  ['an id over 2^32 in the image', { imageUser: '4294967296' }, /4294967296/],
  ['a negative id', { runAsUser: id(-1n) }, /user: id -1/],
  ['a negative group', { runAsUser: id(1n), runAsGroup: id(-1n) }, /group: id -1/],
  ['a supplemental group that overflows', { supplementalGroups: [1n << 31n] }, /supplemental/],
  ['a comment as a name', { runAsUsername: '# a comment' }, /not in/],
];
for (const [what, changes, message] of refused) {
  test(`${what} is refused`, () => {
    assert.throws(() => resolveUser(request(changes)), { kind: 'invalid-argument', message });
  });
}
