import { connect } from '../cri/connection.ts';
import { flag, type Invocation } from '../invocation.ts';
import { humanSize, shortId } from '../output/size.ts';

/** `gantry image prune`: removes every image that no container uses and that is not pinned. */
export async function imagePrune(invocation: Invocation): Promise<void> {
  using cri = connect(invocation);
  const dryRun = flag(invocation, 'dryRun');
  const { removed, freedBytes } = await cri.imageAdmin.pruneImages(
    { dryRun },
    { signal: invocation.signal },
  );
  for (const image of removed) {
    const name = image.repoTags.join(', ') || '<none>';
    invocation.out(`${dryRun ? 'would remove' : 'removed'} ${name}  ${shortId(image.id)}\n`);
  }
  const freed = humanSize(freedBytes);
  invocation.out(dryRun ? `at least ${freed} would be freed\n` : `${freed} freed\n`);
}
