/** A line of /etc/passwd (passwd(5)). */
export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** A line of /etc/group (group(5)). */
export interface Group {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

/** Parses /etc/passwd. Lines that make no sense are left out, as the C library does. */
export function accountsOf(passwd: string): readonly Account[] {
  return fieldsOf(passwd).flatMap(([name = '', , uid = '', gid = '']) =>
    isPlain(name) && isId(uid) && isId(gid) ? [{ name, uid: Number(uid), gid: Number(gid) }] : [],
  );
}

/** Parses /etc/group, in the same spirit. */
export function groupsOf(group: string): readonly Group[] {
  return fieldsOf(group).flatMap(([name = '', , gid = '', members = '']) =>
    isPlain(name) && isId(gid)
      ? [{ name, gid: Number(gid), members: members.split(',').map((member) => member.trim()) }]
      : [],
  );
}

function fieldsOf(text: string): readonly string[][] {
  return text.split('\n').map((line) => line.trim().split(':'));
}

const isId = (text: string): boolean => /^[0-9]+$/.test(text);
// Names that begin with + or - ask NIS, which is not asked here; # is a comment.
const isPlain = (name: string): boolean => name !== '' && !/^[+\-#]/.test(name);
