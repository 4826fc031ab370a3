import { spawn } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { RuntimeError } from '@gantry/errors';
import { emptyRuns, type RunCounts, readCounts } from './counts.ts';
import { differingFiles } from './differing-files.ts';

/** A part of `gantry test`. It throws when it finds a fault. */
export interface Stage {
  readonly name: string;
  readonly about: string;
  readonly run: (context: StageContext) => Promise<void>;
}

export interface StageContext {
  readonly root: string;
  /** An empty directory in which every test run leaves its counts. */
  readonly countsDir: string;
  readonly signal: AbortSignal;
}

const isTerminal = process.stdout.isTTY;

/** Cheapest first, so that a slip is told soon. */
export const stages: readonly Stage[] = [
  { name: 'types', about: 'types', run: (context) => tool(context, 'tsc', []) },
  { name: 'lint', about: 'format, lint, module boundaries', run: lint },
  { name: 'generated', about: 'generated protobuf code is current', run: generated },
  { name: 'units', about: 'unit tests', run: units },
  { name: 'e2e', about: 'end-to-end tests on the real stack', run: e2e },
  { name: 'critest', about: "the CRI's conformance tests, every runtime and infra", run: critest },
];

/** Run only when an option of their name asks for them: they make a machine, or a kubelet, first. */
export const stagesOnRequest: readonly Stage[] = [
  {
    name: 'vm',
    about: 'systemd, cgroup v2, AppArmor and SELinux, in a virtual machine',
    run: (context) => counted(context, ['tests-e2e/vm/run.ts']),
  },
  {
    name: 'kubelet',
    about: 'a kubelet with static pods',
    run: (context) => counted(context, ['tests-e2e/kubelet/run.ts', ...reporterArgs()]),
  },
  {
    name: 'conformance',
    about: "Kubernetes' own tests of a node, with a kubelet and an API server",
    run: (context) => counted(context, ['tests-e2e/node-conformance/run.ts']),
  },
];

async function lint(context: StageContext): Promise<void> {
  await tool(context, 'biome', ['ci', ...(isTerminal ? [] : ['--colors=off']), '.']);
  await tool(context, 'oxlint', ['--type-aware']);
  await tool(context, 'node', ['tools/check-boundaries.ts']);
}

async function generated(context: StageContext): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'gantry-generated-'));
  try {
    await tool(context, 'buf', ['generate', '--output', dir]);
    const path = 'packages/proto/src/gen';
    const differing = await differingFiles(join(dir, path), join(context.root, path));
    if (differing.length > 0) {
      throw new RuntimeError(
        'failed-precondition',
        `${path} is not what the .proto files give: ${differing.join(', ')}. Run: npm run generate`,
      );
    }
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function units(context: StageContext): Promise<void> {
  // nx passes no arguments on to Node itself, so they come by the environment.
  const reporter = reporterArgs();
  const args = ['run-many', '-t', 'test', '--output-style=static', '--skip-nx-cache'];
  await tool(context, 'nx', args, {
    NODE_OPTIONS: [process.env['NODE_OPTIONS'] ?? '', ...reporter].join(' ').trim(),
    NX_DAEMON: 'false',
    NX_TUI: 'false',
  });
  const runs = readCounts(context.countsDir);
  requireTests(runs);
  const dirs = new Set(runs.map((run) => run.cwd));
  const silent = packagesWithTests(context.root).filter((dir) => !dirs.has(dir));
  if (silent.length > 0) {
    throw new RuntimeError('internal', `no test run of ${silent.join(', ')}`);
  }
}

function e2e(context: StageContext): Promise<void> {
  return counted(context, ['tests-e2e/run.ts', ...reporterArgs()]);
}

function critest(context: StageContext): Promise<void> {
  return counted(context, ['tests-e2e/critest/run.ts']);
}

/** Runs a script whose tests must leave counts. */
async function counted(context: StageContext, args: readonly string[]): Promise<void> {
  const before = readCounts(context.countsDir).length;
  await tool(context, 'node', args);
  const runs = readCounts(context.countsDir);
  if (runs.length === before) {
    throw new RuntimeError('internal', `${args[0]} left no count of its tests`);
  }
  requireTests(runs);
}

function requireTests(runs: readonly RunCounts[]): void {
  const empty = emptyRuns(runs);
  if (runs.length === 0 || empty.length > 0) {
    throw new RuntimeError('internal', `no test was run in ${empty.join(', ') || 'any package'}`);
  }
}

/** The directories of the workspace whose package.json has a test script. */
function packagesWithTests(root: string): string[] {
  return globSync('{packages,apps}/*/package.json', { cwd: root })
    .map((file) => join(root, file))
    .filter((file) => {
      const { scripts } = JSON.parse(readFileSync(file, 'utf8')) as {
        scripts?: Readonly<Record<string, string>>;
      };
      return scripts?.['test'] !== undefined;
    })
    .map(dirname);
}

function reporterArgs(): string[] {
  const counter = pathToFileURL(join(import.meta.dirname, 'count-reporter.ts')).href;
  return [
    '--test-reporter=spec',
    '--test-reporter-destination=stdout',
    `--test-reporter=${counter}`,
    '--test-reporter-destination=stderr',
  ];
}

/** Runs a program of node_modules with our Node, its output going where ours goes. */
async function tool(
  context: StageContext,
  name: string,
  args: readonly string[],
  environment: NodeJS.ProcessEnv = {},
): Promise<void> {
  const bin = join(context.root, 'node_modules/.bin');
  const child = spawn(join(bin, name), args, {
    cwd: context.root,
    stdio: ['ignore', 'inherit', 'inherit'],
    signal: context.signal,
    env: {
      ...process.env,
      PATH: `${bin}:${process.env['PATH'] ?? ''}`,
      GANTRY_TEST_COUNTS: context.countsDir,
      // nx colours for CI what would only be noise in a file. Node warns where both are set.
      ...(isTerminal ? {} : { FORCE_COLOR: '0', NO_COLOR: undefined }),
      ...environment,
    },
  });
  const outcome = await new Promise<string | number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      resolve(signal ?? code);
    });
  });
  if (outcome !== 0) {
    const how =
      typeof outcome === 'string' ? `was killed by ${outcome}` : `found faults (exit ${outcome})`;
    throw new RuntimeError(
      'failed-precondition',
      `${[name, ...args.slice(0, 2)].join(' ')} ${how}`,
    );
  }
}
