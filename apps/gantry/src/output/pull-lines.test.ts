import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { LayerState, PullInProgressSchema } from '@gantry/proto';
import { pullLines, pullSummary } from './pull-lines.ts';
import { Repainter } from './repainter.ts';

const pull = create(PullInProgressSchema, {
  layers: [
    {
      digest: `sha256:${'a'.repeat(64)}`,
      size: 100n,
      received: 50n,
      state: LayerState.LAYER_FETCHING,
    },
    {
      digest: `sha256:${'b'.repeat(64)}`,
      size: 2000n,
      received: 2000n,
      state: LayerState.LAYER_PRESENT,
    },
    { digest: `sha256:${'c'.repeat(64)}`, size: 0n, state: LayerState.LAYER_FETCHING },
    { digest: `sha256:${'d'.repeat(64)}`, size: 7n },
  ],
});

test('each layer is a line with a bar, also one whose size nobody tells', () => {
  assert.deepEqual(pullLines(pull), [
    'aaaaaaaaaaaa  [============            ]  50B of 100B',
    'bbbbbbbbbbbb  present                     2.00kB',
    'cccccccccccc  [                        ]  0B of 0B',
    'dddddddddddd  waiting                     7B',
  ]);
});

test('hosts that were passed over stand below the layers', () => {
  const passedOver = ['mirror:5000: connection refused'];
  const one = create(PullInProgressSchema, { layers: pull.layers.slice(1, 2), passedOver });
  assert.deepEqual(pullLines(one), [
    'bbbbbbbbbbbb  present                     2.00kB',
    'passed over mirror:5000: connection refused',
  ]);
});

test('a pull is summed up, before its manifest is known too', () => {
  assert.deepEqual(pullSummary(pull), { layers: '1 of 4', bytes: '2.05kB of 2.11kB' });
  const early = create(PullInProgressSchema, {});
  assert.deepEqual(pullSummary(early), { layers: 'asking the registry', bytes: '' });
});

test('lines are painted over, cut to the terminal, and taken away', () => {
  let written = '';
  const write = (text: string) => {
    written += text;
    return true;
  };
  {
    using paper = new Repainter({ write, columns: 5, rows: 3 } as never);
    paper.paint(['abcdefgh', 'x', 'too much']);
    paper.paint(['y']);
  }
  assert.equal(written, 'abcd\nx\n\x1b[2A\x1b[Jy\n\x1b[1A\x1b[J');
});

test('a terminal that does not know its size shows every line', () => {
  let written = '';
  const terminal = { write: (text: string) => (written += text), columns: 0, rows: 0 };
  new Repainter(terminal as never).paint(['abcdefgh', 'x', 'y']);
  assert.equal(written, 'abcdefgh\nx\ny\n');
});
