// The tree of keys, and one key with its history.

const USAGE_AGE = 30000;
const CRUMBS = 12;
const usages = new Map(); // by prefix: the bytes of its groups, for USAGE_AGE

async function usageOf(prefix, signal) {
  const known = usages.get(prefix);
  if (known && Date.now() - known.at < USAGE_AGE) return known.rows;
  const answer = await get('usage', { prefix }, { signal });
  const rows = new Map(answer.rows.map((r) => [fromWire(r.key), r]));
  rows.more = answer.more;
  usages.set(prefix, { at: Date.now(), rows });
  if (usages.size > 50) usages.delete(usages.keys().next().value);
  return rows;
}

// Tree shows one level of the tree, at a revision or at present. open(prefix) and choose(key) are called for clicks.
class Tree {
  constructor(open, choose) {
    this.open = open;
    this.choose = choose;
    this.list = el('ul', { class: 'keys' });
    this.crumbs = el('div', { class: 'crumbs key' });
    this.foot = el('div', { class: 'row' });
    this.search = el('input', { type: 'search', placeholder: 'Search in keys (press /)', 'aria-label': 'Search in the names of keys', onkeydown: (e) => { if (e.key === 'Enter') this.find(this.search.value); } });
    this.at = el('div', {}, el('div', { class: 'row' }, this.search, button('Search', () => this.find(this.search.value))), this.crumbs, this.list, this.foot);
    this.at.addEventListener('keydown', (e) => this.move(e));
  }
  // move goes through the rows by the arrow keys, into a group and out of it.
  move(e) {
    if (e.key === 'ArrowLeft' && this.list.contains(e.target) && this.prefix) return this.open(this.prefix.slice(0, this.prefix.lastIndexOf('/', this.prefix.length - 2) + 1));
    if (e.key === 'ArrowRight' && this.list.contains(e.target)) return e.target.click();
    const step = { ArrowDown: 1, ArrowUp: -1 }[e.key], row = document.activeElement.closest('li');
    if (!step || (!row && document.activeElement !== this.search)) return;
    const to = row ? (step > 0 ? row.nextElementSibling : row.previousElementSibling) : this.list.firstElementChild;
    to?.querySelector('a')?.focus();
    e.preventDefault();
  }
  abort() { this.running?.abort(); this.running = new AbortController(); return this.running.signal; }
  showCrumbs() {
    const parts = [['all keys', '']];
    let at = '';
    for (const part of this.prefix.split(/(?<=\/)/)) { if (part) { at += part; parts.push([brief(part), at]); } }
    if (parts.length > CRUMBS) parts.splice(2, parts.length - CRUMBS, ['… ' + (parts.length - CRUMBS) + ' more …', parts[parts.length - CRUMBS + 1][1]]);
    fill(this.crumbs, parts.map(([name, prefix]) => el('a', { href: '#', onclick: (e) => { e.preventDefault(); this.open(prefix); } }, name)));
  }
  async show(prefix, revision) {
    this.prefix = prefix;
    this.revision = revision;
    this.search.value = '';
    const signal = this.abort(), focused = this.list.contains(document.activeElement);
    this.showCrumbs();
    if (!mayRead(prefix) && prefix === '') this.showRoots(); else await this.more('', signal, true);
    if (focused && !signal.aborted) this.list.querySelector('a')?.focus();
  }
  // showRoots shows where a user begins who may not read all keys: prefixes and single keys.
  showRoots() {
    const all = session.ranges.filter((r) => r.read), isPrefix = (r) => r.end !== '' && prefixEnd(r.key) === r.end;
    const others = all.filter((r) => r.end !== '' && !isPrefix(r));
    fill(this.list, all.filter((r) => !others.includes(r)).map((r) => this.row({ key: btoa(r.key), keys: null }, isPrefix(r))));
    fill(this.foot, note(all.length ? 'You may read these keys.' : 'You may read no keys: an administrator can grant a role.'), others.map((r) => note('You may also read the keys from ' + brief(r.key) + (r.end === '\0' ? ' on' : ' to before ' + brief(r.end)) + '. They are no prefix, so they are not shown here: `qkv get` reads them.')));
  }
  async more(from, signal, first) {
    let page;
    try { page = await get('tree', { prefix: this.prefix, revision: this.revision, from }, { signal }); } catch (refused) { return this.fail(refused, () => this.more(from, signal, first)); }
    const rows = page.rows.map((r) => this.row(r, r.keys !== undefined));
    if (first) fill(this.list, rows); else this.list.append(...rows);
    const empty = first && rows.length === 0;
    fill(this.foot, empty ? note(this.prefix || this.revision ? 'There are no keys here' + (this.revision ? ' at revision ' + this.revision : '') + '.' : 'There are no keys yet. `qkv put greeting hello` makes the first one.') : null, page.next ? button('More keys', () => this.more(fromWire(page.next), signal, false)) : null);
    if (!this.revision && page.rows.some((r) => r.keys !== undefined)) this.addUsage(signal);
  }
  // addUsage adds the bytes of groups later: the member has to visit each key for them.
  async addUsage(signal) {
    let rows;
    try { rows = await usageOf(this.prefix, signal); } catch { return; }
    if (signal.aborted) return;
    let missing = false;
    for (const row of this.list.children) {
      const found = rows.get(row.dataset.key), at = row.querySelector('.bytes');
      if (found && at) at.textContent = ' · ' + size(found.bytes) + (found.changes ? ' · ' + plural(found.changes, 'change', 'changes') + ' in the last minute' : '');
      missing ||= at && !found;
    }
    if (rows.more && missing) this.foot.append(note('Bytes are added up for the first ' + count(rows.size) + ' groups only. Open a group, or use `qkv du`.'));
  }
  row(r, group) {
    const key = fromWire(r.key);
    const rest = key.startsWith(this.prefix) && this.prefix ? key.slice(this.prefix.length) : key;
    const more = r.keys === null ? [] : group ? [(r.about ? 'about ' : '') + plural(r.keys, 'key', 'keys')] : [size(r.size), 'version ' + r.version, r.lease ? 'lease' : ''];
    const link = el('a', { href: '#', onclick: (e) => { e.preventDefault(); if (group) this.open(key); else this.choose(key); } }, el('span', { class: 'key' }, (group ? '▸ ' : '') + (brief(rest) || '(empty name)')), el('span', { class: 'more' }, more.filter(Boolean).join(' · '), group ? el('span', { class: 'bytes' }) : null));
    return el('li', { 'data-key': key }, link);
  }
  mark(key) { for (const row of this.list.children) { const a = row.querySelector('a'); if (row.dataset.key === key) a.setAttribute('aria-current', 'true'); else a.removeAttribute('aria-current'); } }
  async find(text) {
    if (!text) return this.show(this.prefix, this.revision);
    const signal = this.abort();
    fill(this.list);
    let from = '', looked = 0, found = 0, stopped = false;
    for (const prefix of this.prefix || mayRead('') ? [this.prefix] : roots()) {
      do {
        fill(this.foot, note('Searching … ' + plural(looked, 'key', 'keys') + ' seen'), el('button', { type: 'button', onclick: () => { stopped = true; this.running.abort(); } }, 'Stop'));
        let page;
        try { page = await get('search', { prefix, revision: this.revision, text: keyOf(text), from }, { signal }); } catch (refused) { if (refused.name !== 'AbortError') return this.fail(refused, () => this.find(text)); if (!stopped) return; break; }
        this.list.append(...page.rows.map((r) => this.row(r, false)));
        looked += page.looked;
        found += page.rows.length;
        from = fromWire(page.next);
      } while (from && found < 1000);
      if (stopped || found >= 1000) break;
    }
    fill(this.foot, note(plural(found, 'key', 'keys') + ' with “' + text + '” among ' + plural(looked, 'key', 'keys') + (stopped ? ': the search was stopped' : from ? ': search below a prefix to see others' : '')), button('Back to the tree', () => this.show(this.prefix, this.revision)));
  }
  fail(refused, again) { if (refused.status === 403) fill(this.list); if (refused.name !== 'AbortError') fill(this.foot, note(refused.message, 'bad'), button('Try again', again)); }
}

// KeyView shows one key: its value at a revision, its history, and the difference of two versions.
class KeyView {
  constructor() { this.at = el('div', {}, note('Choose a key.')); }
  async show(key, revision) {
    this.key = key;
    const mine = this.showing = {}, title = el('h2', { class: 'key title', tabindex: key.length > BRIEF ? '0' : null }, show(key));
    fill(this.at, title, note('Loading …'));
    let history;
    try { history = await get('history', { key }); } catch (refused) { return this.showing === mine && fill(this.at, title, note(refused.message, 'bad'), button('Try again', () => this.show(key, revision))); }
    if (this.showing !== mine) return;
    this.history = history;
    this.value = el('div');
    this.versions = el('div');
    this.difference = el('div');
    fill(this.at, title, this.value, el('h2', {}, 'History'), this.versions, this.difference);
    this.list();
    const shown = history.versions.find((v) => !revision || v.revision <= revision);
    if (shown) this.choose(shown); else fill(this.value, note(history.oldest > 1 ? 'No version is kept: the history begins at revision ' + history.oldest + '.' : 'The key has never existed.'));
  }
  list() {
    const h = this.history;
    const rows = h.versions.map((v, i) => {
      const older = h.versions[i + 1];
      const what = v.deleted ? el('span', { class: 'tag del' }, 'deleted') : v.version === 1 ? el('span', { class: 'tag add' }, 'created') : el('span', { class: 'tag mod' }, 'version ' + v.version);
      const leased = v.lease || h.versions[0].lease; // a revert leaves such keys as they are
      const buttons = [v.deleted ? null : button('Show', () => this.choose(v)), older && !v.deleted && !older.deleted ? button('Diff', () => this.compare(older, v)) : null, i > 0 && !v.deleted && !leased && mayWrite(this.key, false) ? button('Revert to this', () => this.revert(v)) : null].filter(Boolean);
      return [el('input', { type: 'checkbox', 'aria-label': 'Compare revision ' + v.revision, onchange: () => this.checked() }), [when(v.time), el('div', { class: 'quiet' }, 'revision ' + v.revision)], what, v.author || el('span', { class: 'quiet' }, 'not known'), v.deleted ? '' : size(v.size), el('div', { class: 'row' }, buttons)];
    });
    fill(this.versions, table([[''], ['When'], ['What'], ['Who'], ['Size', true], ['']], rows), h.more ? (h.versions.length < 2000 ? button('Older versions', async () => { this.history = await get('history', { key: this.key, most: 2000 }); this.list(); }) : note('The newest 2,000 versions are shown; `qkv history` prints all of them.')) : null, note('Tick two versions to compare them.' + (h.oldest > 1 ? ' Versions before revision ' + h.oldest + ' are compacted.' : '')));
  }
  checked() {
    const boxes = [...this.versions.querySelectorAll('input[type=checkbox]')], on = boxes.map((b, i) => (b.checked ? i : -1)).filter((i) => i >= 0);
    if (on.length === 2) this.compare(this.history.versions[on[1]], this.history.versions[on[0]]);
  }
  async choose(v) {
    const mine = this.choosing = {}, newest = this.history.versions[0] === v;
    const head = el('p', { class: newest ? 'quiet' : 'warn' }, (newest ? 'Changed ' : 'An older version: changed ') + when(v.time) + (newest && v.time ? ' (' + ago(v.time) + ')' : '') + (v.author ? ' by ' + v.author : '') + (v.lease ? ', with the lease ' + v.lease : ''));
    if (v.deleted) return fill(this.value, note('The key was deleted ' + when(v.time) + (v.author ? ' by ' + v.author : '') + '.', 'warn'));
    try {
      const bytes = await valueAt(this.key, v.revision);
      if (this.choosing === mine) fill(this.value, head, valueView(bytes));
    } catch (refused) { if (this.choosing === mine) fill(this.value, head, note(refused.message, 'bad'), button('Try again', () => this.choose(v))); }
  }
  async compare(a, b) {
    const mine = this.comparing = {}, title = el('h2', {}, 'From revision ' + a.revision + ' to ' + b.revision);
    fill(this.difference, title, note('Loading …'));
    try {
      const [before, after] = await Promise.all([a, b].map((v) => (v.deleted ? new Uint8Array(0) : valueAt(this.key, v.revision))));
      if (this.comparing === mine) fill(this.difference, title, diffView(before, after));
    } catch (refused) { if (this.comparing === mine) fill(this.difference, title, note(refused.message, 'bad')); }
    this.difference.scrollIntoView({ block: 'nearest' });
  }
  async revert(v) {
    const newest = this.history.versions[0];
    let now, then;
    try { [now, then] = await Promise.all([newest.deleted ? new Uint8Array(0) : valueAt(this.key, newest.revision), valueAt(this.key, v.revision)]); } catch (refused) { return this.value.prepend(note(refused.message, 'bad')); }
    if (!await confirmed('Revert this key?', el('div', {}, note('It becomes as it was ' + when(v.time) + '. The value of now stays in the history.'), diffView(now, then)), 'Revert')) return;
    const told = await reverting({ Key: this.key, To: v.revision, Seen: this.history.revision });
    await this.show(this.key);
    this.at.prepend(told);
  }
}

// reverting makes a revert, and returns what has become of it.
async function reverting(q) {
  try {
    const r = await post('revert', { ...q, Key: btoa(q.Key || ''), Prefix: btoa(q.Prefix || '') });
    const left = [r.leased ? plural(r.leased, 'key belongs', 'keys belong') + ' to a lease and stayed as they were' : '', r.written ? plural(r.written, 'key was', 'keys were') + ' written after the preview and stayed' : ''].filter(Boolean);
    return note(plural(r.put + r.deleted, 'key', 'keys') + ' reverted' + (left.length ? '; ' + left.join('; ') : '') + '.', 'good');
  } catch (refused) { return note(refused.message, 'bad'); }
}

pages.keys = {
  begin(main, parameters) {
    this.view = new KeyView();
    this.tree = new Tree((prefix) => go('keys', { prefix }), (key) => go('keys', { prefix: this.tree.prefix, key }));
    fill(main, el('div', { class: 'split' }, el('section', { class: 'card', 'aria-label': 'Tree of keys' }, this.tree.at), el('section', { class: 'card', 'aria-label': 'Key' }, this.view.at)));
    this.prefix = null;
    this.moved(parameters);
  },
  async moved(parameters) {
    const prefix = parameters.prefix || '';
    if (prefix !== this.prefix) {
      this.prefix = prefix;
      await this.tree.show(prefix, 0);
    }
    if (parameters.key) {
      this.tree.mark(parameters.key);
      this.view.show(parameters.key);
      if (matchMedia('(max-width: 52rem)').matches) this.view.at.scrollIntoView();
    }
  },
  end() { this.tree.abort(); },
};
