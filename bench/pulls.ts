import { execFileSync } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { stdout } from 'node:process';
import { mountTmpfs } from '@gantry/host';
import { ImageService } from '@gantry/proto';
import { dial, type RpcClient, type RpcConnection } from '@gantry/rpc';
import { busyboxImage, runDir, startRegistry, startStack } from '@gantry/tests-e2e';
import { startContainerd } from './containerd.ts';
import { type PullImage, pushImages } from './pull-images.ts';
import { measureParts } from './pull-parts.ts';
import { printTable, type Row } from './table.ts';

interface Side {
  readonly name: 'erofs' | 'directories' | 'containerd';
  readonly images: RpcClient<typeof ImageService>;
  readonly connection: RpcConnection;
  readonly samples: Map<string, number[]>;
}

const steps = ['pull', 'pull again, all of it there', 'remove'] as const;
const goalsOfSteps: Readonly<Record<string, number>> = {
  'pull again, all of it there': 1.0,
  remove: 0.3,
};

/** Measures pulls from one registry, in turns, with both layer stores and in containerd. */
export async function comparePulls(rounds: number): Promise<void> {
  const dir = join(runDir(), 'peer');
  await mkdir(dir);
  await using registry = await startRegistry();
  const images = await pushImages(registry, join(runDir(), 'bench-images'));
  // As /run is on a node.
  const own = { busybox: false, stateDirOnTmpfs: true } as const;
  const state = join(dir, 'state');
  await mkdir(state);
  await mountTmpfs({ target: state, sizeBytes: 1 << 30, mode: 0o711 });
  await using erofs = await startStack({ ...own, layerStore: 'erofs' });
  await using directories = await startStack({ ...own, layerStore: 'directories' });
  const pause = 'localhost/gantry/pause:1';
  await using containerd = await startContainerd(dir, { pause, busybox: busyboxImage });
  const sides = [
    sideOf('erofs', erofs.socket),
    sideOf('directories', directories.socket),
    sideOf('containerd', containerd.socket),
  ];
  try {
    for (const image of images) {
      // The first rounds warm caches and compilers and do not count.
      for (let round = -2; round < rounds; round++) {
        for (let i = 0; i < sides.length; i++) {
          const side = sides[(i + round + 3) % sides.length];
          if (side !== undefined) {
            await onePull(side, image, round >= 0);
          }
        }
      }
      report(sides, image, rounds);
      stdout.write(await measureParts(image, join(runDir(), 'parts')));
    }
  } finally {
    for (const { connection } of sides) {
      connection.close();
    }
  }
}

function sideOf(name: Side['name'], socket: string): Side {
  const connection = dial(socket);
  return { name, connection, images: connection.client(ImageService), samples: new Map() };
}

async function onePull({ images, samples }: Side, { name }: PullImage, counts: boolean) {
  const image = { image: name };
  const timed = async (step: string, call: () => Promise<unknown>): Promise<void> => {
    const start = performance.now();
    await call();
    if (counts) {
      const key = `${name} ${step}`;
      samples.set(key, [...(samples.get(key) ?? []), performance.now() - start]);
    }
  };
  // What others have written must not be waited for by this one.
  execFileSync('sync');
  await timed(steps[0], () => images.pullImage({ image }));
  await timed(steps[1], () => images.pullImage({ image }));
  execFileSync('sync');
  await timed(steps[2], () => images.removeImage({ image }));
  execFileSync('sync');
}

function report(sides: readonly Side[], { title, name, goals }: PullImage, rounds: number): void {
  const theirs = sides.find((side) => side.name === 'containerd');
  for (const side of sides.filter((other) => other !== theirs)) {
    const rows = steps.map((step): Row => {
      const key = `${name} ${step}`;
      const isErofs = side.name === 'erofs';
      const goal = step === 'pull' ? goals[isErofs ? 'erofs' : 'directories'] : goalsOfSteps[step];
      return {
        name: step,
        ours: side.samples.get(key) ?? [],
        theirs: theirs?.samples.get(key) ?? [],
        ...(goal === undefined || (step !== 'pull' && !isErofs) ? {} : { goal }),
      };
    });
    stdout.write(`\n${title}, layer_store = "${side.name}"`);
    printTable(rows, rounds);
  }
}
