// Who is signed in. The token comes from the link that the server prints (#token=…) or is pasted; it lives in this tab's
// sessionStorage and nowhere else, and leaves the address bar at once.

const KEY = 'visionflow.token';

/** Takes the token out of the address, if one is there, and keeps it; true when there was one. */
export function takeFromAddress() {
  const match = /^#token=(.+)$/.exec(location.hash);
  if (!match) return false;
  history.replaceState(null, '', location.pathname + location.search);
  keep(decode(match[1]));
  return true;
}

/** Keeps a token for this tab. */
export function keep(token) {
  sessionStorage.setItem(KEY, token.trim());
}

/** The token, or null. */
export function token() {
  return sessionStorage.getItem(KEY);
}

/** Forgets the token. */
export function forget() {
  sessionStorage.removeItem(KEY);
}

/**
 * What is wrong with a pasted text, in words, or null when it may be a token. A whole link is accepted too. The server alone
 * decides whether a token is good; this only catches what can't be one.
 */
export function complaint(text) {
  if (text.trim() === '') return 'Paste a token first.';
  const parts = fromLink(text).split('.');
  const shaped = parts.length === 3 && parts.every((part) => /^[A-Za-z0-9_-]+$/.test(part));
  return shaped ? null : 'This is no token: a token is three parts of letters and digits with dots between them.';
}

/** The token within a pasted link, or the text itself. */
export function fromLink(text) {
  const match = /#token=([^\s]+)/.exec(text);
  return match ? decode(match[1]) : text.trim();
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** How long until `expiresAt` (RFC 3339), in words; null when that is further away than an hour. */
export function timeLeft(expiresAt, now = Date.now()) {
  const minutes = Math.floor((Date.parse(expiresAt) - now) / 60_000);
  if (Number.isNaN(minutes) || minutes >= 60) return null;
  if (minutes < 1) return 'signed in for less than a minute more';
  return `signed in for ${minutes} more minute${minutes === 1 ? '' : 's'}`;
}
