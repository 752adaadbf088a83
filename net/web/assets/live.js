// Changes as they happen, and who holds what.

const FEED_ROWS = 300;
const SILENCE = 40000; // a member sends a sign of life every 15 s

// rangeText describes a range of keys.
function rangeText(key, end) {
  if (end === '') return brief(key);
  if (end === '\0') return key <= '\0' ? 'all keys' : 'from ' + brief(key) + ' on';
  return prefixEnd(key) === end ? 'keys below ' + brief(key) : brief(key) + ' to before ' + brief(end);
}

pages.live = {
  begin(main, parameters) {
    this.paused = false;
    this.rows = el('tbody');
    this.told = el('span', { class: 'quiet', 'aria-live': 'polite' });
    this.filter = el('input', { type: 'search', class: 'wide mono', placeholder: 'Prefix, as /registry/pods/', 'aria-label': 'Show changes below this prefix', onchange: () => go('live', { prefix: keyOf(this.filter.value) }) });
    this.pause = el('button', { type: 'button', 'aria-pressed': 'false', onclick: () => this.setPaused(!this.paused) }, 'Pause');
    this.leases = el('section', { class: 'card' });
    this.clients = el('section', { class: 'card' });
    fill(main, el('section', { class: 'card' }, el('h1', {}, 'Changes'), el('div', { class: 'row' }, this.filter, this.pause, el('button', { type: 'button', onclick: () => fill(this.rows) }, 'Clear')), this.told,
      el('div', { class: 'feed', tabindex: '0' }, el('table', {}, this.rows))), el('div', { class: 'grid' }, this.leases, this.clients));
    this.moved(parameters);
    this.looking = {};
    this.lookAgain(this.looking);
  },
  end() { this.looking = null; this.stream?.abort(); },
  async lookAgain(mine) {
    while (this.looking === mine) {
      if (!document.hidden) await this.look();
      await new Promise((r) => setTimeout(r, 3000));
    }
  },
  // seen ends the stream while the tab is hidden: a browser has six connections to a member for all of its tabs.
  seen(visible) {
    if (!visible) { this.hidden = Date.now(); this.stream?.abort(); return; }
    if (!this.hidden) return;
    const since = this.hidden;
    this.hidden = 0;
    this.rows.prepend(el('tr', {}, el('td', { class: 'quiet' }, clock(Date.now())), el('td', { class: 'warn', colspan: 4 }, 'The page was hidden since ' + clock(since) + '. ', el('a', { href: link('time', { prefix: this.prefix, at: since }) }, 'What changed meanwhile'))));
    this.follow();
  },
  moved(parameters) {
    this.prefix = parameters.prefix ?? (mayRead('') ? '' : roots()[0] ?? '');
    this.hidden = 0;
    this.filter.value = show(this.prefix);
    fill(this.rows);
    this.follow();
  },
  setPaused(paused) {
    this.paused = paused;
    this.pause.setAttribute('aria-pressed', String(paused));
    this.pause.textContent = paused ? 'Go on' : 'Pause';
    this.tell();
  },
  tell(text) {
    this.text = text ?? this.text;
    this.told.textContent = (this.paused ? 'Paused; ' + plural(this.missed || 0, 'change', 'changes') + ' since then. ' : '') + this.text;
    if (!this.paused) this.missed = 0;
  },
  // follow reads the stream of changes, and begins again if it ends. fetch is used, since an EventSource sends no header.
  async follow() {
    this.stream?.abort();
    const mine = this.stream = new AbortController();
    for (let wait = 500; !mine.signal.aborted; wait = Math.min(wait * 2, 8000)) {
      try {
        const answer = await request('live', { prefix: this.prefix }, { signal: mine.signal });
        this.tell('Connected.');
        wait = 500;
        await this.readAll(answer.body.pipeThrough(new TextDecoderStream()).getReader());
        this.tell('The stream has ended. Connecting again …');
      } catch (refused) {
        if (mine.signal.aborted) return;
        this.tell(refused.message + (refused.status ? '' : ' Connecting again …'));
        if (refused.status === 403) return;
        if (refused.status === 401) return; // look, the frame's own question, asks for the login
      }
      await new Promise((r) => setTimeout(r, wait));
    }
  },
  async readAll(reader) {
    try { await this.readEach(reader); } finally { reader.cancel().catch(() => {}); }
  },
  async readEach(reader) {
    for (let left = ''; ;) {
      let silent;
      const { value, done } = await Promise.race([reader.read(), new Promise((_, no) => { silent = setTimeout(() => no(new Refusal(0, 'This member has sent nothing for ' + SILENCE / 1000 + ' s.')), SILENCE); })]).finally(() => clearTimeout(silent));
      if (done) return;
      left += value;
      const all = left.split('\n\n');
      left = all.pop();
      for (const one of all) {
        const data = one.split('\n').find((line) => line.startsWith('data: '));
        if (!data) continue;
        const message = JSON.parse(data.slice(6));
        if (message.error) throw new Refusal(0, message.error);
        this.add(message);
      }
    }
  },
  add({ events, skipped }) {
    if (this.paused) { this.missed = (this.missed || 0) + events.length + skipped; return this.tell(); }
    const now = clock(Date.now());
    const rows = events.map((e) => {
      const key = fromWire(e.key), what = e.deleted ? ['del', 'deleted'] : e.version === 1 ? ['add', 'created'] : ['mod', 'changed'];
      return el('tr', {}, el('td', { class: 'quiet' }, now), el('td', {}, el('span', { class: 'tag ' + what[0] }, what[1])), el('td', { class: 'key' }, el('a', { href: link('keys', { prefix: key.slice(0, key.lastIndexOf('/') + 1), key }) }, brief(key))), el('td', { class: 'num hide' }, e.deleted ? '' : size(e.size)), el('td', { class: 'num quiet hide' }, 'revision ' + e.revision));
    });
    if (skipped > 0) rows.push(el('tr', {}, el('td', { class: 'quiet' }, now), el('td', { class: 'warn', colspan: 4 }, plural(skipped, 'more change', 'more changes') + ' in this moment: too many to show')));
    this.rows.prepend(...rows.reverse());
    while (this.rows.children.length > FEED_ROWS) this.rows.lastElementChild.remove();
  },
  async look() {
    try {
      const h = await get('holders');
      const held = h.leases.flatMap((l) => l.locks.map((k) => [show(fromWire(k.name)), !k.known ? el('span', { class: 'tag' }, 'not known') : k.holds ? el('span', { class: 'tag add' }, 'holds') : el('span', { class: 'tag' }, 'waits'), el('span', { class: 'mono' }, l.id), l.left < 0 ? '–' : l.left + ' s'])).sort((a, b) => (a[0] < b[0] ? -1 : 1));
      fill(this.leases, el('h2', {}, 'Locks and elections'), held.length ? table([['Name', false, 'key'], [''], ['Lease'], ['Left', true]], held) : note('None is held.'), el('h2', {}, 'Leases'), h.leases.length ? table([['Lease'], ['Left', true], ['Keys', false, 'key']], h.leases.slice(0, 100).map((l) => [el('span', { class: 'mono' }, l.id), (l.left < 0 ? '–' : l.left) + ' of ' + l.granted + ' s', [l.keys.slice(0, 5).map((k) => show(fromWire(k))).join(', '), l.keys.length > 5 || l.more ? ' and more' : ''].join('') || el('span', { class: 'quiet' }, 'no keys')])) : note('There are none.'), h.more || h.leases.length > 100 ? note('The first ' + Math.min(100, h.leases.length) + (h.more ? ' leases' : ' of ' + count(h.leases.length) + ' leases') + ' are shown' + (h.more ? ', and the locks of the first ' + count(h.leases.length) + '; `qkv lease list` prints all.' : '.')) : null);
    } catch (refused) { fill(this.leases, el('h2', {}, 'Leases'), note(refused.message, 'bad')); }
    if (!mayEverything()) return fill(this.clients, el('h2', {}, 'Clients'), note('An administrator sees the clients of this member.'));
    try {
      const c = await get('clients');
      fill(this.clients, el('h2', {}, 'Clients of ' + (state.overview?.self ?? 'this member')), c.clients.length ? table([['Name', false, 'key'], ['API'], ['Connections', true], ['Requests', true], ['Watches', true], ['Unread', true]], c.clients.map((one) => [one.name, one.api, count(one.connections), count(one.requests), count(one.watches), el('span', { class: one.waiting > 1 << 20 ? 'warn' : null }, size(one.waiting) + (one.waiting > 1 << 20 ? ' slow' : ''))])) : note('None is connected.'),
        el('h2', {}, 'Slow watches of etcd’s clients'), c.slow.length ? table([['Client', false, 'key'], ['Watches', false, 'key'], ['Waits for', true], ['Behind', true], ['Unread', true]], c.slow.map((w) => [w.client, rangeText(fromWire(w.key), fromWire(w.end)), w.for + ' s', plural(w.behind, 'revision', 'revisions'), size(w.unread)])) : note('None: each client reads its events as they come.'));
    } catch (refused) { fill(this.clients, el('h2', {}, 'Clients'), note(refused.message, 'bad')); }
  },
};
