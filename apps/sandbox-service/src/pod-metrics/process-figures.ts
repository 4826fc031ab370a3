import { readlinkSync } from 'node:fs';
import { readdir, readlink } from 'node:fs/promises';
import { readSmallFile } from '../stats/read-small-file.ts';

/** What the processes of a container hold open. */
export interface OpenFiles {
  readonly descriptors: number;
  readonly sockets: number;
}

/** Looks at each process; one that is gone, or ends meanwhile, has nothing open. */
export async function openFilesOf(pids: readonly number[], proc = '/proc'): Promise<OpenFiles> {
  let [descriptors, sockets] = [0, 0];
  for (const pid of pids) {
    const directory = `${proc}/${String(pid)}/fd`;
    const names = await readdir(directory).catch(() => []);
    descriptors += names.length;
    const targets = await targetsOf(names.map((name) => `${directory}/${name}`));
    sockets += targets.filter((target) => target.startsWith('socket:')).length;
  }
  return { descriptors, sockets };
}

/** As many links as are read in less time than turns of the thread pool take. */
const fewLinks = 64;

async function targetsOf(paths: readonly string[]): Promise<string[]> {
  return paths.length > fewLinks
    ? Promise.all(paths.map((path) => readlink(path).catch(() => '')))
    : paths.map((path) => {
        try {
          return readlinkSync(path);
        } catch {
          return '';
        }
      });
}

/** The soft limit of open files of a process; undefined without a limit, and when it is gone. */
export function openFilesLimit(pid: number, proc = '/proc'): bigint | undefined {
  const text = readSmallFile(`${proc}/${String(pid)}/limits`);
  const soft = /^Max open files +(\d+)/m.exec(text ?? '')?.[1];
  return soft === undefined ? undefined : BigInt(soft);
}
