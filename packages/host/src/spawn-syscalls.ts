import { RuntimeError } from '@gantry/errors';
import { lazily } from './libc.ts';
import { type Source, sourcesInOrder } from './place-descriptors.ts';
import { requireCleanPath, systemError } from './system-error.ts';

type Handle = Uint8Array;
type Strings = readonly (string | null)[];

const spawn = lazily<[Uint8Array, string, Handle, Handle, Strings, Strings]>('posix_spawn', [
  'void *',
  'str',
  'void *',
  'void *',
  'const char **',
  'const char **',
]);
const initActions = lazily<[Handle]>('posix_spawn_file_actions_init', ['void *']);
const destroyActions = lazily<[Handle]>('posix_spawn_file_actions_destroy', ['void *']);
const addDup2 = lazily<[Handle, number, number]>('posix_spawn_file_actions_adddup2', [
  'void *',
  'int',
  'int',
]);
const addOpen = lazily<[Handle, number, string, number, number]>(
  'posix_spawn_file_actions_addopen',
  ['void *', 'int', 'str', 'int', 'int'],
);
const addChdir = lazily<[Handle, string]>('posix_spawn_file_actions_addchdir_np', [
  'void *',
  'str',
]);
const addCloseFrom = lazily<[Handle, number]>('posix_spawn_file_actions_addclosefrom_np', [
  'void *',
  'int',
]);
const initAttributes = lazily<[Handle]>('posix_spawnattr_init', ['void *']);
const setFlags = lazily<[Handle, number]>('posix_spawnattr_setflags', ['void *', 'int']);
const setSignalDefault = lazily<[Handle, Handle]>('posix_spawnattr_setsigdefault', [
  'void *',
  'void *',
]);

// glibc takes 80, 336 and 128 bytes; what is in them is its own affair.
const handleBytes = 1024;
const readWrite = 2; // O_RDWR

// The mask and the group of a fresh attribute are empty and "one of its own".
const leadFlags = { session: 0x80 /* POSIX_SPAWN_SETSID */, group: 0x02 /* ..._SETPGROUP */ };
const signalFlags = 0x04 | 0x08; // POSIX_SPAWN_SETSIGDEF, POSIX_SPAWN_SETSIGMASK

export interface SpawnOptions {
  /** Its descriptors 0, 1, 2, ...; it gets no others. */
  readonly fds: readonly Source[];
  readonly env: readonly string[];
  readonly cwd?: string | undefined;
  /** Puts it at the head of a process group, or of a session, of its own. */
  readonly leads?: 'group' | 'session' | undefined;
}

/**
 * Starts the program at `path` by posix_spawn(3) and returns its pid. All
 * signals have their defaults there, and none is blocked. Throws a SystemError
 * also for what fails in the child, up to the exec. Whoever calls reaps it.
 */
export function spawnProcess(
  path: string,
  args: readonly string[],
  { fds, env, cwd, leads }: SpawnOptions,
): number {
  const doing = cwd === undefined ? `start ${path}` : `start ${path} in ${cwd}`;
  requireCleanPath(path, doing);
  requireNoNul([...args, ...env], doing);
  const actions = Buffer.alloc(handleBytes);
  const closeFrom = closeFromOrThrow(doing);
  check(initActions()(actions), doing);
  try {
    for (const { from, to } of sourcesInOrder(fds)) {
      const errno =
        from === 'null'
          ? addOpen()(actions, to, '/dev/null', readWrite, 0)
          : addDup2()(actions, from, to);
      check(errno, doing);
    }
    check(closeFrom(actions, fds.length), doing);
    if (cwd !== undefined) {
      requireCleanPath(cwd, doing);
      check(addChdir()(actions, cwd), doing);
    }
    const pid = Buffer.alloc(4);
    const argv = [path, ...args, null];
    check(spawn()(pid, path, actions, attributesFor(leads, doing), argv, [...env, null]), doing);
    return pid.readInt32LE(0);
  } finally {
    destroyActions()(actions);
  }
}

/** It allocates nothing, so that there is nothing to destroy. */
function attributesFor(leads: 'group' | 'session' | undefined, doing: string): Handle {
  const attributes = Buffer.alloc(handleBytes);
  check(initAttributes()(attributes), doing);
  check(setSignalDefault()(attributes, Buffer.alloc(handleBytes, 0xff)), doing);
  check(setFlags()(attributes, signalFlags | (leads === undefined ? 0 : leadFlags[leads])), doing);
  return attributes;
}

/** The youngest of the functions: where it is, the others are. */
function closeFromOrThrow(doing: string): ReturnType<typeof addCloseFrom> {
  try {
    return addCloseFrom();
  } catch (cause) {
    const message = `${doing}: the C library is too old or no glibc: 2.34 or newer is needed`;
    throw new RuntimeError('failed-precondition', message, { cause });
  }
}

/** These functions return the errno instead of setting it. */
function check(errno: number, doing: string): void {
  if (errno !== 0) {
    throw systemError(errno, doing);
  }
}

// C would silently cut the string short.
function requireNoNul(texts: readonly string[], doing: string): void {
  const bad = texts.find((text) => text.includes('\0'));
  if (bad !== undefined) {
    const message = `${doing}: ${JSON.stringify(bad)} has a NUL in it`;
    throw new RuntimeError('invalid-argument', message);
  }
}
