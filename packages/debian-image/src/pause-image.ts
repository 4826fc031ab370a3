import { type BuiltImage, buildImage } from './build-image.ts';
import { findProgram } from './program.ts';

/** The name that `pods.sandbox_image` has by default. */
export const pauseImageName = 'localhost/gantry/pause:1';

/**
 * Builds a pause image into the OCI layout `outDir` (made or added to): it
 * sleeps, reaps orphans when it is PID 1 of a shared namespace, and ends at SIGTERM
 * or SIGINT. The program is Debian's catatonit in its pause mode.
 */
export async function buildPauseImage(outDir: string, name = pauseImageName): Promise<BuiltImage> {
  const program = await findProgram({
    name: 'catatonit',
    packages: ['catatonit'],
    probe: ['-V'],
    accept: (output) => output.includes('catatonit'),
  });
  return buildImage({
    outDir,
    name,
    layers: [
      [
        { type: 'file', path: 'pause', content: program.content, mode: 0o755 },
        ...program.libraries,
      ],
    ],
    // Nobody's id: the process needs no right at all.
    config: { Entrypoint: ['/pause', '-P'], User: '65535:65535', Env: ['PATH=/'] },
  });
}
