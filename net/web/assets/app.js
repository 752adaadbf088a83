// The frame: which page is shown, the login, the theme, and the state of the cluster, every two seconds while somebody looks.

const LOOK = 2000;
let current = null;

function link(page, parameters = {}) {
  const words = Object.entries(parameters).filter(([, v]) => v).map(([k, v]) => k + '=' + enc(String(v)));
  return '#/' + page + (words.length ? '?' + words.join('&') : '');
}
function go(page, parameters) { location.hash = link(page, parameters); }
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

// The login: once for all requests that were refused meanwhile.
let asking = null;
function loginAgain() {
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById('login'), error = document.getElementById('login-error');
    const form = dialog.querySelector('form');
    sessionStorage.removeItem('qkv-token');
    form.onsubmit = async (e) => {
      e.preventDefault();
      const password = document.getElementById('login-password');
      try {
        const { token } = await post('login', { User: document.getElementById('login-name').value, Password: password.value });
        sessionStorage.setItem('qkv-token', token);
        error.textContent = '';
        form.onsubmit = null;
        dialog.close();
        asking = null;
        resolve();
      } catch (refused) { error.textContent = refused.message; }
      password.value = '';
    };
    dialog.oncancel = (e) => e.preventDefault();
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
      lost(refused.message);
      await new Promise((r) => setTimeout(r, LOOK));
    }
  }
  lost('');
  document.getElementById('who').textContent = session.name || (session.auth ? '' : 'no login needed');
  document.getElementById('logout').hidden = !sessionStorage.getItem('qkv-token');
}
function lost(text) {
  const at = document.getElementById('lost');
  at.hidden = !text;
  at.textContent = text;
}

async function look() {
  if (!document.hidden) {
    try {
      await refreshState();
      lost('');
      pages[current]?.update?.();
    } catch (refused) {
      if (refused.status === 401) { await identify(); turn(); } else lost(refused.message);
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
document.addEventListener('visibilitychange', () => { if (!document.hidden && state.overview) refreshState().then(() => pages[current]?.update?.(), () => {}); });

(async () => {
  await identify();
  await refreshState().catch((refused) => lost(refused.message));
  addEventListener('hashchange', turn);
  turn();
  setTimeout(look, LOOK);
})();
