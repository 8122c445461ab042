// What is shown, and when it is asked for.

const MOST_CASES = 100;
const MOST_NODES = 200;
const MOST_EVENTS = 100;
const EVERY_MS = 2000;

const setFigures = figures(by('figures'));
const setProfiles = table(by('profiles'), 'Mode by profile as this hub’s configuration says it. Would-be blocks: requests that passed and that the hub would have blocked (where it is enforced: before the proxy knew)',
  [['profile'], ['mode'], ['enforced for', true], ['would-be blocks', true], ['blocked', true]], 'profile-table');
const setNodes = table(by('nodes'), 'Each node with its lag and what it has told',
  [['node'], ['heard', true], ['clock off', true], ['observations', true], ['lost', true], ['quota', true]], 'node-table');
const setDecided = table(by('decided'), 'Exceptions that stand, and until when',
  [['decided'], ['of'], ['reason'], ['until'], ['take back']], 'decided-table');

function showStatus(s) {
  say(by('policy'), `policy ${s.policy}`);
  say(by('version'), `version ${s.version}`);
  say(by('role'), s.role);
  by('role').className = s.role === 'active' ? 'good' : 'warn';
  say(by('store'), s.store.ok ? 'store: ok' : `store: ${s.store.error}`);
  by('store').className = s.store.ok ? 'good' : 'bad';
  const sum = (name) => s.profiles.reduce((n, p) => n + p[name], 0);
  const shadow = s.profiles.filter((p) => p.mode !== 'enforce').reduce((n, p) => n + p.would_block, 0);
  setFigures({
    'open cases': [number(s.cases)],
    'convicted keys': [number(s.convicted)],
    'would-be blocks': [number(shadow), 'in shadow mode'],
    blocked: [number(sum('blocked')), 'since this hub is active'],
    observations: [number(s.observations), `${number(s.lost)} lost`],
    keys: [number(s.keys), `of ${number(s.keys_capacity)}; ${number(s.keys_evicted)} evicted`],
    nodes: [number(s.nodes.length), s.nodes_clock_far ? `${s.nodes_clock_far} with a clock far off` : ''],
    memory: [bytes(s.resident_bytes), `in use; tables ${bytes(s.memory_bytes)}`],
    journal: [bytes(s.store.journal_bytes), `group ${number(s.store.position)}, checkpoint ${number(s.store.checkpoint)}`],
    clock: [moment(s.now_s), s.time_scale > 1 ? `runs ${number(s.time_scale)} times as fast` : ''],
  });
  setProfiles(s.profiles.map((p) => [p.profile, [p.profile, p.mode, p.mode === 'enforce' ? percent(p.enforce_percent) : '–',
    number(p.would_block), number(p.blocked)]]));
  // Those that lag most come first.
  const nodes = [...s.nodes].sort((a, b) => b.silent_ms - a.silent_ms).slice(0, MOST_NODES).sort((a, b) => a.node.localeCompare(b.node));
  setNodes(nodes.map((n) => [n.node, [n.node, `${span(n.silent_ms / 1000)} ago`, `${number(n.offset_ms)} ms`, number(n.observations),
    number(n.lost), percent(n.quota_used_percent)]]));
  say(by('more-nodes'), s.nodes.length ? `${nodes.length} of ${s.nodes.length} are shown: those that were silent longest.` : 'No node has been heard of.');
  show(by('more-nodes'), s.nodes.length !== nodes.length || !s.nodes.length);
}

/** One case: made once, then changed in place. */
function makeCase({ case: id }) {
  const [graph, draw] = curve();
  const [reasons, setReasons] = explanations();
  const [list, state, template, allows, inside] = [el('dl', { class: 'figures' }), el('span', { class: 'chip' }), el('code'), el('span'), el('div')];
  const set = figures(list);
  const title = el('h3', { id: `case-${id}` }, 'Case ', el('code', { text: id }));
  const more = el('details', {}, el('summary', { text: `Groups, nodes and keys of ${id}` }), inside);
  more.addEventListener('toggle', () => { if (more.open) details(id, inside); });
  const card = el('article', { class: 'case', 'aria-labelledby': `case-${id}`, 'data-case': id }, el('div', { class: 'head' }, title, state, template),
    el('div', { class: 'beside' }, el('div', {}, list, graph), reasons), el('div', { class: 'buttons' }, decides('release', 'case', id), allows), more);
  let allowed = '';
  return [card, (c) => {
    say(state, c.exception || 'open');
    say(template, c.template);
    if (c.template && allowed !== c.template && /^[tn]id:/.test(c.template)) {
      allowed = c.template;
      allows.replaceChildren(decides('allow', 'template', c.template));
    }
    set({
      keys: [number(c.keys), `${signed(c.grown.hour)} in an hour, ${signed(c.grown.day)} in a day`],
      'convicted keys': [number(c.convicted), `made within an hour ${number(c.made.hour)}, a day ${number(c.made.day)}, a week ${number(c.made.week)}`],
      requests: [number(c.requests)],
      'share π': [percent(c.campaign_percent), 'of the keys is the campaign’s'],
      nats: [number(c.nats), 'better than the best honest one'],
      since: [moment(c.since_s), `last ${moment(c.last_s)}`],
    });
    setReasons(c.explanations);
    draw(c.curve);
  }];
}

const setCases = keyed(by('cases'), makeCase);

function showCases({ cases }) {
  setCases(cases.slice(0, MOST_CASES), (c) => c.case);
  show(by('no-cases'), !cases.length);
  say(by('more-cases'), `${MOST_CASES} of ${cases.length} are shown: those with most convicted keys.`);
  show(by('more-cases'), cases.length > MOST_CASES);
}

/** Groups, nodes and some keys of a case. */
async function details(id, into) {
  try {
    const c = await ask(`/v1/cases/${id}`);
    const parts = el('div');
    table(parts, 'Its groups, strongest first', [['group'], ['state'], ['keys', true], ['requests', true], ['nats', true], ['share π', true], ['young', true], ['decide']])(
      c.groups.map((g) => [g.id, [g.id, `${g.axis}, ${g.state}`, number(g.keys), number(g.requests), number(g.nats), percent(g.campaign_percent), percent(g.young_percent),
        /^[tn]id:/.test(g.id) && g.axis !== 'profile' ? decides('allow', 'template', g.id) : '–']]));
    table(parts, 'Nodes that have seen its keys', [['node'], ['keys', true], ['of all', true]])(
      c.nodes.map((n) => [n.node, [n.node, number(n.keys), percent(n.percent)]]));
    table(parts, 'Some of its convicted keys', [['key'], ['look up']])(
      c.some_keys.map((k) => [k, [k, button('look up', () => lookUp(k, true), `look up ${k}`)]]));
    into.replaceChildren(parts);
  } catch (e) {
    into.replaceChildren(el('p', { class: 'soft', text: why(e, 'read') }));
  }
}

/** What the hub knows of an id that somebody has. `go`: the focus goes there. */
async function lookUp(id, go) {
  const into = by('found');
  by('id').value = id;
  try {
    if (/^kid:[0-9a-f]{16}$/i.test(id)) {
      const k = await ask(`/v1/keys/${id}`).catch((e) => { if (e.status === 404) return null; throw e; });
      const state = !k ? 'The hub knows nothing of this key.' : k.convicted ? `Convicted, case ${k.case}.` : 'Not convicted.';
      const decided = k && k.exception ? ` People: ${k.exception.verb} (${k.exception.reason}).` : '';
      const record = k && k.record ? el('details', {}, el('summary', { text: 'Its decision record' }), el('pre', { tabindex: '0', text: JSON.stringify(k.record, null, 1) })) : '';
      const all = ['release', 'allow', 'deny'].map((verb) => decides(verb, 'key', id));
      into.replaceChildren(el('h3', {}, 'Key ', el('code', { text: id })), el('p', { text: state + decided }), el('div', { class: 'buttons' }, ...all), record);
    } else if (/^[tn]id:[0-9a-f]{16}$/i.test(id)) {
      const all = ['release', 'allow'].map((verb) => decides(verb, 'template', id));
      into.replaceChildren(el('h3', {}, 'Template ', el('code', { text: id })), el('div', { class: 'buttons' }, ...all));
    } else if (/^[0-9a-f]{8}$/i.test(id)) {
      const c = await ask(`/v1/cases/${id}`);
      const told = c.told_to ? el('p', {}, 'This id was told to ', button(c.told_to, () => lookUp(c.told_to, true))) : '';
      into.replaceChildren(el('h3', {}, 'Case ', el('code', { text: c.case })), told, el('div', { class: 'buttons' }, decides('release', 'case', c.case)));
    } else {
      into.replaceChildren(el('p', { class: 'bad', text: 'An id is kid:, tid: or nid: and 16 hexadecimal digits, or the 8 of a case.' }));
    }
  } catch (e) {
    into.replaceChildren(el('p', { class: 'bad', text: e.status === 404 ? 'The hub knows no such case.' : why(e, 'read') }));
  }
  into.scrollIntoView({ block: 'nearest' });
  const title = into.querySelector('h3');
  if (go && title) {
    title.tabIndex = -1;
    title.focus();
  }
}

function showDecided({ exceptions, ids, most }) {
  setDecided(exceptions.map((x) => {
    const kind = ['key', 'template', 'case'].find((k) => x[k]);
    return [`${x.verb} ${x[kind]} ${x.until_s}`, [x.verb, `${kind} ${x[kind]}`, x.reason, moment(x.until_s), decides('undo', kind, x[kind])]];
  }));
  show(by('no-decided'), !exceptions.length);
  by('decided').querySelector('caption').textContent = `Exceptions that stand, and until when; ${number(ids)} of ${number(most)} ids`;
}

const SAID = {
  case_opened: (f) => `case ${f.case} is open`,
  case_ended: (f) => `case ${f.case} has ended`,
  convicted: (f) => `${number(f.of)} convicted, case ${f.case}: `,
  acquitted: (f) => `${number(f.of)} acquitted, case ${f.case}: `,
  act: (f) => `people: ${f.verb} ${f.key || f.template || f.case}: ${f.reason}`,
  exception_ended: (f) => `has ended: ${f.verb} ${f.key || f.template || f.case}`,
  missed: (f) => `this page was too slow for ${number(f.events)} changes`,
};

function showEvent(event, f) {
  if (!SAID[event]) return;
  const now = new Date();
  const line = el('li', { 'data-event': event }, el('time', { datetime: now.toISOString(), text: now.toTimeString().slice(0, 8) }), SAID[event](f));
  (f.keys || []).slice(0, 3).forEach((k, i) => line.append(i ? ', ' : '', el('code', { text: k })));
  if (f.of > 3) line.append(' …');
  const list = by('events').firstElementChild;
  list.prepend(line);
  while (list.children.length > MOST_EVENTS) list.lastChild.remove();
  show(by('no-events'), false);
  clearTimeout(soon);
  soon = setTimeout(refresh, 150);
}

let soon = 0;
let next = 0;
let turn = 0;

/** Asks for everything and shows it. Of two that overlap the later one counts. */
async function refresh() {
  const mine = turn += 1;
  const began = performance.now();
  clearTimeout(next);
  try {
    const [status, cases, decided] = await Promise.all(['/v1/status', '/v1/cases', '/v1/exceptions'].map((path) =>
      // A hub that stands by tells its state alone.
      ask(path).catch((e) => { if (path !== '/v1/status' && e.status === 503) return null; throw e; })));
    if (mine !== turn) return;
    showStatus(status);
    if (cases) showCases(cases);
    if (decided) showDecided(decided);
    show(by('notice'), false);
  } catch (e) {
    if (mine !== turn) return;
    say(by('notice'), why(e, 'read'));
    show(by('notice'), true);
    if (e.status === 401) by('tokens-box').open = true;
  }
  // A large hub is asked less often: at most a twentieth of the time.
  if (!document.hidden) next = setTimeout(refresh, Math.max(EVERY_MS, 20 * (performance.now() - began)));
}

let stream = null;

/** Listens for ever, with a pause that grows while nobody answers. */
async function follow() {
  if (stream) stream.abort();
  const mine = stream = new AbortController();
  let pause = 500;
  while (!mine.signal.aborted) {
    try {
      await listen(mine.signal, () => {
        pause = 500;
        say(by('stream'), 'live');
        by('stream').className = 'good';
      }, showEvent);
    } catch (e) {
      // Without a token it is tried again when there is one.
      if (e.status === 401 || mine.signal.aborted) pause = 3600e3;
    }
    if (mine.signal.aborted) return;
    say(by('stream'), 'not live');
    by('stream').className = 'warn';
    await new Promise((go) => { setTimeout(go, pause); mine.signal.addEventListener('abort', go); });
    pause = Math.min(pause * 2, 15000);
  }
}

/** Does everybody who reaches this listener read? */
const isOpen = document.body.dataset.reading === 'open';

function again() {
  const held = [[readToken, 'the token to read'], [actToken, 'the token to act']].filter(([token]) => token).map(([, name]) => name);
  say(by('held'), held.length ? `In use: ${held.join(', ')}.` : isOpen ? 'No token is needed to read.' : 'Reading needs a token.');
  if (!isOpen && !held.length) {
    by('tokens-box').open = true;
    say(by('notice'), 'Give the token to read, below: this hub tells nobody anything without it.');
    show(by('notice'), true);
    clearTimeout(next);
    turn += 1;
    if (stream) stream.abort();
    return;
  }
  refresh();
  follow();
}

function clearFields() { ['read-token', 'act-token', 'act-token-now'].forEach((id) => { by(id).value = ''; }); }

by('tokens').addEventListener('submit', (event) => {
  event.preventDefault();
  readToken = by('read-token').value.trim() || readToken;
  actToken = by('act-token').value.trim() || actToken;
  clearFields();
  again();
});
by('forget').addEventListener('click', () => {
  [readToken, actToken] = ['', ''];
  clearFields();
  again();
});
by('find').addEventListener('submit', (event) => {
  event.preventDefault();
  lookUp(by('id').value.trim());
});
by('act-form').addEventListener('submit', act);
by('act-not').addEventListener('click', () => by('act').close());
document.addEventListener('visibilitychange', () => { if (!document.hidden) refresh(); });
again();
