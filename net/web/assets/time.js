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
    this.until = 0;
    this.exact = el('input', { type: 'datetime-local', step: 1, 'aria-label': 'Exact moment', onchange: () => this.exactly(new Date(this.exact.value).getTime()) });
    this.toSecond = el('input', { type: 'checkbox', id: 'second', onchange: () => { this.lower.hidden = !this.toSecond.checked; this.slid('second'); } });
    this.lower = el('div', { hidden: true }, el('div', { class: 'row' }, el('span', {}, 'and'), this.other), this.second);
    this.ends = el('div', { class: 'row quiet ends' });
    this.said = el('div');
    this.changes = el('div');
    fill(main,
      el('section', { class: 'card' }, el('h1', {}, 'Time travel'), el('div', { class: 'row' }, el('span', {}, 'The keys as of'), this.moment, el('span', { class: 'wide' }), this.exact), this.slider, this.ends,
        el('label', {}, this.toSecond, ' Compare with another moment than now'), this.lower, this.said),
      el('div', { class: 'split' }, el('section', { class: 'card' }, el('h2', {}, 'Keys at that moment'), this.tree.at), el('div', {}, el('section', { class: 'card' }, this.changes), el('section', { class: 'card' }, this.view.at))));
    this.prefix = parameters.prefix || '';
    this.asked = Number(parameters.at) || 0;
    await this.load();
    if (this.times) await this.read();
  },
  end() { clearTimeout(this.waiting); this.tree.abort(); this.reading = null; },
  moved(parameters) {
    const at = Number(parameters.at) || 0, prefix = parameters.prefix || '';
    if (at !== this.asked) { this.prefix = prefix; this.asked = at; this.read(); } else if (prefix !== this.prefix) this.open(prefix, true);
  },
  async load() {
    this.times = null;
    try { this.times = await get('times'); } catch (refused) { return fill(this.said, note(refused.message, 'bad'), button('Try again', restart)); }
    const points = this.times.points;
    this.first = points.length ? points[0][1] + (this.times.oldest > 1 ? 1 : 0) : Date.now(); // the oldest revision was made within this millisecond
    this.last = Date.now();
    fill(this.ends, el('span', {}, when(this.first) + (this.times.oldest > 1 ? ': older history is compacted' : '')), el('span', {}, plural(this.times.newest - this.times.oldest + 1, 'revision is', 'revisions are') + ' kept'), el('span', {}, 'now'));
  },
  timeAt(slider) { return this.first + (Number(slider.value) / STEPS) * (this.last - this.first); },
  // slid shows the moment at once, and reads the keys a little later: a slider that moves makes no request for each step.
  slid(which) {
    const slider = this[which], time = Number(slider.value) === STEPS ? 0 : Math.round(this.timeAt(slider));
    if (which === 'slider') this.asked = time; else this.until = time;
    this.label();
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => { if (this.times) this.read(); }, 120);
  },
  exactly(time) {
    if (!time || !this.times) return;
    this.asked = time;
    this.read();
  },
  // label shows the moments; 0 is now.
  label() {
    const text = (time) => (time ? when(time) + ' (' + ago(time) + ')' : 'now');
    this.moment.textContent = text(this.asked);
    this.other.textContent = text(this.until);
  },
  async revisionAt(time) { return time ? (await get('times', { at: time })).revision : (await get('times')).newest; },
  // read shows the moment that is asked for. Its address can be kept: it has the moment.
  async read() {
    if (place()[0] !== 'time') return; // the user has gone to another page while the times were read
    const mine = this.reading = {};
    fill(this.said);
    history.replaceState(null, '', link('time', { prefix: this.prefix, at: this.asked }));
    this.slider.value = this.asked ? Math.round(((this.asked - this.first) / Math.max(1, this.last - this.first)) * STEPS) : STEPS;
    this.label();
    let revision;
    try { revision = Math.max(await this.revisionAt(this.asked), this.times.oldest); } catch (refused) {
      if (this.reading !== mine) return;
      fill(this.tree.list);
      fill(this.tree.foot);
      this.comparing = null;
      fill(this.changes);
      fill(this.said, note(refused.message, 'bad'), button(refused.status === 410 ? 'Go to the oldest moment that is kept' : 'Try again', async () => {
        await this.load();
        if (!this.times) return;
        if (refused.status === 410) this.asked = this.first;
        await this.read();
      }));
      return;
    }
    if (this.reading !== mine) return;
    this.revision = revision;
    await Promise.all([this.tree.show(this.prefix, this.revision), this.compare()]);
    if (this.reading === mine && this.view.key) this.view.show(this.view.key, this.revision);
  },
  open(prefix, moved) {
    if (!moved) return go('time', { prefix, at: this.asked });
    this.prefix = prefix;
    this.tree.show(prefix, this.revision);
    this.compare();
  },
  async compare() {
    const title = this.toSecond.checked ? 'Changed between the two moments' : 'Changed since then';
    const mine = this.comparing = {};
    if (!mayRead(this.prefix)) return fill(this.changes, el('h2', {}, title), note('Choose a prefix that you may read.'));
    let c;
    try {
      let until = this.toSecond.checked ? await this.revisionAt(this.until) : 0, since = this.revision;
      if (until && until < since) [since, until] = [until, since];
      c = await get('changes', { prefix: this.prefix, since, revision: until });
    } catch (refused) { return this.comparing === mine && fill(this.changes, el('h2', {}, title), note(refused.message, 'bad'), button('Try again', () => this.compare())); }
    if (this.comparing !== mine) return;
    const total = c.created + c.changed + c.deleted;
    const tags = { created: ['add', 'created'], changed: ['mod', 'changed'], deleted: ['del', 'deleted'] };
    const rows = c.rows.map((r) => {
      const kind = !r.before.revision ? 'created' : !r.after.revision ? 'deleted' : 'changed', key = fromWire(r.key);
      return [el('span', { class: 'tag ' + tags[kind][0] }, tags[kind][1]), el('a', { class: 'key', href: '#', onclick: (e) => { e.preventDefault(); this.showChange(key, r); } }, brief(key)), (r.before.revision ? size(r.before.size) : '–') + ' → ' + (r.after.revision ? size(r.after.size) : '–')];
    });
    this.detail = el('div');
    const revert = !this.toSecond.checked && total > c.leased && mayWrite(this.prefix, true);
    fill(this.changes, el('h2', {}, title), el('p', { class: 'quiet' }, total ? plural(c.created, 'key', 'keys') + ' created, ' + count(c.changed) + ' changed, ' + count(c.deleted) + ' deleted' + (this.prefix ? ' below ' + brief(this.prefix) : '') + (c.more ? '; the first 1,000 are shown' : '') : 'Nothing changed' + (this.prefix ? ' below ' + brief(this.prefix) : '') + '.' + (this.asked || this.toSecond.checked ? '' : ' Move the slider to the left: this list then has all changes since that moment.')),
      revert ? el('div', { class: 'row' }, button('Revert ' + plural(total - c.leased, 'key', 'keys') + ' …', () => this.revert(c, total), { class: 'danger' }), el('span', { class: 'quiet' }, 'The list below is the preview.')) : null, this.detail, rows.length ? table([['What'], ['Key'], ['Size', true]], rows) : null);
  },
  async showChange(key, r) {
    const mine = this.changing = {};
    fill(this.detail, el('h2', { class: 'key title' }, show(key)), note('Loading …'));
    try {
      const [before, after] = await Promise.all([r.before, r.after].map((s) => (s.revision ? valueAt(key, s.revision) : new Uint8Array(0))));
      if (this.changing !== mine) return;
      fill(this.detail, el('h2', { class: 'key title' }, show(key)), diffView(before, after), el('div', { class: 'row' }, el('button', { type: 'button', onclick: () => this.view.show(key, this.revision) }, 'History')));
    } catch (refused) { if (this.changing === mine) fill(this.detail, note(refused.message, 'bad')); }
    this.detail.scrollIntoView({ block: 'nearest' });
  },
  async revert(c, total) {
    const text = el('div', {}, note((this.prefix ? 'All keys below ' + brief(this.prefix) : 'All keys') + ' become as they were at revision ' + c.since + ', ' + this.moment.textContent + ':'),
      el('ul', {}, el('li', {}, plural(c.created, 'key', 'keys') + ' created since then are deleted'), el('li', {}, plural(c.changed + c.deleted, 'key', 'keys') + ' changed or deleted since then are put'), c.leased ? el('li', {}, plural(c.leased, 'key', 'keys') + ' with a lease stay as they are') : null), note('Keys that are written meanwhile stay as they are. The state of now stays in the history.'));
    if (!await confirmed('Revert ' + plural(total - c.leased, 'key', 'keys') + '?', text, 'Revert')) return;
    const told = await reverting({ Prefix: this.prefix, To: c.since, Seen: c.until });
    await this.load();
    if (this.times) await this.read();
    this.said.prepend(told);
  },
};
