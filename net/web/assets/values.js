// Values: as text, JSON or hex, and the difference of two.

const TEXT_FIRST = 64 << 10, HEX_FIRST = 8 << 10, JSON_CHILDREN = 500;

async function valueAt(key, revision) {
  const answer = await request('value', { key, revision });
  return new Uint8Array(await answer.arrayBuffer());
}
function textOf(bytes) {
  try { return new TextDecoder('utf-8', { fatal: true }).decode(bytes); } catch { return null; }
}
// visible escapes the characters that change the direction or the place of a text: values could hide something by them.
function visible(text) { return text.replace(/[\u200b-\u200f\u202a-\u202e\u2066-\u2069]/g, (c) => '\\u' + c.charCodeAt(0).toString(16)); }
// readable tells whether a text has no controls but line ends and tabs.
function readable(text) { return text !== null && !/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/.test(text); }

// valueView shows a value, with buttons for the ways to see it.
function valueView(bytes) {
  const text = textOf(bytes), plain = readable(text);
  let parsed, isJSON = false;
  if (plain && /^\s*[[{]/.test(text)) { try { parsed = JSON.parse(text, exact); isJSON = true; } catch { /* it is text */ } }
  const ways = [];
  if (isJSON) ways.push(['JSON', () => el('div', { class: 'json mono' }, jsonView(parsed, null, true))]);
  if (text !== null) ways.push(['Text', () => cut(text, TEXT_FIRST, visible)]);
  ways.push(['Hex', () => cut(bytes, HEX_FIRST, hexDump)]);
  if (!plain) ways.reverse();
  const shown = el('div');
  const buttons = ways.map(([name, view]) => el('button', { type: 'button', 'aria-pressed': 'false', onclick: () => choose(name, view) }, name));
  function choose(name, view) {
    for (const b of buttons) b.setAttribute('aria-pressed', String(b.textContent === name));
    fill(shown, bytes.length ? view() : note('The value is empty.'));
  }
  choose(...ways[0]);
  return el('div', {}, el('div', { class: 'row' }, buttons, el('span', { class: 'quiet' }, size(bytes.length)), copyButton(text)), shown);
}
function copyButton(text) {
  if (text === null || !navigator.clipboard) return null;
  return el('button', { type: 'button', onclick: (e) => navigator.clipboard.writeText(text).then(() => { e.target.textContent = 'Copied'; }) }, 'Copy');
}
// cut shows the first part of a large value, and the rest if asked.
function cut(of, first, format) {
  const pre = el('pre', { tabindex: '0' }, format(of.slice(0, first)));
  if (of.length <= first) return pre;
  const all = el('button', { type: 'button', onclick: () => { pre.textContent = format(of); all.remove(); } }, 'Show all of ' + size(of.length));
  return el('div', {}, pre, all);
}
function hexDump(bytes) {
  const lines = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const part = bytes.slice(at, at + 16);
    const hex = Array.from(part, (b) => b.toString(16).padStart(2, '0')).join(' ');
    lines.push(at.toString(16).padStart(8, '0') + '  ' + hex.padEnd(47) + '  ' + Array.from(part, (b) => (b >= 32 && b < 127 ? String.fromCharCode(b) : '.')).join(''));
  }
  return lines.join('\n');
}
// Source is a number of JSON that a number of JavaScript cannot hold: it is shown as it is written.
class Source { constructor(text) { this.text = text; } }
function exact(key, value, context) { return typeof value === 'number' && context && String(value) !== context.source ? new Source(context.source) : value; }
// laidOut returns JSON with a line for each part, and with each part as it is written.
function laidOut(text) {
  JSON.parse(text);
  const lines = [''];
  let depth = 0, last = '';
  const line = () => lines.push('  '.repeat(Math.min(depth, 50)));
  for (const [part] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g)) {
    const opened = last === '{' || last === '[', closes = part === '}' || part === ']';
    if (closes) depth--;
    if (closes ? !opened : opened || last === ',') line();
    lines[lines.length - 1] += part === ':' ? ': ' : part;
    if (part === '{' || part === '[') depth++;
    last = part;
  }
  return lines;
}
// jsonView shows JSON folded: the parts of an object are made when it is opened.
function jsonView(value, name, open) {
  const label = name === null ? null : el('span', { class: 'name' }, visible(name) + ': ');
  if (value === null || typeof value !== 'object' || value instanceof Source) {
    return el('div', { class: 'leaf' }, label, value instanceof Source ? el('span', { class: 'number' }, value.text) : el('span', { class: typeof value }, visible(JSON.stringify(value))));
  }
  const entries = Object.entries(value);
  const details = el('details', {}, el('summary', {}, label, el('span', { class: 'quiet' }, Array.isArray(value) ? '[' + entries.length + ']' : '{' + entries.length + '}')));
  let made = false;
  const make = () => {
    if (made || !details.open) return;
    made = true;
    details.append(...entries.slice(0, JSON_CHILDREN).map(([k, v]) => jsonView(v, k, false)));
    if (entries.length > JSON_CHILDREN) details.append(note('… and ' + (entries.length - JSON_CHILDREN) + ' more: see the text'));
  };
  details.addEventListener('toggle', make);
  details.open = open;
  make();
  return details;
}

// diffView shows the difference of two values by lines. JSON is laid out first: most programs write it in one line.
function diffView(before, after) {
  if (before.length + after.length > 4 << 20) return note('The values have ' + size(before.length) + ' and ' + size(after.length) + ': too large to compare here.');
  const texts = [textOf(before), textOf(after)];
  if (!readable(texts[0]) || !readable(texts[1])) return linesView(diffLines(hexDump(before).split('\n'), hexDump(after).split('\n')));
  const laid = texts.map((t) => { try { return laidOut(t); } catch { return t.split('\n'); } }), asWritten = texts.map((t) => t.split('\n'));
  if (texts[0] === texts[1] || laid[0].join('\n') !== laid[1].join('\n')) return linesView(diffLines(...laid));
  return el('div', {}, note('The values are the same JSON, written in another way:'), linesView(diffLines(...asWritten)));
}
// diffLines finds the longest common lines, after equal beginnings and ends. Large differences are not searched.
function diffLines(a, b) {
  let head = 0, tail = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head++;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  const x = a.slice(head, a.length - tail), y = b.slice(head, b.length - tail), middle = [];
  if (x.length * y.length > 4e6) {
    middle.push(...x.map((t) => ['-', t]), ...y.map((t) => ['+', t]));
  } else {
    const width = y.length + 1, longest = new Uint32Array((x.length + 1) * width);
    for (let i = x.length - 1; i >= 0; i--) {
      for (let j = y.length - 1; j >= 0; j--) longest[i * width + j] = x[i] === y[j] ? longest[(i + 1) * width + j + 1] + 1 : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
    }
    for (let i = 0, j = 0; i < x.length || j < y.length;) {
      if (i < x.length && j < y.length && x[i] === y[j]) { middle.push([' ', x[i]]); i++; j++; } else if (j >= y.length || i < x.length && longest[(i + 1) * width + j] >= longest[i * width + j + 1]) middle.push(['-', x[i++]]); else middle.push(['+', y[j++]]);
    }
  }
  return [...a.slice(0, head).map((t) => [' ', t]), ...middle, ...a.slice(a.length - tail).map((t) => [' ', t])];
}
// linesView shows changed lines, with three equal lines around them.
function linesView(lines) {
  const near = new Set();
  lines.forEach(([mark], i) => { if (mark !== ' ') for (let k = i - 3; k <= i + 3; k++) near.add(k); });
  if (near.size === 0) return note('The values are equal.');
  const shown = [];
  let skipped = 0;
  for (let i = 0; i <= lines.length && shown.length < 3000; i++) {
    if (i < lines.length && !near.has(i)) { skipped++; continue; }
    if (skipped > 0) shown.push(el('div', { class: 'skip-lines' }, '  … ' + plural(skipped, 'equal line', 'equal lines')));
    skipped = 0;
    if (i < lines.length) shown.push(el('div', { class: { '+': 'add', '-': 'del' }[lines[i][0]] || null }, lines[i][0] + ' ' + visible(lines[i][1])));
  }
  return el('pre', { class: 'diff', tabindex: '0' }, shown);
}
