import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { RuntimeError } from '@gantry/errors';
import { parse, TomlError } from 'smol-toml';
import { type ConfigSource, invalidConfig, parseConfig } from './parse-config.ts';
import { type Config, configSchema } from './schema.ts';

/** The file that is read when none is named; it need not exist. */
export const defaultConfigFile = '/etc/gantry/config.toml';

/**
 * Reads and checks a config file, and fills in what depends on the host (node
 * name) or on other keys (credentials directory, runtime paths).
 * Throws `invalid-argument` that names the file and every fault in it.
 */
export function loadConfig(file?: string): Config {
  const path = file ?? defaultConfigFile;
  const text = readText(path, file !== undefined);
  return completeConfig(parseToml(path, text), { file: path, text });
}

/** As `loadConfig`, from an object that stands for the file, which is named in errors where there is one. */
export function completeConfig(input: unknown, source?: ConfigSource): Config {
  const config = parseConfig(configSchema, input, source);
  const runtimes = Object.fromEntries(
    Object.entries(config.runtimes).map(([name, r]) => [name, { ...r, path: r.path || name }]),
  );
  if (runtimes[config.default_runtime] === undefined) {
    const known = Object.keys(runtimes).join(', ') || 'none';
    throw invalidConfig(
      [
        {
          path: ['default_runtime'],
          text: `"${config.default_runtime}" is not one of [runtimes]: ${known}`,
        },
      ],
      source,
    );
  }
  return Object.freeze({
    ...config,
    node_name: config.node_name || subjectToken(hostname()),
    runtimes,
    nats: {
      ...config.nats,
      credentials_dir: config.nats.credentials_dir || `${config.state_dir}/nats`,
    },
  });
}

function readText(path: string, mustExist: boolean): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    if (!mustExist && (cause as NodeJS.ErrnoException).code === 'ENOENT') {
      return '';
    }
    throw new RuntimeError('invalid-argument', `read config ${path}`, { cause });
  }
}

function parseToml(path: string, text: string): unknown {
  try {
    return parse(text);
  } catch (cause) {
    const where = cause instanceof TomlError ? `:${cause.line}:${cause.column}` : '';
    throw new RuntimeError('invalid-argument', `parse config ${path}${where}`, { cause });
  }
}

/** A NATS subject token holds no dots, blanks or wildcards. */
function subjectToken(name: string): string {
  return name.replaceAll(/[^A-Za-z0-9_-]/g, '-') || 'node';
}
