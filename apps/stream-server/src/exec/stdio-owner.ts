import { readFileSync } from 'node:fs';
import type { Owner } from '@gantry/host';

/**
 * Who is root for the container whose first process this is, when it has a user namespace (user_namespaces(7)):
 * pipes have to be that one's, or nobody in there could open /dev/stdout. Undefined for root of the host, and
 * when the container has ended, which is for the runtime to tell.
 */
export function stdioOwner(pid: number): Owner | undefined {
  const [uid, gid] = [
    rootOf(`/proc/${String(pid)}/uid_map`),
    rootOf(`/proc/${String(pid)}/gid_map`),
  ];
  return uid === undefined || gid === undefined || (uid === 0 && gid === 0)
    ? undefined
    : { uid, gid };
}

function rootOf(path: string): number | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'latin1');
  } catch {
    return undefined;
  }
  const outside = /^\s*0\s+(\d+)\s/m.exec(text)?.[1];
  return outside === undefined ? undefined : Number(outside);
}
