import { open, readdir, readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { messageOf } from '@gantry/errors';
import { fullNameOf, type PluginName, parsePluginFile } from '@gantry/nri';

/** A plugin that the broker is to start. */
export interface PluginFile {
  readonly path: string;
  readonly name: PluginName;
  /** The text of its config file; empty where it has none. */
  readonly config: string;
}

const wasmMagic = Buffer.from([0, 0x61, 0x73, 0x6d]);
const mostConfigBytes = 1 << 20;

/** A file that is left out; without a name where the file has none of a plugin. */
export interface FileLeftOut {
  readonly name?: PluginName;
  readonly reason: string;
}

/**
 * The executables of `pluginPath`, in the order of their names, with their
 * configurations. A missing directory has none; what is no plugin is left out, and
 * `leftOut` is told why, but for files that do not look like plugins at all.
 */
export async function findPluginFiles(
  { pluginPath, configPath }: { readonly pluginPath: string; readonly configPath: string },
  leftOut: (file: FileLeftOut) => void,
): Promise<readonly PluginFile[]> {
  const files: PluginFile[] = [];
  for (const file of (await namesIn(pluginPath)).toSorted()) {
    const path = join(pluginPath, file);
    const name = nameOf(file);
    try {
      if (await isExecutable(path)) {
        files.push({ path, ...(await readPlugin(path, configPath)) });
      } else if (name !== undefined) {
        throw new Error(`${path}: not an executable file; is "chmod +x" missing?`);
      }
    } catch (error) {
      leftOut({ ...(name && { name }), reason: messageOf(error) });
    }
  }
  return files;
}

function nameOf(file: string): PluginName | undefined {
  try {
    return parsePluginFile(file);
  } catch {
    return undefined;
  }
}

async function readPlugin(path: string, configPath: string): Promise<Omit<PluginFile, 'path'>> {
  let name: PluginName;
  try {
    name = parsePluginFile(basename(path));
  } catch (error) {
    throw new Error(`${path}: not named <two digits>-<name>`, { cause: error });
  }
  if (await isWasm(path)) {
    throw new Error(`${path}: WASM plugins are not supported`);
  }
  return { name, config: await readConfig(configPath, name) };
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      return [];
    }
    throw error;
  }
}

async function isExecutable(path: string): Promise<boolean> {
  const found = await stat(path);
  return found.isFile() && (found.mode & 0o111) !== 0;
}

async function isWasm(path: string): Promise<boolean> {
  await using file = await open(path);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0);
  return bytesRead === 4 && buffer.equals(wasmMagic);
}

/** `NN-name.conf`, else `name.conf`. */
async function readConfig(directory: string, name: PluginName): Promise<string> {
  for (const file of [`${fullNameOf(name)}.conf`, `${name.name}.conf`]) {
    const path = join(directory, file);
    try {
      const { size } = await stat(path);
      if (size > mostConfigBytes) {
        throw new Error(`${size} bytes, of ${mostConfigBytes} at most`);
      }
      return await readFile(path, 'utf8');
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) {
        throw new Error(`config ${path}`, { cause: error });
      }
    }
  }
  return '';
}
