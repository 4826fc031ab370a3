import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { RuntimeError } from '@gantry/errors';
import { type Credentials, parseCredentials } from './credentials.ts';
import { permissionsOf } from './permissions.ts';
import { type ServiceName, serviceNames } from './subjects.ts';

/**
 * The NATS default. A larger one buys nothing, since the bus cuts bodies into
 * parts: small messages let beats and cancels pass between the parts, and the
 * same limit holds on a NATS server that is not ours.
 */
const maxPayloadBytes = 1 << 20;

export interface NatsConfigOptions {
  readonly node: string;
  /** Where the server's config and the credentials are written; made 0700 when it is missing. */
  readonly dir: string;
  readonly host: string;
  /** -1 lets the server choose; it then tells it in a file of `portsDir`. */
  readonly port: number;
  readonly portsDir?: string | undefined;
  readonly pidFile?: string | undefined;
  readonly logFile?: string | undefined;
}

export interface NatsFiles {
  /** For `nats-server --config`. */
  readonly configFile: string;
  /** JSON `{user, password}`, mode 0600, one for each service. */
  readonly credentialsFiles: Readonly<Record<ServiceName, string>>;
}

/**
 * Writes a config for nats-server with one user for each service, who may use
 * only the subjects of that service and of those that it calls. Passwords that
 * are there already stay valid. All files are readable to their owner alone.
 */
export async function writeNatsConfig(options: NatsConfigOptions): Promise<NatsFiles> {
  await mkdir(options.dir, { recursive: true, mode: 0o700 });
  const users: string[] = [];
  const files: Partial<Record<ServiceName, string>> = {};
  for (const service of serviceNames) {
    const file = join(options.dir, `${service}.json`);
    users.push(userBlock(options.node, service, await ensureCredentials(file, service, service)));
    files[service] = file;
  }
  const configFile = join(options.dir, 'nats-server.conf');
  await writePrivately(configFile, serverConfig(options, users));
  return { configFile, credentialsFiles: files as Record<ServiceName, string> };
}

/**
 * The account of one node on a NATS server that serves several, as its config has it: an entry of
 * `accounts`, which keeps the subjects of nodes apart. Writes the credentials of the node's services
 * to `dir`, for `nats.credentials_dir`; passwords that are there already stay valid.
 */
export async function natsAccountOf(node: string, dir: string): Promise<string> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const users: string[] = [];
  for (const service of serviceNames) {
    // Users have names of their own in all of a server.
    const credentials = await ensureCredentials(
      join(dir, `${service}.json`),
      service,
      `${node}-${service}`,
    );
    users.push(userBlock(node, service, credentials));
  }
  return [`${JSON.stringify(node)}: {`, '  users: [', ...users, '  ]', '}', ''].join('\n');
}

async function ensureCredentials(
  file: string,
  service: ServiceName,
  user: string,
): Promise<Credentials> {
  try {
    const credentials = parseCredentials(await readFile(file, 'utf8'));
    if (credentials.user !== user || !/^[A-Za-z0-9_-]{16,}$/.test(credentials.password)) {
      throw new Error(`not the credentials of ${service}, whose user is ${user}`);
    }
    await chmod(file, 0o600);
    return credentials;
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause && cause.code === 'ENOENT')) {
      throw new RuntimeError('failed-precondition', `read NATS credentials ${file}`, { cause });
    }
  }
  const credentials = { user, password: randomBytes(24).toString('base64url') };
  await writePrivately(file, `${JSON.stringify(credentials)}\n`);
  return credentials;
}

function serverConfig(options: NatsConfigOptions, users: readonly string[]): string {
  const optional = [
    ['ports_file_dir', options.portsDir],
    ['pid_file', options.pidFile],
    ['log_file', options.logFile],
  ] as const;
  return [
    '# Written by gantry at each start: changes are lost.',
    `host: ${JSON.stringify(options.host)}`,
    `port: ${options.port}`,
    ...optional.flatMap(([key, value]) =>
      value === undefined ? [] : [`${key}: ${JSON.stringify(value)}`],
    ),
    `max_payload: ${maxPayloadBytes}`,
    '# A service that is held up must not lose its connection for a burst of answers.',
    'max_pending: 268435456',
    'write_deadline: "10s"',
    'max_connections: 256',
    '# Clients that vanish without a word are noticed within half a minute.',
    'ping_interval: "10s"',
    'ping_max: 2',
    'authorization {',
    // The default of 2 s is too short for a host under load: whoever is late would count as having the wrong password.
    '  timeout: 30',
    '  users: [',
    ...users,
    '  ]',
    '}',
    '',
  ].join('\n');
}

function userBlock(node: string, service: ServiceName, { user, password }: Credentials): string {
  const { publish, subscribe } = permissionsOf(node, service);
  return `    { user: ${JSON.stringify(user)}, password: ${JSON.stringify(password)}, permissions: {
      publish: ${allow(publish)}, subscribe: ${allow(subscribe)} } }`;
}

function allow(subjects: readonly string[]): string {
  // An empty list would mean: everything.
  return subjects.length === 0
    ? '{ deny: [">"] }'
    : `{ allow: [${subjects.map((subject) => JSON.stringify(subject)).join(', ')}] }`;
}

async function writePrivately(file: string, text: string): Promise<void> {
  const draft = `${file}.${process.pid}.new`;
  await writeFile(draft, text, { mode: 0o600 });
  await rename(draft, file);
}
