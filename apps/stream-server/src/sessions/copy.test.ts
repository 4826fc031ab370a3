import assert from 'node:assert/strict';
import { once } from 'node:events';
import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { mock, test } from 'node:test';
import { copy } from './copy.ts';

const piece = Buffer.alloc(64 << 10);

/** Gives pieces as long as it is asked; counts them. */
function flood(): Readable & { count: number } {
  const source = Object.assign(
    new Readable({
      read() {
        source.count += 1;
        // Not from inside of it, or it would never come to anything else.
        setImmediate(() => source.push(piece));
      },
    }),
    { count: 0 },
  );
  return source;
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i += 1) {
    await new Promise(setImmediate);
  }
}

test('all is handed on, and the end where it is wanted', async () => {
  const to = new PassThrough();
  const all = buffer(to);
  await copy(Readable.from([Buffer.from('a'), Buffer.from('b')]), to, { end: true });
  assert.equal((await all).toString(), 'ab');
});

test('what nobody wants any more is read on, slowly where that is asked for', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  t.after(() => mock.timers.reset());
  const counts: number[] = [];
  for (const dropSlowly of [false, true]) {
    const from = flood();
    const to = new PassThrough();
    void copy(from, to.resume(), { dropSlowly });
    to.destroy();
    await once(to, 'close');
    from.count = 0;
    await turns(1000);
    counts.push(from.count);
    if (dropSlowly) {
      mock.timers.tick(50);
      await turns(1000);
      counts.push(from.count);
    }
    from.destroy();
  }
  const [fast = 0, slow = 0, later = 0] = counts;
  assert.ok(fast > 400, `${fast} pieces`);
  // Four at a go, and what the stream holds itself.
  assert.ok(slow >= 4 && slow <= 10, `${slow} pieces`);
  assert.ok(later > slow && later <= slow + 6, `${later} pieces after a pause`);
});
