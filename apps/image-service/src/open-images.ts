import { mkdir } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { Config } from '@gantry/config';
import { messageOf } from '@gantry/errors';
import { directoryUsage } from '@gantry/host';
import { openStore } from '@gantry/store';
import { Counter, Histogram, type Logger, type Registry } from '@gantry/telemetry';
import { chooseLayerStore } from './adapters/choose-layer-store.ts';
import { collectGarbage, garbageGraceMs } from './images/collect-garbage.ts';
import type { ImageStore } from './images/image-store.ts';
import { ImageInstaller } from './images/install-image.ts';
import { Locks } from './images/locks.ts';
import { PullBoard } from './images/pull-board.ts';
import { ImagePuller } from './images/pull-image.ts';
import { recently } from './images/recently.ts';
import { reconcile } from './images/reconcile.ts';
import { RootFilesystemStore } from './images/root-filesystems.ts';
import { type ImportedImage, type ImportFrom, importImages } from './import/import-images.ts';
import { layerLimits } from './layers/layer-limits.ts';
import { UnpackPool } from './layers/unpack-pool.ts';
import type { Clock, DiskUsage } from './ports.ts';
import { KnownAnswers } from './registry/known-answers.ts';
import { nodeCredentials } from './registry/node-credentials.ts';
import { RegistrySource } from './registry/registry-source.ts';
import { ContentStore } from './store/content-store.ts';
import { ImageRecords } from './store/image-records.ts';
import { LayerRecords } from './store/layer-records.ts';
import { migrations } from './store/migrations.ts';
import { PartialBlobs } from './store/partial-blobs.ts';
import { RootRecords } from './store/root-records.ts';
import { TemporarySpace } from './store/temporary-space.ts';

export interface OpenOptions {
  readonly config: Pick<Config, 'root_dir' | 'state_dir' | 'images'>;
  readonly log: Pick<Logger, 'warn'>;
  readonly metrics: Registry;
  /** Differs between the instances of a node; the default suits a single one. */
  readonly instance?: string;
  readonly clock?: Clock;
  /** What tells one boot of the host from another; the kernel's, unless a test cuts the power. */
  readonly bootId?: string;
  /** First pause between tries of a request, in ms; doubled each time. */
  readonly backoffMs?: number;
}

/** The service without its bus: everything that the RPCs stand on. */
export interface Images extends AsyncDisposable {
  readonly store: ImageStore;
  readonly puller: ImagePuller;
  readonly board: PullBoard;
  readonly rootfs: RootFilesystemStore;
  /** What keeps layers, and what was found against the better way. */
  readonly chosen: { readonly layerStoreName: string; readonly objection: string | undefined };
  /** Where all of it lies. */
  readonly directory: string;
  imageUsage(): Promise<DiskUsage>;
  rootUsage(): Promise<DiskUsage>;
  importImages(from: ImportFrom, name: string, signal: AbortSignal): Promise<ImportedImage[]>;
}

const usageMaxAgeMs = 10_000;

/** Opens `root_dir/images`, removes what dead processes left there, and makes records and disk agree. */
export async function openImages(options: OpenOptions): Promise<Images> {
  const { config, log, metrics, clock = Date.now, backoffMs = 200 } = options;
  const directory = join(config.root_dir, 'images');
  await using stack = new AsyncDisposableStack();

  await mkdir(directory, { recursive: true, mode: 0o711 });
  const temporary = stack.use(await TemporarySpace.open(join(directory, 'tmp')));
  const records = stack.use(openStore(join(directory, 'images.db'), { migrations, reserve: true }));
  const content = await ContentStore.open(join(directory, 'content'), temporary);
  const workers = config.images.unpack_workers || availableParallelism();
  const pool = stack.use(new UnpackPool(workers));
  const stateDirectory = join(config.state_dir, 'images');
  const locks = await Locks.open(stateDirectory);
  const chosen = await chooseLayerStore({
    wanted: config.images.layer_store,
    directory,
    stateDirectory,
    temporary,
    pool,
    locks,
    limits: layerLimits(config.images.limits),
    log,
  });
  const { layerStore } = chosen;
  const store: ImageStore = {
    images: new ImageRecords(records, clock),
    layers: new LayerRecords(records, clock, options.bootId),
    roots: new RootRecords(records, clock),
    content,
    partials: await PartialBlobs.open(join(directory, 'partial'), locks),
    layerStore,
    locks,
    clock,
  };
  await reconcile(store, log);
  stack.use(collectRegularly(store, log));

  const installer = new ImageInstaller(store, {
    maxConcurrentDownloads: config.images.max_concurrent_downloads,
    resumeMinBytes: config.images.resume_min_bytes,
    keepCompressed: config.images.keep_compressed_layers,
    onLayer: layerMetrics(metrics),
  });
  const board = stack.use(
    await PullBoard.open({
      directory: join(stateDirectory, 'pulls'),
      instance: options.instance ?? 'only',
      clock,
      log,
      layer: (diffId) => installer.progressOf(diffId),
    }),
  );
  const registry = {
    configPath: config.images.registry_config_path,
    progressTimeoutMs: config.images.pull_progress_timeout_ms,
    backoffMs,
    known: new KnownAnswers(clock),
    plainHosts: new Set<string>(),
    cached: (digest: Parameters<ContentStore['read']>[0]) => content.read(digest),
  };
  const puller = new ImagePuller({
    store,
    installer,
    open: (reference, credentials, onPassedOver) =>
      new RegistrySource(reference, credentials, { ...registry, onPassedOver }),
    nodeCredentials: (host) => nodeCredentials(config.images, host),
    board,
    duration: pullDuration(metrics),
    log,
  });
  const rootsDirectory = join(directory, 'roots');
  const rootfs = await RootFilesystemStore.open({
    store,
    temporary,
    directory: rootsDirectory,
    pull: (name, signal) => puller.pull(name, { signal }),
  });

  const resources = stack.move();
  return {
    store,
    puller,
    board,
    rootfs,
    chosen: { layerStoreName: layerStore.name, objection: chosen.objection },
    directory,
    imageUsage: async () =>
      sum(
        store.layers.usage(),
        await layerStore.chainUsage(),
        await content.usage(),
        await store.partials.usage(),
      ),
    rootUsage: recently(usageMaxAgeMs, () => directoryUsage(rootsDirectory)),
    importImages: (from, name, signal) =>
      importImages({ installer, temporary }, from, name, signal),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/** What failed pulls left is kept for a while, for they are often tried again; then it goes. */
function collectRegularly(store: ImageStore, log: Pick<Logger, 'warn'>): Disposable {
  const timer = setInterval(() => {
    collectGarbage(store).catch((error: unknown) => {
      log.warn({ error: messageOf(error) }, 'collecting unused layers failed');
    });
  }, garbageGraceMs);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

/** What layers took, and how much of them has come. */
function layerMetrics(registry: Registry): (seconds: number, bytes: number) => void {
  const duration = new Histogram({
    name: 'gantry_image_layer_duration_seconds',
    help: 'How long layers took from their first byte asked for to being kept, in seconds.',
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
    registers: [registry],
  });
  const received = new Counter({
    name: 'gantry_image_layer_bytes_total',
    help: 'Compressed bytes of the layers that were fetched.',
    registers: [registry],
  });
  return (seconds, bytes) => {
    duration.observe(seconds);
    received.inc(bytes);
  };
}

function pullDuration(registry: Registry): Histogram {
  return new Histogram({
    name: 'containerd_image_pull_duration_seconds',
    help: 'How long pulls took that succeeded, in seconds.',
    buckets: [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300],
    registers: [registry],
  });
}

function sum(...parts: readonly DiskUsage[]): DiskUsage {
  return {
    bytes: parts.reduce((total, { bytes }) => total + bytes, 0),
    inodes: parts.reduce((total, { inodes }) => total + inodes, 0),
  };
}
