import { readFile } from 'node:fs/promises';
import { importContainerdConfig } from '@gantry/config';
import { RuntimeError } from '@gantry/errors';
import { argument, type Invocation } from '../invocation.ts';

/** `gantry config import FILE`: a config of containerd in, one of Gantry out. */
export async function configImport(invocation: Invocation): Promise<void> {
  const file = argument(invocation, 0);
  let text: string;
  try {
    text = await readFile(file === '-' ? '/dev/stdin' : file, 'utf8');
  } catch (cause) {
    throw new RuntimeError('not-found', `read ${file}`, { cause });
  }
  try {
    const translated = importContainerdConfig(text);
    invocation.out(translated);
    if (/^\[images\.credentials/m.test(translated)) {
      invocation.note(
        'gantry: it holds credentials of registries: let only root read it (chmod 600)',
      );
    }
  } catch (cause) {
    throw new RuntimeError('invalid-argument', `translate ${file}`, { cause });
  }
}
