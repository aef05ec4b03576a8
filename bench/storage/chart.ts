/**
 * The same numbers as a picture: a bar for each median, a line from the quickest to the slowest round. Bars begin at
 * zero; each group (a workload on a target) has a scale of its own, since 10 ms and a minute do not fit on one.
 */
import { type CaseResult, type Series, type Summary, summarize } from './statistics.js';

const WIDTH = 960;
const LEFT = 250;
const RIGHT = 90;
const BAR = 16;
const STEP = 21;
const GROUP_HEAD = 34;
const GROUP_GAP = 14;

const COLOURS: Readonly<Record<Series['role'], string>> = {
  ours: '#1f6feb',
  engine: '#85b6ff',
  peer: '#9aa0a6',
  floor: '#3c4043',
};

/** @returns an SVG document */
export function drawChart(title: string, results: readonly CaseResult[]): string {
  const parts: string[] = [];
  let y = 48;
  for (const result of results) {
    const drawn = drawGroup(result, y);
    parts.push(...drawn.parts);
    y = drawn.y + GROUP_GAP;
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${y}" viewBox="0 0 ${WIDTH} ${y}"`,
    ' font-family="system-ui, sans-serif" font-size="12">',
    `<title>${escapeText(title)}</title>`,
    `<rect width="${WIDTH}" height="${y}" fill="white"/>`,
    text(16, 28, title, 'font-size="16" font-weight="600"'),
    ...parts,
    '</svg>\n',
  ].join('\n');
}

function drawGroup(result: CaseResult, top: number): { parts: string[]; y: number } {
  const rows = result.series.map((series) => ({ series, summary: summarize(series) }));
  const most = Math.max(...rows.map(({ summary }) => summary?.most ?? 0), Number.MIN_VALUE);
  const scale = (ms: number) => (ms / most) * (WIDTH - LEFT - RIGHT);
  const parts = [
    text(16, top + 16, `(${result.workload}) ${result.title}, onto ${result.target}`, 'font-weight="600"'),
  ];
  let y = top + GROUP_HEAD - 8;
  for (const { series, summary } of rows) {
    parts.push(text(LEFT - 8, y + BAR - 4, series.name, 'text-anchor="end"'));
    if (summary === null) {
      parts.push(text(LEFT, y + BAR - 4, `left out: ${series.leftOut ?? 'not run'}`, 'fill="#666"'));
    } else {
      parts.push(...drawBar(series.role, summary, y, scale));
    }
    y += STEP;
  }
  return { parts, y };
}

function drawBar(role: Series['role'], summary: Summary, y: number, scale: (ms: number) => number): string[] {
  const middle = y + BAR / 2;
  const [from, to] = [LEFT + scale(summary.least), LEFT + scale(summary.most)];
  const width = scale(summary.median).toFixed(1);
  return [
    `<rect x="${LEFT}" y="${y}" width="${width}" height="${BAR}" fill="${COLOURS[role]}"/>`,
    `<path d="M${from.toFixed(1)} ${middle}H${to.toFixed(1)}M${from.toFixed(1)} ${middle - 4}v8M${to.toFixed(1)} ${middle - 4}v8" stroke="#d93025"/>`,
    text(to + 8, y + BAR - 4, `${(summary.median / 1000).toFixed(3)} s`),
  ];
}

function text(x: number, y: number, content: string, attributes = ''): string {
  return `<text x="${x.toFixed(1)}" y="${y}" ${attributes}>${escapeText(content)}</text>`;
}

function escapeText(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
