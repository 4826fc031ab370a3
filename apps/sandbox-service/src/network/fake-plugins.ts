import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { PodNetwork } from '../ports.ts';

/** Directories for plugins and configuration, with a log of every plugin call; removed after the test. */
export interface PluginBed {
  readonly dir: string;
  readonly binDir: string;
  readonly confDir: string;
  readonly cacheDir: string;
  /** Writes a plugin; `script` is what /bin/sh runs after the call has been logged. */
  addPlugin(name: string, script: string): Promise<void>;
  addConfig(file: string, content: unknown): Promise<void>;
  /** The calls so far, oldest first. */
  calls(): Promise<readonly LoggedCall[]>;
}

export interface LoggedCall {
  readonly command: string;
  readonly type: string;
  readonly env: Readonly<Record<string, string>>;
  readonly stdin: Readonly<Record<string, unknown>>;
}

/** A plugin that succeeds: ADD prints prevResult or an address of its own. */
export const goodPlugin = `
[ "$CNI_COMMAND" = ADD ] || exit 0
echo '{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","sandbox":"/x"}],"ips":[{"address":"10.9.0.2/24","interface":0}]}'
`;

export async function makePluginBed(t: TestContext): Promise<PluginBed> {
  const dir = await mkdtemp(join(tmpdir(), 'gantry-cni-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const [binDir, confDir, log] = [join(dir, 'bin'), join(dir, 'net.d'), join(dir, 'log')];
  await mkdir(binDir);
  await mkdir(log);
  return {
    dir,
    binDir,
    confDir,
    cacheDir: join(dir, 'cache'),
    addPlugin: async (name, script) => {
      const entry = `${log}/$(date +%s%N).$CNI_COMMAND.${name}`;
      const text = `#!/bin/sh\ne="${entry}"\ncat > "$e.stdin"; env > "$e.env"\n${script}\n`;
      await writeFile(join(binDir, name), text);
      await chmod(join(binDir, name), 0o755);
    },
    addConfig: async (file, content) => {
      await mkdir(confDir, { recursive: true });
      const text = typeof content === 'string' ? content : JSON.stringify(content);
      await writeFile(join(confDir, file), text);
    },
    calls: () => readCalls(log),
  };
}

async function readCalls(log: string): Promise<LoggedCall[]> {
  const { readdir } = await import('node:fs/promises');
  const names = (await readdir(log)).filter((name) => name.endsWith('.env')).sort();
  return Promise.all(
    names.map(async (name) => {
      const [, command = '', type = ''] = name.split('.');
      const base = join(log, name.slice(0, -'.env'.length));
      const env = await readFile(`${base}.env`, 'utf8');
      const stdin: unknown = JSON.parse(await readFile(`${base}.stdin`, 'utf8'));
      return {
        command,
        type,
        env: Object.fromEntries(env.split('\n').map((line) => splitOnce(line))),
        stdin: stdin as Record<string, unknown>,
      };
    }),
  );
}

function splitOnce(line: string): [string, string] {
  const at = line.indexOf('=');
  return [line.slice(0, at), line.slice(at + 1)];
}

export const somePod: PodNetwork = {
  sandboxId: 'pod1',
  name: 'web',
  namespace: 'default',
  uid: 'u-1',
  netnsPath: '/proc/self/ns/net',
  annotations: {},
  portMappings: [],
  cgroupParent: '/kubepods',
};
