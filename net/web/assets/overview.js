// The overview: the verdict in words first, then what to do, then figures.

const KINDS = ['puts', 'gets', 'watch events'];

function kindOf(word) { return word === 'HEALTHY' ? 'good' : word === 'DEGRADED' ? 'warn' : 'bad'; }

// state is the last answer to an overview request; all pages show its verdict.
const state = { overview: null, points: [] };
const PATIENCE = 8000; // for an answer that is a few kilobytes long
async function refreshState() {
  const last = state.points.length ? state.points[state.points.length - 1].end : 0;
  const o = await get('overview', { after: last }, { signal: AbortSignal.timeout(PATIENCE) });
  if (state.overview && state.overview.self !== o.self) state.points = o.points;
  state.points = state.points.concat(o.points.filter((p) => p.end > last)).slice(-180);
  state.overview = o;
  const pill = document.getElementById('pill');
  pill.className = 'pill ' + kindOf(o.verdict.word);
  pill.textContent = o.verdict.word;
  document.title = (o.verdict.word === 'HEALTHY' ? '' : o.verdict.word + ' – ') + 'qkv';
}

const pages = {};
pages.overview = {
  begin(main) {
    this.verdict = el('section', { class: 'card verdict', 'aria-live': 'polite' });
    this.alarms = el('section', { class: 'card', hidden: true });
    this.members = el('section', { class: 'card' });
    this.links = el('section', { class: 'card' });
    this.findings = el('section', { class: 'card' });
    this.rates = el('section', { class: 'card' });
    this.latency = el('section', { class: 'card' });
    fill(main, this.verdict, this.alarms, this.members, el('div', { class: 'grid' }, this.rates, this.latency), el('div', { class: 'grid' }, this.links, this.findings));
    this.charts = null;
    this.update();
  },
  end() { this.charts?.forEach((c) => c.destroy()); this.charts = null; },
  update() {
    const o = state.overview;
    if (!o) return;
    const kind = kindOf(o.verdict.word);
    this.verdict.className = 'card verdict ' + (lostAt ? 'old-box' : { good: '', warn: 'warn-box', bad: 'bad-box' }[kind]);
    fill(this.verdict, lostAt ? el('p', { class: 'quiet' }, 'At ' + clock(o.now) + ', the last answer:') : null, el('h1', { class: lostAt ? 'quiet' : kind }, el('strong', {}, o.verdict.word), el('span', { class: lostAt ? 'quiet' : 'ink' }, o.verdict.why)), o.verdict.next ? el('p', {}, 'Next: ', code(o.verdict.next)) : null);
    this.alarms.hidden = o.alarms.length === 0;
    fill(this.alarms, el('h2', {}, 'Alarms and notices'), table([['Name'], ['Member'], ['What'], ['What to do']], o.alarms.map((a) => [el('strong', { class: a.notice ? 'warn' : 'bad' }, a.name), a.member, a.text, code(a.do)])));
    fill(this.members, el('h2', {}, 'Members'), memberTable(o), el('p', { class: 'quiet foot' }, 'Lag: entries of the log that a member has not applied yet. Disk sync: 99 of 100 writes to its disk are quicker.'));
    fill(this.links, el('h2', {}, 'Connections between members'), linkPicture(o.members));
    fill(this.findings, el('h2', {}, 'Checks'), o.findings.length === 0 ? note('No check found anything. `qkv doctor` makes more checks.', 'good') : table([['Check'], ['Finding'], ['What to do']], o.findings.map((f) => [el('span', { class: f.level === 'failure' ? 'bad' : 'warn' }, f.id), f.text, code(f.do)])));
    this.draw(o);
  },
  draw(o) {
    const p = state.points, x = p.map((one) => one.end / 1000);
    const rates = [x, ...KINDS.map((_, k) => p.map((one) => one.rates[k]))];
    const p99 = [x, ...KINDS.map((_, k) => p.map((one) => one.p99_ms[k] || null))];
    if (!this.charts || this.theme !== document.documentElement.dataset.theme) {
      this.end();
      this.theme = document.documentElement.dataset.theme;
      const at = [[this.rates, 'Operations per second of the clients of ' + o.self, rates, (v) => (v === null ? '–' : count(v))], [this.latency, 'Their latency in ms: 99 of 100 are quicker', p99, (v) => (v === null ? '–' : v.toFixed(2))]];
      this.charts = at.map(([where, title, data, format]) => {
        fill(where, el('h2', {}, title));
        return chart(where, data, format);
      });
      return;
    }
    this.charts[0].setData(rates);
    this.charts[1].setData(p99);
  },
};

function css(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }
function chart(where, data, format) {
  const axis = { stroke: css('--quiet'), grid: { stroke: css('--line'), width: 1 }, ticks: { stroke: css('--line') } };
  const wide = () => Math.max(240, where.clientWidth - 34);
  const made = new uPlot({
    width: wide(), height: 190, cursor: { y: false }, scales: { x: { range: () => [Date.now() / 1000 - 900, Date.now() / 1000] }, y: { range: (u, min, max) => [0, Math.max(max || 0, 1) * 1.05] } },
    axes: [{ ...axis, values: (u, all) => all.map((v) => new Date(v * 1000).toLocaleTimeString('sv-SE').slice(0, 5)), incrs: [60, 180, 300, 900] }, { ...axis, size: 54 }],
    series: [{ value: (u, v) => (v === null ? '–' : clock(v * 1000)) }, ...KINDS.map((label, k) => ({ label, stroke: css('--c' + (k + 1)), width: 1.6, points: { show: false }, dash: [[], [6, 3], [2, 3]][k], value: (u, v) => format(v) }))],
  }, data, where);
  new ResizeObserver(() => { if (where.isConnected) made.setSize({ width: wide(), height: 190 }); }).observe(where);
  return made;
}

// code shows a sentence whose parts between ` are commands.
function code(text) { return el('span', {}, text.split('`').map((part, i) => (i % 2 ? el('code', { class: 'mono' }, part) : part))); }

function gauge(used, all) {
  if (!all) return '–';
  const share = Math.min(1, used / all), bar = el('i');
  bar.style.width = Math.round(share * 100) + '%';
  return [el('span', { class: 'meter' + (share > 0.9 ? ' bad' : share > 0.8 ? ' warn' : ''), role: 'img', 'aria-label': Math.round(share * 100) + ' % used' }, bar)];
}
function memberTable(o) {
  const heads = [['Member'], ['Role'], ['Lag', true], ['Disk sync', true], ['Disk free', true], ['Memory', true], ['Keys', true], ['Puts/s', true], ['Gets/s', true], ['Watches', true], ['Version']];
  return table(heads, o.members.map((m) => {
    const f = m.figures;
    const name = [el('strong', {}, m.name), m.name === o.self ? el('span', { class: 'quiet' }, ' (this page)') : null, el('div', { class: 'quiet mono address' }, m.address)].filter(Boolean);
    if (m.error) return [name, el('span', { class: 'bad' }, 'no answer'), '–', '–', '–', '–', '–', '–', '–', '–', m.version].map((c, i) => (i === 1 ? [c, el('div', { class: 'quiet' }, m.error)] : c));
    return [name, el('span', { class: m.role === 'leader' ? 'good' : m.role === 'suspended' ? 'bad' : null }, m.role), el('span', { class: m.lag >= 1000 ? 'warn' : null }, count(m.lag)), el('span', { class: f.sync_p99_ms >= 100 ? 'warn' : null }, ms(f.sync_p99_ms)), [gauge(f.disk_bytes - f.disk_free_bytes, f.disk_bytes), size(f.disk_free_bytes)].flat(), f.memory_bytes ? size(f.memory_bytes) : '–', count(f.keys), count(f.puts_per_s), count(f.gets_per_s), count(f.watches), m.version];
  }));
}

// linkPicture draws the members on a circle. A line has the colour of its worse direction.
function linkPicture(members) {
  const picture = svg('svg', { class: 'links', viewBox: '0 0 420 260', role: 'img', 'aria-label': describeLinks(members) });
  const at = {};
  members.forEach((m, i) => {
    const angle = (2 * Math.PI * i) / members.length - Math.PI / 2;
    at[m.name] = [210 + (members.length > 1 ? 140 * Math.cos(angle) : 0), 130 + (members.length > 1 ? 90 * Math.sin(angle) : 0)];
  });
  members.forEach((a, i) => members.slice(0, i).forEach((b) => {
    const both = [a.links.find((l) => l.member === b.name), b.links.find((l) => l.member === a.name)].filter((l) => l);
    const up = both.length > 0 && both.every((l) => l.connected), rtt = Math.max(0, ...both.map((l) => l.rtt_ms));
    const [x1, y1] = at[a.name], [x2, y2] = at[b.name];
    const text = up ? ms(rtt) : 'none', x = (x1 + x2) / 2, y = (y1 + y2) / 2;
    picture.append(svg('line', { x1, y1, x2, y2, class: !up ? 'bad' : rtt > 50 ? 'warn' : 'good' }), svg('rect', { x: x - 4 * text.length, y: y - 8, width: 8 * text.length, height: 16 }), svg('text', { x, y: y + 4, class: 'rtt', 'text-anchor': 'middle' }, text));
  }));
  for (const m of members) {
    const [x, y] = at[m.name];
    picture.append(svg('circle', { cx: x, cy: y, r: m.role === 'leader' ? 17 : 13, class: m.error || m.role === 'suspended' ? 'bad' : 'good' }), svg('text', { x, y: y + 32, 'text-anchor': 'middle' }, m.name + (m.role === 'leader' ? ' leads' : '')));
  }
  return picture;
}
function describeLinks(members) {
  const none = members.flatMap((m) => m.links.filter((l) => !l.connected).map((l) => m.name + ' has no connection to ' + l.member));
  return none.length ? none.join(', ') : 'All members are connected.';
}
