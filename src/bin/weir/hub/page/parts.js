// Parts of the page. Texts go in as text alone: nothing here takes HTML.

const SVG = 'http://www.w3.org/2000/svg';
const by = (id) => document.getElementById(id);

/** An element with properties (`class`, `text`, attributes) and children. */
function el(tag, props = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === 'text') e.textContent = value;
    else if (name === 'class') e.className = value;
    else if (value !== undefined) e.setAttribute(name, value);
  }
  e.append(...children);
  return e;
}

/** Sets a text if it is another one: what a reader hears or has marked stays. */
function say(e, text) {
  const to = text === null || text === undefined ? '–' : String(text);
  if (e.textContent !== to) e.textContent = to;
}

function show(e, is) { e.hidden = !is; }

function button(text, does, label) {
  const b = el('button', { type: 'button', text, 'aria-label': label });
  b.addEventListener('click', does);
  return b;
}

const number = (n) => (n === null || n === undefined ? '–' : n.toLocaleString('en'));
const percent = (n) => (n === null || n === undefined ? '–' : `${n} %`);
const signed = (n) => (n === null || n === undefined ? '–' : (n > 0 ? '+' : '') + number(n));

function bytes(n) {
  if (n === null || n === undefined) return '–';
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) { n /= 1024; i += 1; }
  return `${n.toLocaleString('en', { maximumFractionDigits: i ? 1 : 0 })} ${units[i]}`;
}

/** A time span in words, seconds. */
function span(s) {
  const of = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']].find(([size]) => Math.abs(s) >= size) || [1, 's'];
  return `${(s / of[0]).toLocaleString('en', { maximumFractionDigits: Math.abs(s) < 10 * of[0] && of[0] > 1 ? 1 : 0 })} ${of[1]}`;
}

/** A moment of the hub's clock. */
const moment = (s) => (s ? new Date(s * 1000).toISOString().slice(0, 16).replace('T', ' ') + ' UTC' : '–');

/** Figures with names: `set({name: [text, beneath]})` changes what has changed. */
function figures(list) {
  const of = new Map();
  return (all) => {
    for (const [name, [text, beneath]] of Object.entries(all)) {
      if (!of.has(name)) {
        const parts = [el('dt', { text: name }), el('dd'), el('dd')];
        list.append(el('div', {}, ...parts));
        of.set(name, parts);
      }
      const [, value, more] = of.get(name);
      say(value, text);
      say(more, beneath || '');
      show(more, Boolean(beneath));
    }
  };
}

/** A table whose rows are known by a key and changed in place. `columns`: [head, is a number]; a cell is a text or a node. */
function table(into, caption, columns, id) {
  const body = el('tbody');
  // Said again, because a table that is laid out as cards is none to all readers.
  const head = el('tr', { role: 'row' }, ...columns.map(([text, n]) => el('th', { scope: 'col', role: 'columnheader', text, class: n ? 'number' : '' })));
  body.setAttribute('role', 'rowgroup');
  const whole = el('table', { class: 'wide', id, role: 'table' }, el('caption', { text: caption }), el('thead', { role: 'rowgroup' }, head), body);
  into.append(whole);
  const rows = new Map();
  return (all) => {
    show(whole, all.length > 0);
    const keep = new Set();
    all.forEach(([key, cells], at) => {
      keep.add(key);
      if (!rows.has(key)) {
        const made = columns.map(([text, n]) => el('td', { role: 'cell', 'data-head': text, class: n ? 'number' : '' }));
        made.forEach((td, i) => td.append(cells[i] instanceof Node ? cells[i] : el('span')));
        rows.set(key, [el('tr', { role: 'row', 'data-key': key }, ...made), made]);
      }
      const [row, made] = rows.get(key);
      made.forEach((td, i) => { if (!(cells[i] instanceof Node)) say(td.firstChild, cells[i]); });
      if (body.children[at] !== row) body.insertBefore(row, body.children[at] || null);
    });
    for (const [key, [row]] of rows) if (!keep.has(key)) { row.remove(); rows.delete(key); }
  };
}

/** Elements that are known by a key: made once, changed in place, in order, gone when they are not listed. */
function keyed(into, make) {
  const known = new Map();
  return (all, key) => {
    const keep = new Set(all.map(key));
    for (const [k, [e]] of known) if (!keep.has(k)) { e.remove(); known.delete(k); }
    all.forEach((item, at) => {
      if (!known.has(key(item))) known.set(key(item), make(item));
      const [e, change] = known.get(key(item));
      change(item);
      // Moving an element takes the focus from it.
      if (into.children[at] !== e) into.insertBefore(e, into.children[at] || null);
    });
  };
}

/** A curve of [time, keys, convicted]. The figures beside it say the same in words. */
function curve() {
  const svg = document.createElementNS(SVG, 'svg');
  const lines = ['keys', 'convicted'].map((name) => {
    const line = document.createElementNS(SVG, 'polyline');
    line.setAttribute('class', name);
    svg.append(line);
    return line;
  });
  svg.setAttribute('viewBox', '0 0 100 30');
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('aria-hidden', 'true');
  const beneath = el('figcaption', { class: 'soft' });
  const whole = el('figure', {}, svg, beneath);
  return [whole, (points) => {
    show(whole, points.length > 1);
    if (points.length < 2) return;
    const [first, last] = [points[0], points[points.length - 1]];
    const most = Math.max(1, ...points.map((p) => p[1]), ...points.map((p) => p[2]));
    lines.forEach((line, i) => {
      const at = (p) => `${((p[0] - first[0]) / Math.max(1, last[0] - first[0])) * 100},${29 - (p[i + 1] / most) * 28}`;
      line.setAttribute('points', points.map(at).join(' '));
    });
    say(beneath, `keys, and convicted keys, within ${span(last[0] - first[0])}: from ${number(first[1])} and ${number(first[2])} to ${number(last[1])} and ${number(last[2])}`);
  }];
}

/** Explanations beside each other, the best first: what of each is behind it, in nats. */
function explanations() {
  const body = el('tbody');
  const head = el('tr', {}, el('th', { scope: 'col', text: 'explanation' }), el('th', { scope: 'col', text: 'behind the best' }), el('th', { scope: 'col', class: 'number', text: 'nats' }));
  const whole = el('table', { class: 'explanations' }, el('caption', { text: 'Explanations of its strongest group' }), el('thead', {}, head), body);
  const change = keyed(body, ([name]) => {
    const [bar, nats] = [el('div'), el('td', { class: 'number' })];
    const row = el('tr', { class: name === 'campaign' ? 'campaign' : '', 'data-key': name }, el('th', { scope: 'row', text: name }), el('td', { class: 'bar' }, bar), nats);
    return [row, ([, n, most]) => {
      say(nats, number(n));
      bar.style.width = `${Math.round((Math.abs(n) / most) * 100)}%`;
    }];
  });
  return [whole, (of) => {
    const all = Object.entries(of || {}).sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]));
    const most = Math.max(1, ...all.map(([, n]) => Math.abs(n)));
    show(whole, all.length > 0);
    change(all.map(([name, n]) => [name, n, most]), ([name]) => name);
  }];
}
