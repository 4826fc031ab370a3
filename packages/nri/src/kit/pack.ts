import { spawnSync } from 'node:child_process';
import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { execPath, stdout } from 'node:process';

/*
 * Packs what a plugin needs into one file that npm installs anywhere, as plain JavaScript with types:
 *
 *   node packages/nri/src/kit/pack.ts [DIRECTORY]
 *
 * Node strips no types from what lies in node_modules, so that the sources themselves can't be installed. The
 * half that runtimes use is not part of it.
 */

const packages = resolve(import.meta.dirname, '../../..');
/** Where each name that is imported lies, without extension. */
const entries: Readonly<Record<string, string>> = {
  '@gantry/errors': 'errors/src/index',
  '@gantry/proto/nri': 'proto/src/nri',
  '@gantry/proto/ttrpc': 'proto/src/ttrpc',
  '@gantry/ttrpc': 'ttrpc/src/index',
};

/** Writes `gantry-nri-<version>.tgz` into `directory` and gives its path. Throws with the words of tsc or npm. */
export function packKit(directory: string): string {
  const work = mkdtempSync(join(tmpdir(), 'gantry-kit-'));
  try {
    copySources(join(work, 'src'));
    compile(work);
    writeFileSync(join(work, 'package/package.json'), manifest());
    writeFileSync(join(work, 'package/README.md'), readFileSync(join(packages, 'nri/README.md')));
    return npmPack(join(work, 'package'), resolve(directory));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** All in one package: what it imports of the others by name becomes a path. */
function copySources(to: string): void {
  const isWanted = (path: string): boolean => !/\.test\.ts$|\/(kit|oci)$/.test(path);
  const options = { recursive: true, filter: isWanted };
  for (const path of ['nri/src', 'ttrpc/src', 'errors/src', 'proto/src/gen/nri']) {
    cpSync(join(packages, path), join(to, path), options);
  }
  cpSync(join(packages, 'proto/src/gen/ttrpc'), join(to, 'proto/src/gen/ttrpc'), options);
  for (const file of ['proto/src/nri.ts', 'proto/src/ttrpc.ts']) {
    cpSync(join(packages, file), join(to, file));
  }
  for (const file of readdirSync(to, { recursive: true, encoding: 'utf8' })) {
    if (file.endsWith('.ts') && !file.endsWith('.d.ts')) {
      const text = readFileSync(join(to, file), 'utf8');
      writeFileSync(join(to, file), withPaths(file, text));
    }
  }
}

function withPaths(file: string, text: string): string {
  return text.replaceAll(/'(@gantry\/[a-z/-]+)'/g, (_, name: string) => {
    const entry = entries[name];
    if (entry === undefined) {
      throw new Error(`${file}: imports ${name}, which the kit does not have`);
    }
    const path = relative(dirname(file), `${entry}.ts`);
    return `'${path.startsWith('.') ? path : `./${path}`}'`;
  });
}

function compile(work: string): void {
  const root = dirname(packages);
  const outDir = join(work, 'package/dist');
  const compilerOptions = {
    noEmit: false,
    rootDir: join(work, 'src'),
    outDir,
    declaration: true,
    rewriteRelativeImportExtensions: true,
    // What Node 22 has: `using` is written out.
    target: 'es2024',
  };
  const config = {
    extends: join(root, 'tsconfig.json'),
    compilerOptions,
    files: [join(work, 'src/nri/src/plugin/index.ts')],
    include: [],
  };
  symlinkSync(join(root, 'node_modules'), join(work, 'node_modules'));
  writeFileSync(join(work, 'package.json'), '{"type":"module"}');
  writeFileSync(join(work, 'tsconfig.json'), JSON.stringify(config));
  const typescript = createRequire(import.meta.url).resolve('typescript/package.json');
  run(execPath, [join(dirname(typescript), 'bin/tsc'), '-p', work], work);
  cpSync(join(work, 'src/proto/src/gen'), join(outDir, 'proto/src/gen'), { recursive: true });
}

function manifest(): string {
  const own = JSON.parse(readFileSync(join(packages, 'nri/package.json'), 'utf8')) as {
    version: string;
    dependencies: Record<string, string>;
  };
  const entry = './dist/nri/src/plugin/index';
  return JSON.stringify(
    {
      name: '@gantry/nri',
      version: own.version,
      description: 'NRI plugins for containerd, CRI-O and Gantry in TypeScript',
      type: 'module',
      engines: { node: '>=22' },
      exports: { '.': { types: `${entry}.d.ts`, default: `${entry}.js` } },
      dependencies: { '@bufbuild/protobuf': own.dependencies['@bufbuild/protobuf'] },
    },
    null,
    2,
  );
}

function npmPack(directory: string, destination: string): string {
  const answer = run('npm', ['pack', '--json', '--pack-destination', destination], directory);
  const [packed] = JSON.parse(answer) as { filename: string }[];
  return join(destination, packed?.filename.replace('@', '').replace('/', '-') ?? '');
}

function run(command: string, args: readonly string[], cwd: string): string {
  const result = spawnSync(command, args, { cwd, encoding: 'utf8' });
  if (result.status !== 0) {
    throw new Error(`${command} ${args.join(' ')}: ${result.stdout}${result.stderr}`);
  }
  return result.stdout;
}

if (import.meta.main) {
  stdout.write(`${packKit(process.argv[2] ?? '.')}\n`);
}
