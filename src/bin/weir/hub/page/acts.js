// Who asks the hub, and what people decide. Tokens are two variables of this page: they go into a header and nowhere else.

let readToken = '';
let actToken = '';

/** An answer that is no reply. */
class Refused extends Error {
  constructor(status, kind, message) {
    super(message);
    Object.assign(this, { status, kind });
  }
}

function headers(token) { return token ? { authorization: `Bearer ${token}` } : {}; }

async function refused(r) {
  const told = await r.json().catch(() => ({}));
  return new Refused(r.status, told.error || '', told.message || `the hub answers ${r.status}`);
}

/** Asks a path; `body`: acts. */
async function ask(path, body) {
  const token = body ? actToken : readToken || actToken;
  const how = body ? { method: 'POST', body: JSON.stringify(body) } : {};
  const r = await fetch(path, { ...how, headers: headers(token), cache: 'no-store', credentials: 'omit', signal: AbortSignal.timeout(15000) });
  if (!r.ok) throw await refused(r);
  return r.json();
}

const WHAT = {
  release: 'is judged by limits alone, and nothing is learned from it. A case is released with its values: its keys are free.',
  allow: 'passes, whatever is known of it.',
  deny: 'is refused.',
  undo: 'What was decided of it ends.',
};

/** The dialog of an act: [verb, what it is of, its id], and what follows when it is in force. */
let asked = null;

function decide(verb, kind, id) {
  asked = { verb, kind, id };
  say(by('act-title'), `${verb} ${kind} ${id}`);
  say(by('act-what'), verb === 'undo' ? WHAT.undo : `The ${kind} ${WHAT[verb]} In force in every worker of every node after its next exchange.`);
  say(by('act-do'), `${verb} ${kind}`);
  show(by('act-ends'), verb !== 'undo');
  show(by('act-token-box'), !actToken);
  show(by('act-error'), false);
  by('act').showModal();
  by('reason').focus();
}

/** A button that opens the dialog. */
const decides = (verb, kind, id) => button(`${verb} ${kind}`, () => decide(verb, kind, id), `${verb} ${kind} ${id}`);

async function act(event) {
  event.preventDefault();
  const { verb, kind, id } = asked;
  const fresh = by('act-token-now').value.trim();
  if (fresh) actToken = fresh;
  by('act-do').disabled = true;
  try {
    const body = { [kind]: id, reason: by('reason').value };
    if (verb !== 'undo') body.expires = Math.round(Number(by('ends').value) * Number(by('unit').value));
    await ask(`/v1/${verb}`, body);
    by('act').close();
    by('reason').value = '';
    say(by('done'), `${verb} ${kind} ${id}: kept, and in force on every node after its next exchange.`);
    refresh();
  } catch (e) {
    if (e.status === 401) actToken = '';
    show(by('act-token-box'), !actToken || e.status === 403);
    say(by('act-error'), why(e, 'act'));
    show(by('act-error'), true);
  } finally {
    by('act-token-now').value = '';
    by('act-do').disabled = false;
  }
}

/** Why the hub did not answer, in words. */
function why(e, to) {
  if (e.status === 401) return `The token to ${to} is missing or wrong. Ask who runs the hub for it.`;
  if (e.status === 403) return `Not allowed: ${e.message}.`;
  if (e instanceof Refused) return `The hub says ${e.kind}: ${e.message}.`;
  return 'The hub does not answer.';
}

/** Reads the stream of events until it ends. `each(event, fields)`. */
async function listen(signal, opened, each) {
  const r = await fetch('/v1/events', { headers: headers(readToken || actToken), cache: 'no-store', credentials: 'omit', signal });
  if (!r.ok) throw await refused(r);
  opened();
  const reader = r.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split('\n\n');
    rest = parts.pop();
    for (const part of parts) {
      const of = (name) => (part.split('\n').find((l) => l.startsWith(`${name}: `)) || '').slice(name.length + 2);
      if (of('event')) each(of('event'), JSON.parse(of('data')));
    }
  }
}
