/** Medians as horizontal bars, with their spread: one group for each workload and target. An SVG by hand, no library needed. */
import { type Measured, median } from './measure.js';

const WIDTH = 900;
const LABEL = 330;
const BAR = 18;
const GAP = 26;
const COLOURS = { ours: '#1f6feb', engine: '#79b8ff', peer: '#8c959f', floor: '#2da44e' } as const;

export function chart(all: readonly Measured[]): string {
  const parts: string[] = [];
  let y = 24;
  for (const { workload, target, timings } of all) {
    const longest = Math.max(...timings.flatMap(({ ms }) => ms));
    const x = (ms: number) => LABEL + (ms / longest) * (WIDTH - LABEL - 90);
    parts.push(text(8, y, `(${workload}) ${target}`, 'bold'));
    y += 10;
    for (const { name, how, role, ms } of timings) {
      const [from, mid, to] = [Math.min(...ms), median(ms), Math.max(...ms)];
      parts.push(text(8, y + 13, `${name} ${how}`));
      parts.push(rect(LABEL, y, x(mid) - LABEL, BAR - 4, COLOURS[role]));
      parts.push(`<line x1="${x(from)}" x2="${x(to)}" y1="${y + 7}" y2="${y + 7}" stroke="#000"/>`);
      parts.push(text(x(to) + 6, y + 12, mid < 1000 ? `${Math.round(mid)} ms` : `${(mid / 1000).toFixed(2)} s`));
      y += BAR;
    }
    y += GAP;
  }
  const style = 'font-family="sans-serif" font-size="11"';
  const back = `<rect width="${WIDTH}" height="${y}" fill="#fff"/>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${y}" ${style}>${back}${parts.join('')}</svg>\n`;
}

function text(x: number, y: number, words: string, weight = 'normal'): string {
  const escaped = words.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${x.toFixed(1)}" y="${y}" font-weight="${weight}">${escaped}</text>`;
}

function rect(x: number, y: number, width: number, height: number, fill: string): string {
  return `<rect x="${x}" y="${y}" width="${Math.max(1, width).toFixed(1)}" height="${height}" fill="${fill}"/>`;
}
