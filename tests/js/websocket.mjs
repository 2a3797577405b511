// A WebSocket client of a few lines, for Node versions that bring none. It reads what servers send and checks
// what RFC 6455 demands of them; it knows neither extensions nor fragments, which our server does not send.
import { createHash, randomBytes } from 'node:crypto';
import { request } from 'node:http';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/**
 * Opens a WebSocket. `handlers.text` gets strings, `handlers.binary` Buffers, `handlers.close` a code and a
 * reason (1006 when the socket ends without a close frame). Gives an object with `send(text)` and `close()`.
 */
export function open(url, headers, handlers) {
  const key = randomBytes(16).toString('base64');
  return new Promise((resolve, reject) => {
    const asked = request(url.replace(/^ws/, 'http'), {
      headers: { ...headers, Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': 13, 'Sec-WebSocket-Key': key },
    });
    asked.on('error', reject);
    asked.on('response', (answer) => {
      answer.resume();
      reject(new Error(`no upgrade but ${answer.statusCode}`));
    });
    asked.on('upgrade', (answer, socket, first) => {
      const accept = createHash('sha1').update(key + GUID).digest('base64');
      if (answer.headers['sec-websocket-accept'] !== accept) return reject(new Error('wrong Sec-WebSocket-Accept'));
      socket.setNoDelay(true);
      let rest = first;
      let over = false;
      const end = (code, reason) => {
        if (over) return;
        over = true;
        socket.destroy();
        handlers.close?.(code, reason);
      };
      const read = (chunk) => {
        rest = rest.length ? Buffer.concat([rest, chunk]) : chunk;
        for (let frame; !over && (frame = takeFrame(rest)); ) {
          rest = rest.subarray(frame.bytes);
          if (frame.opcode === 1) handlers.text?.(frame.payload.toString('utf8'));
          else if (frame.opcode === 2) handlers.binary?.(frame.payload);
          else if (frame.opcode === 9) socket.write(masked(10, frame.payload));
          else if (frame.opcode === 8) {
            const code = frame.payload.length >= 2 ? frame.payload.readUInt16BE(0) : 1005;
            end(code, frame.payload.subarray(2).toString('utf8'));
          }
        }
      };
      socket.on('data', read);
      socket.on('error', () => end(1006, ''));
      socket.on('close', () => end(1006, ''));
      resolve({
        send: (text) => socket.write(masked(1, Buffer.from(text))),
        close: () => socket.end(masked(8, Buffer.from([3, 232]))),
      });
      if (first.length) {
        rest = Buffer.alloc(0);
        read(first);
      }
    });
    asked.end();
  });
}

/** The first whole frame of `bytes`, or nothing yet. */
function takeFrame(bytes) {
  if (bytes.length < 2) return undefined;
  if (bytes[1] & 0x80) throw new Error('a server must not mask');
  let [length, at] = [bytes[1] & 0x7f, 2];
  if (length === 126) {
    if (bytes.length < 4) return undefined;
    [length, at] = [bytes.readUInt16BE(2), 4];
  } else if (length === 127) {
    if (bytes.length < 10) return undefined;
    [length, at] = [Number(bytes.readBigUInt64BE(2)), 10];
  }
  if (bytes.length < at + length) return undefined;
  return { opcode: bytes[0] & 0x0f, payload: bytes.subarray(at, at + length), bytes: at + length };
}

function masked(opcode, payload) {
  const mask = randomBytes(4);
  const size = payload.length < 126 ? Buffer.from([0x80 | payload.length]) : Buffer.from([0x80 | 126, payload.length >> 8, payload.length & 255]);
  const body = Buffer.from(payload);
  for (let i = 0; i < body.length; i += 1) body[i] ^= mask[i & 3];
  return Buffer.concat([Buffer.from([0x80 | opcode]), size, mask, body]);
}
