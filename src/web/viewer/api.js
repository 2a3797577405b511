// The REST calls that the viewer makes. Every failure becomes an ApiError whose message is a sentence for people.

/** How long a read may take, ms. */
const READ_MS = 15_000;
/** How long a change may take, ms: the server itself may wait 30 s for the agent runtime. */
const CHANGE_MS = 45_000;
/** Pages of a list read at most, 200 items each. */
const PAGES_MAX = 25;

/** A call that did not succeed. `status` 0: no answer came. `code` is the server's stable word, `retryAfter` seconds. */
export class ApiError extends Error {
  constructor(message, { status = 0, code = null, retryAfter = null } = {}) {
    super(message);
    this.name = 'ApiError';
    Object.assign(this, { status, code, retryAfter });
  }
}

/** Makes a sentence of a problem body (RFC 9457): its detail, else its title, and each field that was wrong. */
export function problemWords(status, body) {
  const fallback = status === 404 ? 'There is no such thing here.' : `The server answered ${status}.`;
  if (typeof body !== 'object' || body === null) return fallback;
  const parts = [body.detail || body.title || fallback];
  for (const error of Array.isArray(body.errors) ? body.errors : []) {
    const words = [error.pointer, error.detail].filter(Boolean).join(': ');
    if (words && !parts[0].includes(error.detail)) parts.push(words);
  }
  const text = parts.map((part) => String(part).trim()).join('; ');
  const sentence = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(sentence) ? sentence : `${sentence}.`;
}

/** A random key, so that a change that is sent twice happens once. */
function idempotencyKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

export class Api {
  /** `token()` gives the JWT; `refused(words)` is called when the server no longer takes it. */
  constructor({ token, refused }) {
    Object.assign(this, { token, refused });
  }

  me() {
    return this.#call('GET', '/api/auth/me');
  }
  swarms() {
    return this.#all('/api/swarms');
  }
  createSwarm(body) {
    return this.#call('POST', '/api/swarms', body);
  }
  deleteSwarm(id) {
    return this.#call('DELETE', at('swarms', id));
  }
  agents(id) {
    return this.#all(at('swarms', id, 'agents'));
  }
  spawn(id, body) {
    return this.#call('POST', at('swarms', id, 'agents', 'spawn'), body);
  }
  endAgent(id, agentId) {
    return this.#call('DELETE', at('swarms', id, 'agents', agentId));
  }
  links(id) {
    return this.#all(at('swarms', id, 'links'));
  }
  tasks(id) {
    return this.#call('GET', at('swarms', id, 'tasks')).then((page) => page.items);
  }
  giveTask(id, body) {
    return this.#call('POST', at('swarms', id, 'tasks'), body);
  }

  /** A ticket that opens one WebSocket within 30 s. */
  async ticket() {
    return (await this.#call('POST', '/api/auth/ws-ticket')).ticket;
  }

  /** Reads every page of a list. */
  async #all(path) {
    const items = [];
    let cursor = null;
    for (let page = 0; page < PAGES_MAX; page++) {
      const query = cursor === null ? '' : `?cursor=${encodeURIComponent(cursor)}`;
      const body = await this.#call('GET', path + query);
      items.push(...body.items);
      cursor = body.next_cursor ?? null;
      if (cursor === null) break;
    }
    return items;
  }

  async #call(method, path, body) {
    const headers = { Accept: 'application/json', Authorization: `Bearer ${this.token()}` };
    if (method === 'POST') headers['Idempotency-Key'] = idempotencyKey();
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    const signal = AbortSignal.timeout(method === 'GET' ? READ_MS : CHANGE_MS);
    let response;
    let text;
    try {
      response = await fetch(path, { method, headers, body: body && JSON.stringify(body), signal, cache: 'no-store' });
      text = await response.text();
    } catch (error) {
      const late = error.name === 'TimeoutError';
      throw new ApiError(late ? 'The server did not answer in time.' : 'The server can’t be reached.');
    }
    const value = parse(text);
    if (response.ok) return value;
    const words = problemWords(response.status, value);
    if (response.status === 401) this.refused(words);
    const retryAfter = Number(response.headers.get('Retry-After')) || null;
    throw new ApiError(words, { status: response.status, code: value?.code ?? null, retryAfter });
  }
}

function at(...parts) {
  return `/api/${parts.map(encodeURIComponent).join('/')}`;
}

function parse(text) {
  try {
    return text === '' ? null : JSON.parse(text);
  } catch {
    return null;
  }
}
