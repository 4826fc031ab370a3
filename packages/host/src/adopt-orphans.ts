import { childReaper, type ProcessExit } from './child-reaper.ts';
import { checked, lazily } from './libc.ts';

const prctl = lazily<[number, number, number, number, number]>('prctl', [
  'int',
  'ulong',
  'ulong',
  'ulong',
  'ulong',
]);
const setChildSubreaper = 36; // PR_SET_CHILD_SUBREAPER

let holders = 0;

/**
 * Until it is disposed of, a process whose parent ends, and that descends from this one, becomes a
 * child of this one (prctl(2), PR_SET_CHILD_SUBREAPER) and not of init. To be begun before the parent
 * is started and held until it is reaped. It is a matter of the whole process, so whoever loses its
 * parent meanwhile comes here too; those that nobody asks for are reaped some time after their end.
 */
export function adoptOrphans(): Disposable {
  childReaper().expectStrays();
  if (holders === 0) {
    setSubreaper(1);
  }
  holders += 1;
  let isHeld = true;
  return {
    [Symbol.dispose]: () => {
      if (isHeld) {
        isHeld = false;
        holders -= 1;
        if (holders === 0) {
          setSubreaper(0);
        }
      }
    },
  };
}

/**
 * How an orphan ends that has been adopted, also when it has ended before. Nobody else can reap it,
 * so that its pid is its own until then. Rejects when it is no child of ours. It does not keep this process alive.
 */
export function reapOrphan(pid: number): Promise<ProcessExit> {
  return childReaper().reap(pid, 'orphan');
}

/**
 * Says that orphans have ended, or are about to, that nobody will ask for: they are reaped in a tenth of a second
 * and not in two. Until then they hold up the end of their pid namespace's first process.
 */
export function expectDeadOrphans(): void {
  childReaper().hurryStrays();
}

function setSubreaper(value: 0 | 1): void {
  checked(prctl()(setChildSubreaper, value, 0, 0, 0), 'adopt orphans');
}
