import { createRequire } from 'node:module';
import { systemError } from './system-error.ts';

type Koffi = typeof import('koffi');
type Argument = 'int' | 'long' | 'ulong' | 'str' | 'void *' | 'const char **';
type CFunction<A extends readonly unknown[]> = (...args: A) => number;
/** A C function that can also run on the libuv pool, where its errno is out of reach. */
export type PooledFunction<A extends readonly unknown[]> = CFunction<A> & {
  async(...args: [...A, (error: Error | null, result: number) => void]): void;
};

interface Libc {
  readonly koffi: Koffi;
  bind<A extends readonly unknown[]>(name: string, args: readonly Argument[]): PooledFunction<A>;
}

let loaded: Libc | undefined;

// Loaded at the first system call: a process that only spawns and reads files never pays for it.
function libc(): Libc {
  if (loaded === undefined) {
    const koffi = createRequire(import.meta.url)('koffi') as Koffi;
    const handle = koffi.load(null);
    loaded = {
      koffi,
      bind: <A extends readonly unknown[]>(name: string, args: readonly Argument[]) =>
        // All but syscall(2) return a C int: as a long, -1 might come out as 4294967295.
        handle.func(name, name === 'syscall' ? 'long' : 'int', [
          ...args,
        ]) as unknown as PooledFunction<A>,
    };
  }
  return loaded;
}

/** Binds a function of libc, syscall(2) or one that returns a C int, when it is first called. */
export function lazily<A extends readonly unknown[]>(
  name: string,
  args: readonly Argument[],
): () => PooledFunction<A> {
  let bound: PooledFunction<A> | undefined;
  return () => {
    bound ??= libc().bind<A>(name, args);
    return bound;
  };
}

/** The errno that the last synchronous call on this thread left. */
export function lastErrno(): number {
  return libc().koffi.errno();
}

/** Throws a system error, `doing` first, when a call returned -1; else returns the result. */
export function checked(result: number, doing: string): number {
  if (result === -1) {
    throw systemError(lastErrno(), doing);
  }
  return result;
}

const close = lazily<[number]>('close', ['int']);

/** close(2), for descriptors that did not come from node:fs (which counts its own on worker threads). */
export function closeFd(fd: number): void {
  close()(fd);
}

/** Where the bytes of a buffer are, for a struct that points to them; the caller keeps the buffer until the call is over. */
export function pointerTo(buffer: Uint8Array): bigint {
  return libc().koffi.address(buffer);
}
