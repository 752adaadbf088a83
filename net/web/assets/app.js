// The frame: which page is shown, the login, the theme, and the state of the cluster, every two seconds while somebody looks.

const LOOK = 2000;
let current = null;

function link(page, parameters = {}) {
  const words = Object.entries(parameters).filter(([, v]) => v).map(([k, v]) => k + '=' + enc(String(v)));
  return '#/' + page + (words.length ? '?' + words.join('&') : '');
}
// go shows a page, or reads it again if it is shown.
function go(page, parameters) {
  const to = link(page, parameters);
  if (location.hash === to) restart(); else location.hash = to;
}
function place() {
  const [, name, query = ''] = location.hash.match(/^#\/(\w+)\??(.*)$/s) || ['', 'overview'];
  const parameters = Object.fromEntries(query.split('&').filter(Boolean).map((word) => { const at = word.indexOf('='); return [word.slice(0, at), dec(word.slice(at + 1))]; }));
  return [Object.hasOwn(pages, name) ? name : 'overview', parameters];
}
function turn() {
  const [name, parameters] = place();
  for (const a of document.querySelectorAll('nav a')) { if (a.dataset.page === name) a.setAttribute('aria-current', 'page'); else a.removeAttribute('aria-current'); }
  if (current === name && pages[name].moved) return pages[name].moved(parameters);
  if (current) pages[current].end?.();
  current = name;
  pages[name].begin(document.getElementById('main'), parameters);
}

// restart begins the current page again: what it shows may be of another user, or of a member that did not answer.
function restart() {
  if (current) pages[current].end?.();
  current = null;
  turn();
}

// The login: once for all requests that were refused meanwhile.
let asking = null;
function loginAgain() {
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById('login'), error = document.getElementById('login-error');
    const form = dialog.querySelector('form');
    sessionStorage.removeItem('qkv-token');
    let busy = false;
    form.onsubmit = async (e) => {
      e.preventDefault();
      if (busy) return;
      busy = true;
      const password = document.getElementById('login-password');
      try {
        const { token } = await post('login', { User: document.getElementById('login-name').value, Password: password.value });
        sessionStorage.setItem('qkv-token', token);
        error.textContent = '';
        form.onsubmit = null;
        asking = null;
        dialog.close();
        resolve();
      } catch (refused) { error.textContent = refused.status ? refused.message : 'This member does not answer.'; }
      password.value = '';
      busy = false;
    };
    dialog.onclose = () => { if (asking) dialog.showModal(); }; // Escape leads nowhere without a login
    if (!dialog.open) dialog.showModal();
  });
  return asking;
}
async function identify() {
  for (;;) {
    try {
      const u = await get('user');
      Object.assign(session, u, { ranges: u.ranges.map((r) => ({ key: fromWire(r.key), end: fromWire(r.end), read: r.read, write: r.write })) });
      break;
    } catch (refused) {
      if (refused.status === 401) { await loginAgain(); continue; }
      lost(refused);
      await new Promise((r) => setTimeout(r, LOOK));
    }
  }
  lost(null);
  document.getElementById('who').textContent = session.name || (session.auth ? '' : 'no login needed');
  document.getElementById('logout').hidden = !sessionStorage.getItem('qkv-token');
}
// lost tells that what the page shows is old. The last verdict is no longer shown as the state of now.
let lostAt = 0;
function lost(refused) {
  const at = document.getElementById('lost'), o = state.overview;
  lostAt = refused ? lostAt || Date.now() : 0;
  at.hidden = !refused;
  if (!refused) return;
  const others = (o ? o.members : []).filter((m) => m.name !== o.self && m.address).map((m) => m.name + ' at ' + m.address);
  const text = refused.message + (refused.status ? '' : ' The page shows the state before ' + clock(lostAt) + ', and asks again every ' + LOOK / 1000 + ' s.' + (others.length ? ' Other members: ' + others.join(', ') + '.' : ''));
  if (at.textContent !== text) at.textContent = text;
  const pill = document.getElementById('pill');
  pill.className = 'pill bad';
  pill.textContent = document.title = 'NO ANSWER';
}

async function look() {
  if (!document.hidden) {
    try {
      await refreshState();
      lost(null);
      if (state.overview.auth !== session.auth) { await identify(); restart(); } else pages[current]?.update?.();
    } catch (refused) {
      if (refused.status === 401) { await identify(); restart(); } else { lost(refused); pages[current]?.update?.(); }
    }
  }
  setTimeout(look, LOOK);
}

function theme(name) {
  document.documentElement.dataset.theme = name;
  pages[current]?.update?.();
}
theme(localStorage.getItem('qkv-theme') || (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'));
document.getElementById('theme').addEventListener('click', () => {
  const next = document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark';
  localStorage.setItem('qkv-theme', next);
  theme(next);
});
document.getElementById('logout').addEventListener('click', () => { sessionStorage.removeItem('qkv-token'); location.reload(); });
document.addEventListener('keydown', (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName) || document.querySelector('dialog[open]')) return;
  const page = ['overview', 'keys', 'time', 'live'][Number(e.key) - 1];
  if (page) go(page);
  if (e.key === '/') { document.querySelector('main input[type=search]')?.focus(); e.preventDefault(); }
});
document.addEventListener('visibilitychange', () => {
  pages[current]?.seen?.(!document.hidden);
  if (!document.hidden && state.overview) refreshState().then(() => pages[current]?.update?.(), () => {});
});

(async () => {
  await identify();
  await refreshState().catch(lost);
  addEventListener('hashchange', turn);
  turn();
  setTimeout(look, LOOK);
})();
