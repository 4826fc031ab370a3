import type { ControlFrame } from './frames.ts';
import type { SpdyHeaders } from './header-block.ts';
import { defaultLimits, type SpdyLimits } from './limits.ts';
import { FrameParser } from './parser.ts';

export type ReadFrame =
  | ControlFrame
  | {
      readonly type: 'data';
      readonly streamId: number;
      readonly data: string;
      readonly fin: boolean;
    };

/** Parses all of `chunks`; pieces of one DATA frame are joined to the hex of the stream's run. */
export function parseAll(chunks: readonly Buffer[], limits: Partial<SpdyLimits> = {}): ReadFrame[] {
  const frames: ReadFrame[] = [];
  const parser = new FrameParser(
    {
      control: (frame) => frames.push(frame),
      data: (streamId, piece, fin) => {
        const last = frames.at(-1);
        if (last?.type === 'data' && last.streamId === streamId && !last.fin) {
          frames[frames.length - 1] = { ...last, data: last.data + piece.toString('hex'), fin };
        } else {
          frames.push({ type: 'data', streamId, data: piece.toString('hex'), fin });
        }
      },
    },
    { ...defaultLimits, ...limits },
  );
  for (const chunk of chunks) {
    parser.push(chunk);
  }
  return frames;
}

export function headersOf(headers: Readonly<Record<string, string>>): SpdyHeaders {
  return new Map(Object.entries(headers));
}

/** Numbers below `bound`, the same ones for the same seed (mulberry32). */
export function randomFrom(seed: number): (bound: number) => number {
  let state = seed >>> 0;
  return (bound) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % bound;
  };
}
