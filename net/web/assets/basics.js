'use strict';
// Everything that the pages share. Text from the store is only ever shown by textContent, and never as HTML.

// el makes an element. Attributes that begin with "on" are listeners; children are elements or texts.
function el(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith('on')) made.addEventListener(key.slice(2), value);
    else if (key === 'class') made.className = value;
    else made.setAttribute(key, value === true ? '' : value);
  }
  made.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return made;
}

function svg(name, attributes, text) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// Keys are byte strings: one character for each byte. fromWire reads the base64 of JSON, and enc writes a key into a URL.
function fromWire(base64) { return base64 ? atob(base64) : ''; }
function enc(key) {
  let text = '';
  for (const c of key) text += /[A-Za-z0-9_.~/-]/.test(c) ? c : '%' + c.charCodeAt(0).toString(16).padStart(2, '0');
  return text;
}
function dec(text) { return text.replace(/\+/g, ' ').replace(/%([0-9a-fA-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16))); }
function bytesOf(key) { return Uint8Array.from(key, (c) => c.charCodeAt(0)); }
function keyOf(text) { return Array.from(new TextEncoder().encode(text), (b) => String.fromCharCode(b)).join(''); }

// show returns a key for people. Bytes that are no text, controls, and characters that change the direction of text are escaped.
function show(key) {
  let text;
  try { text = new TextDecoder('utf-8', { fatal: true }).decode(bytesOf(key)); } catch { return key.replace(/[^\x20-\x7e]/g, (c) => '\\x' + c.charCodeAt(0).toString(16).padStart(2, '0')); }
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g, (c) => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'));
}

// brief is show for lists: a long key is cut.
const BRIEF = 200;
function brief(key) { return key.length <= BRIEF ? show(key) : show(key.slice(0, BRIEF).replace(/[\xc0-\xff][\x80-\xbf]*$/, '')) + ' … (' + size(key.length) + ')'; }

function size(bytes) {
  if (bytes < 1024) return bytes + ' B';
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  let unit = -1;
  do { bytes /= 1024; unit++; } while (bytes >= 1024 && unit < units.length - 1);
  return (bytes < 10 ? bytes.toFixed(1) : Math.round(bytes)) + ' ' + units[unit];
}
function count(n) { return Math.round(n).toLocaleString('en-US'); }
function plural(n, one, more) { return count(n) + ' ' + (n === 1 ? one : more); }
function ms(n) { return n === 0 ? '–' : n < 1 ? Math.round(n * 1000) + ' µs' : n < 10 ? n.toFixed(1) + ' ms' : Math.round(n) + ' ms'; }
function when(time) { return time ? new Date(time).toLocaleString('sv-SE') : 'time not known'; }
function clock(time) { return new Date(time).toLocaleTimeString('sv-SE'); }
function ago(time) {
  const s = Math.max(0, (Date.now() - time) / 1000);
  if (s < 90) return Math.round(s) + ' s ago';
  if (s < 5400) return Math.round(s / 60) + ' min ago';
  if (s < 172800) return Math.round(s / 3600) + ' h ago';
  return Math.round(s / 86400) + ' days ago';
}

// Requests. The token of a login stays in this tab, and goes only into the header of requests: no cookie, so no other page can use it.
class Refusal extends Error {
  constructor(status, text) { super(text); this.status = status; }
}
async function request(path, parameters, options = {}) {
  const words = Object.entries(parameters || {}).filter(([, v]) => v !== undefined && v !== '' && v !== null).map(([k, v]) => k + '=' + enc(String(v)));
  const headers = { 'X-Qkv-Dashboard': '1' };
  const token = sessionStorage.getItem('qkv-token');
  if (token) headers.Authorization = 'Bearer ' + token;
  let answer;
  try {
    answer = await fetch('api/' + path + (words.length ? '?' + words.join('&') : ''), { headers, cache: 'no-store', credentials: 'same-origin', ...options });
  } catch (failed) {
    if (failed.name === 'AbortError') throw failed;
    if (options.method === 'POST') throw new Refusal(0, 'No answer from this member. It may have made the change, or not: look at the history before you try again.');
    throw new Refusal(0, 'This member does not answer.');
  }
  if (answer.ok) return answer;
  let text = await answer.text();
  try { text = JSON.parse(text).error; } catch { /* it is plain text */ }
  throw new Refusal(answer.status, text);
}
async function get(path, parameters, options) { return (await request(path, parameters, options)).json(); }
async function post(path, body) { return (await request(path, {}, { method: 'POST', body: JSON.stringify(body) })).json(); }

// button makes a button. A click is ignored until what the last one began is done.
function button(text, f, attributes) {
  let busy = false;
  const made = el('button', { type: 'button', ...attributes, onclick: async () => {
    if (busy) return;
    busy = true;
    made.setAttribute('aria-busy', 'true');
    try { await f(made); } finally { busy = false; made.removeAttribute('aria-busy'); }
  } }, text);
  return made;
}

// fill replaces the content of an element.
function fill(at, ...children) { at.replaceChildren(...children.flat().filter((c) => c !== null && c !== undefined && c !== false)); return at; }
function note(text, kind = 'quiet') { return el('p', { class: kind, role: kind === 'bad' ? 'alert' : null }, text); }

// table makes a table from [title, numeric] heads, and rows of cells. A narrow screen shows each row as a card.
function table(heads, rows, kind = 'cards') {
  const head = el('tr', {}, heads.map(([title, numeric]) => el('th', { scope: 'col', class: numeric ? 'num' : null }, title)));
  const body = rows.map((cells) => el('tr', {}, cells.map((cell, i) => el('td', { 'data-name': heads[i][0], class: [heads[i][1] ? 'num' : '', heads[i][2] || ''].join(' ').trim() || null }, Array.isArray(cell) ? el('span', {}, cell) : cell))));
  return el('div', { class: 'scroll' }, el('table', { class: kind }, el('thead', {}, head), el('tbody', {}, body)));
}

// confirmed asks a question in a dialog.
function confirmed(title, text, yes) {
  const dialog = document.getElementById('ask');
  document.getElementById('ask-title').textContent = title;
  fill(document.getElementById('ask-text'), text);
  document.getElementById('ask-yes').textContent = yes;
  dialog.returnValue = 'no';
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true }));
}

// session is the user, as the member knows it.
const session = { auth: false, name: '', admin: false, ranges: [] };
function mayEverything() { return !session.auth || session.admin; }
// prefixEnd is the end of the range of all keys with a prefix; "\0" means no end.
function prefixEnd(prefix) {
  for (let i = prefix.length - 1; i >= 0; i--) {
    const c = prefix.charCodeAt(i);
    if (c < 255) return prefix.slice(0, i) + String.fromCharCode(c + 1);
  }
  return '\0';
}
function covers(range, key, end) {
  const rangeEnd = range.end;
  if (rangeEnd === '') return end === '' && range.key === key;
  if (key < range.key) return false;
  if (rangeEnd === '\0') return true;
  return end === '' ? key < rangeEnd : end !== '\0' && end <= rangeEnd;
}
// mayWrite is for the buttons alone: the member decides when it applies the change.
function mayWrite(key, isPrefix) {
  return mayEverything() || session.ranges.some((r) => r.write && covers(r, key || '\0', isPrefix ? prefixEnd(key) : ''));
}
function mayRead(prefix) {
  return mayEverything() || session.ranges.some((r) => r.read && covers(r, prefix || '\0', prefixEnd(prefix)));
}
// roots are the prefixes at which a user may begin to look.
function roots() {
  if (mayEverything()) return [''];
  return session.ranges.filter((r) => r.read).map((r) => (r.end !== '' && prefixEnd(r.key) === r.end ? r.key : r.key === '\0' ? '' : r.key));
}
