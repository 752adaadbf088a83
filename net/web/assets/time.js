// Time travel: the tree at a moment, what changed since then, and a revert with a preview.

const STEPS = 1000;

pages.time = {
  async begin(main, parameters) {
    this.view = new KeyView();
    this.tree = new Tree((prefix) => this.open(prefix), (key) => this.view.show(key, this.revision));
    this.slider = el('input', { type: 'range', min: 0, max: STEPS, value: STEPS, 'aria-label': 'Moment', oninput: () => this.slid('slider') });
    this.second = el('input', { type: 'range', min: 0, max: STEPS, value: STEPS, 'aria-label': 'Compare with this moment', oninput: () => this.slid('second') });
    this.moment = el('span', { class: 'moment', 'aria-live': 'polite' });
    this.other = el('span', { class: 'moment' });
    this.exact = el('input', { type: 'datetime-local', step: 1, 'aria-label': 'Exact moment', onchange: () => this.exactly(new Date(this.exact.value).getTime()) });
    this.toSecond = el('input', { type: 'checkbox', id: 'second', onchange: () => { this.lower.hidden = !this.toSecond.checked; this.compare(); } });
    this.lower = el('div', { hidden: true }, el('div', { class: 'row' }, el('span', {}, 'and'), this.other), this.second);
    this.ends = el('div', { class: 'row quiet' });
    this.said = el('div');
    this.changes = el('div');
    fill(main,
      el('section', { class: 'card' }, el('h1', {}, 'Time travel'), el('div', { class: 'row' }, el('span', {}, 'The keys as of'), this.moment, el('span', { class: 'wide' }), this.exact), this.slider, this.ends,
        el('label', { class: 'row' }, this.toSecond, 'Compare with another moment than now'), this.lower, this.said),
      el('div', { class: 'split' }, el('section', { class: 'card' }, el('h2', {}, 'Keys at that moment'), this.tree.at), el('div', {}, el('section', { class: 'card' }, this.changes), el('section', { class: 'card' }, this.view.at))));
    this.prefix = parameters.prefix || '';
    await this.load();
    const asked = Number(parameters.at);
    if (asked) await this.exactly(asked); else this.slid('slider');
  },
  end() { clearTimeout(this.waiting); this.tree.abort(); },
  moved(parameters) { if ((parameters.prefix || '') !== this.prefix) this.open(parameters.prefix || '', true); },
  async load() {
    try { this.times = await get('times'); } catch (refused) { return fill(this.said, note(refused.message, 'bad')); }
    const points = this.times.points;
    this.first = points.length ? points[0][1] : Date.now();
    this.last = Date.now();
    fill(this.ends, el('span', {}, when(this.first)), el('span', { class: 'wide' }), el('span', {}, 'now'), note((this.times.oldest > 1 ? 'Older history is compacted. ' : '') + 'Kept: revisions ' + count(this.times.oldest) + ' to ' + count(this.times.newest)));
  },
  timeAt(slider) { return this.first + (Number(slider.value) / STEPS) * (this.last - this.first); },
  // slid shows the moment at once, and reads the keys a little later: a slider that moves makes no request for each step.
  slid(which) {
    const slider = this[which], time = this.timeAt(slider), isNow = Number(slider.value) === STEPS;
    (which === 'slider' ? this.moment : this.other).textContent = isNow ? 'now' : when(time) + ' (' + ago(time) + ')';
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.read(), 120);
  },
  async exactly(time) {
    if (!time) return;
    this.slider.value = Math.round(((time - this.first) / Math.max(1, this.last - this.first)) * STEPS);
    this.moment.textContent = when(time) + ' (' + ago(time) + ')';
    this.exactTime = time;
    await this.read();
    this.exactTime = 0;
  },
  async revisionAt(slider, exact) {
    if (!exact && Number(slider.value) === STEPS) return (await get('times')).newest;
    return (await get('times', { at: Math.round(exact || this.timeAt(slider)) })).revision;
  },
  async read() {
    fill(this.said);
    try { this.revision = Math.max(await this.revisionAt(this.slider, this.exactTime), this.times.oldest); } catch (refused) { return fill(this.said, note(refused.message, 'bad')); }
    await Promise.all([this.tree.show(this.prefix, this.revision), this.compare()]);
    if (this.view.key) this.view.show(this.view.key, this.revision);
  },
  open(prefix, moved) {
    this.prefix = prefix;
    if (!moved) go('time', { prefix });
    this.tree.show(prefix, this.revision);
    this.compare();
  },
  async compare() {
    const title = this.toSecond.checked ? 'Changed between the two moments' : 'Changed since then';
    const mine = this.comparing = {};
    if (!mayRead(this.prefix)) return fill(this.changes, el('h2', {}, title), note('Choose a prefix that you may read.'));
    let c;
    try {
      let until = this.toSecond.checked ? await this.revisionAt(this.second) : 0, since = this.revision;
      if (until && until < since) [since, until] = [until, since];
      c = await get('changes', { prefix: this.prefix, since, revision: until });
    } catch (refused) { return this.comparing === mine && fill(this.changes, el('h2', {}, title), note(refused.message, 'bad')); }
    if (this.comparing !== mine) return;
    const total = c.created + c.changed + c.deleted;
    const tags = { created: ['add', 'created'], changed: ['mod', 'changed'], deleted: ['del', 'deleted'] };
    const rows = c.rows.map((r) => {
      const kind = !r.before.revision ? 'created' : !r.after.revision ? 'deleted' : 'changed', key = fromWire(r.key);
      return [el('span', { class: 'tag ' + tags[kind][0] }, tags[kind][1]), el('a', { class: 'key', href: '#', onclick: (e) => { e.preventDefault(); this.showChange(key, r); } }, show(key)), (r.before.revision ? size(r.before.size) : '–') + ' → ' + (r.after.revision ? size(r.after.size) : '–')];
    });
    this.detail = el('div');
    const revert = !this.toSecond.checked && total > 0 && mayWrite(this.prefix, true);
    fill(this.changes, el('h2', {}, title), el('p', { class: 'quiet' }, total ? plural(c.created, 'key', 'keys') + ' created, ' + count(c.changed) + ' changed, ' + count(c.deleted) + ' deleted' + (this.prefix ? ' below ' + show(this.prefix) : '') + (c.more ? '; the first 1,000 are shown' : '') : 'Nothing changed.'),
      revert ? el('div', { class: 'row' }, el('button', { type: 'button', class: 'danger', onclick: () => this.revert(c, total) }, 'Revert ' + plural(total - c.leased, 'key', 'keys') + ' …'), el('span', { class: 'quiet' }, 'The list below is the preview.')) : null, this.detail, rows.length ? table([['What'], ['Key'], ['Size', true]], rows) : null);
  },
  async showChange(key, r) {
    fill(this.detail, el('h2', { class: 'key' }, show(key)), note('Loading …'));
    try {
      const [before, after] = await Promise.all([r.before, r.after].map((s) => (s.revision ? valueAt(key, s.revision) : new Uint8Array(0))));
      fill(this.detail, el('h2', { class: 'key' }, show(key)), diffView(before, after), el('div', { class: 'row' }, el('button', { type: 'button', onclick: () => this.view.show(key, this.revision) }, 'History')));
    } catch (refused) { fill(this.detail, note(refused.message, 'bad')); }
    this.detail.scrollIntoView({ block: 'nearest' });
  },
  async revert(c, total) {
    const text = el('div', {}, note((this.prefix ? 'All keys below ' + show(this.prefix) : 'All keys') + ' become as they were at revision ' + c.since + ', ' + this.moment.textContent + ':'),
      el('ul', {}, el('li', {}, plural(c.created, 'key', 'keys') + ' created since then are deleted'), el('li', {}, plural(c.changed + c.deleted, 'key', 'keys') + ' changed or deleted since then are put'), c.leased ? el('li', {}, plural(c.leased, 'key', 'keys') + ' with a lease stay as they are') : null), note('Keys that are written meanwhile stay as they are. The state of now stays in the history.'));
    if (!await confirmed('Revert ' + plural(total - c.leased, 'key', 'keys') + '?', text, 'Revert')) return;
    if (await reverting(this.said, { Prefix: this.prefix, To: c.since, Seen: c.until })) {
      const told = [...this.said.children];
      await this.load();
      await this.read();
      fill(this.said, told);
    }
  },
};
