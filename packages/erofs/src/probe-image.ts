import { implicitDirectory, type LayerTree } from './layer-tree.ts';
import { contiguous } from './place-data.ts';
import { buildImage } from './write-image.ts';

/** An image of one file, to find out whether a kernel mounts such images. */
export interface ProbeImage {
  readonly image: Buffer;
  /** The content of its only device. */
  readonly device: Buffer;
  /** What `probe` in its root holds once it is mounted. */
  readonly content: string;
}

export function probeImage(): ProbeImage {
  const content = 'as it should be';
  const device = Buffer.alloc(1024);
  device.write(content, 512);
  const root = implicitDirectory();
  const { inode } = root;
  const data = contiguous(content.length, 512, false);
  root.children.set('probe', {
    type: 'leaf',
    layer: 0,
    inode: { ...inode, kind: 'file', mode: 0o644, size: content.length, data },
  });
  const layer: LayerTree = { root, tarBytes: device.length, auxiliaryBytes: 0 };
  return { image: buildImage([layer]).bytes, device, content };
}
