// Drives headless Chromium through the viewer of a running server and checks what a user would see. See README.md.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const { values: args } = parseArgs({
  options: { url: { type: 'string' }, token: { type: 'string' }, shots: { type: 'string' } },
});
if (!args.url || !args.token || !args.shots) {
  console.error('usage: node tests/browser/viewer.mjs --url URL --token TOKEN --shots DIR');
  process.exit(2);
}

/** How long anything that the server does may take, ms; CI machines are slow and draw without a GPU. */
const PATIENCE_MS = 30_000;
const FLAGS = [
  '--headless=new',
  '--no-sandbox',
  '--use-angle=swiftshader',
  '--enable-unsafe-swiftshader',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self' ws: wss:; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const DESKTOP = { width: 1366, height: 820 };
const PHONE = { width: 390, height: 844 };
const NAME = `browser-test-${Date.now().toString(36)}`;
const MARKUP = '<b>bold</b><img src=x>';

let passed = 0;
const complaints = []; // what the browser itself found wrong
let refusalsExpected = 0;
await mkdir(args.shots, { recursive: true });
const profile = await mkdtemp(join(tmpdir(), 'visionflow-browser-'));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  headless: true,
  args: FLAGS,
  viewport: DESKTOP,
});
const page = browser.pages()[0] ?? (await browser.newPage());
page.setDefaultTimeout(PATIENCE_MS);

await browser.addInitScript(() => {
  addEventListener('securitypolicyviolation', (event) =>
    console.error(`CSP violation: ${event.violatedDirective} ${event.blockedURI}`),
  );
});
page.on('pageerror', (error) => complaints.push(`page error: ${error.message}`));
page.on('requestfailed', (request) => {
  // a poll that a reload or the end of the session cuts off is no failure
  if (!/ERR_ABORTED/.test(request.failure()?.errorText ?? '')) complaints.push(`request failed: ${request.url()}`);
});
page.on('console', (message) => {
  if (!['error', 'warning'].includes(message.type())) return;
  if (refusalsExpected > 0 && /status of 401/.test(message.text())) refusalsExpected--;
  else if (!/GPU stall due to ReadPixels/.test(message.text()))
    complaints.push(`console ${message.type()}: ${message.text()}`);
});

async function check(title, body) {
  await body();
  assert.deepEqual(complaints, [], 'the browser complained');
  passed++;
  console.log(`ok - ${title}`);
}

const text = (selector) => page.locator(selector).innerText();
const snapshot = () => page.evaluate(() => globalThis.visionflow.snapshot());
const shoot = async (name) => writeFile(join(args.shots, `${name}.png`), await page.screenshot());

/** Waits until `probe` gives something true; at the end of patience tells what it gave last. */
async function until(what, probe, patience = PATIENCE_MS) {
  const end = Date.now() + patience;
  for (;;) {
    const value = await probe();
    if (value) return value;
    if (Date.now() > end) assert.fail(`waited ${patience} ms for: ${what}; now: ${JSON.stringify(await snapshot())}`);
    await page.waitForTimeout(50);
  }
}

/** The share of pixels that differ between two PNGs, decoded by the browser in a blank page. */
async function difference(one, other) {
  const blank = await browser.newPage();
  try {
    return await blank.evaluate(
      async ([a, b]) => {
        const pixels = async (base64) => {
          const bitmap = await createImageBitmap(await (await fetch(`data:image/png;base64,${base64}`)).blob());
          const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d');
          context.drawImage(bitmap, 0, 0);
          return context.getImageData(0, 0, bitmap.width, bitmap.height).data;
        };
        const [first, second] = [await pixels(a), await pixels(b)];
        let differing = 0;
        for (let i = 0; i < first.length; i += 4) {
          const gap =
            Math.abs(first[i] - second[i]) + Math.abs(first[i + 1] - second[i + 1]) + Math.abs(first[i + 2] - second[i + 2]);
          if (gap > 24) differing++;
        }
        return differing / (first.length / 4);
      },
      [one.toString('base64'), other.toString('base64')],
    );
  } finally {
    await blank.close();
  }
}

/** Only what the canvas draws: names and cards over it are hidden for the moment of the picture. */
async function canvasPicture() {
  const overlays = page.locator('#labels, #title, #tools, #meters, #legend, #details, #notices');
  const show = (visibility) =>
    overlays.evaluateAll(
      (nodes, value) =>
        nodes.forEach((node) => {
          node.style.visibility = value;
        }),
      visibility,
    );
  await show('hidden');
  const picture = await page.locator('#canvas').screenshot();
  await show('');
  return picture;
}

async function spawn(type, count, name = '') {
  await page.selectOption('#spawn-type', type);
  await page.fill('#spawn-count', String(count));
  await page.fill('#spawn-name', name);
  await page.click('#spawn-form button[type=submit]');
  await page.waitForSelector('#spawn-form[aria-busy]', { state: 'detached' });
  assert.equal(await page.isVisible('#spawn-form .problem'), false, await page.locator('#spawn-form .problem').textContent());
}

async function run() {
  await check('the page comes with a strict policy and asks for a token', async () => {
    const response = await page.goto(args.url);
    assert.equal(response.status(), 200);
    assert.equal(response.headers()['content-security-policy'], POLICY);
    await page.waitForSelector('#signin-form', { state: 'visible' });
    assert.match(await text('.hint'), /visionflow token --subject me --role operator/);
    await shoot('01-sign-in');
  });

  await check('a text that is no token is refused without a call, a forged one in the words of the server', async () => {
    await page.fill('#signin-token', 'hello');
    await page.click('#signin-form button');
    assert.match(await text('#signin-reason'), /no token/);
    refusalsExpected = 1;
    await page.fill('#signin-token', 'eyJhbGciOiJub25lIn0.eyJzdWIiOiJtZSJ9.AAAA');
    await page.click('#signin-form button');
    await until('the reason of the refusal', async () => /token was refused: ./.test(await text('#signin-reason')));
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
    await shoot('02-refused');
  });

  await check('the printed link signs in, and the token leaves the address bar', async () => {
    await page.goto('about:blank');
    await page.goto(`${args.url.replace(/\/$/, '')}/#token=${args.token}`);
    await page.waitForSelector('body[data-view=app]');
    assert.ok(!page.url().includes('token'), page.url());
    assert.match(await text('#who'), /\(operator\)|\(admin\)/);
    await until('a live connection', async () => (await text('#connection-text')) === 'Live');
    await until('the list of swarms', () => page.evaluate(() => document.getElementById('swarm-total').textContent !== ''));
    await shoot('03-signed-in');
  });

  await check('a reload stays signed in', async () => {
    await page.goto(args.url);
    await until('a live connection', async () => (await text('#connection-text')) === 'Live');
  });

  await check('a swarm without a name is refused beside the form', async () => {
    await page.click('#create-form button[type=submit]');
    assert.match(await text('#create-form .problem'), /name/);
  });

  await check('a swarm is created and chosen', async () => {
    await page.fill('#create-name', NAME);
    await page.check('#create-form input[value=star]', { force: true });
    await page.fill('#create-max', '20');
    await page.click('#create-form button[type=submit]');
    await until('the new swarm as the chosen one', async () => {
      const problem = page.locator('#create-form .problem');
      if (await problem.isVisible()) assert.fail(await problem.innerText());
      return (await page.locator('.swarm[aria-current] .swarm-name').allInnerTexts())[0] === NAME;
    });
    await until(
      'the words of an empty swarm',
      async () => (await page.locator('#empty-heading').textContent()) === 'No agents yet',
    );
    assert.match(await text('#title-facts'), /^star · 0 of 20 agents$/);
    await shoot('04-empty-swarm');
  });

  await check('several agents are spawned, listed and drawn', async () => {
    await spawn('queen', 1, 'Ada');
    await spawn('coder', 5);
    await spawn('tester', 3, 'checker');
    await until('nine rows', async () => (await page.locator('#agent-rows tr').count()) === 9);
    await until('nine agents in the frames', async () => (await snapshot()).slots.length === 9);
    await until('eight links of a star', async () => (await snapshot()).links >= 8);
    const names = await page.locator('.agent-name').allInnerTexts();
    assert.ok(names.includes('Ada') && names.includes('checker-3'), names.join(', '));
    await shoot('05-spawned');
  });

  await check('agents move: positions and pixels change, and the meters count frames', async () => {
    await spawn('optimizer', 2);
    const before = await until('eleven agents in the frames', async () => {
      const now = await snapshot();
      return now.slots.length === 11 && now;
    });
    const picture = await canvasPicture();
    await until('a frame rate over zero', async () => Number(await text('#meter-received')) > 0);
    const moved = await until('positions that differ', async () => {
      const now = await snapshot();
      const most = Math.max(...now.positions.map((value, i) => Math.abs(value - before.positions[i])));
      return now.slots.length === 11 && most > 0.05 && { now, most };
    });
    const share = await until('pixels that differ', async () => {
      const value = await difference(picture, await canvasPicture());
      return value > 0.001 && value;
    });
    assert.ok(moved.now.positions.every(Number.isFinite));
    assert.ok(moved.now.drawn > 0 && moved.now.bytes > 0);
    assert.equal(moved.now.refused, 0, 'frames that could not be applied');
    console.log(
      `# ${moved.now.renderer}: ${moved.now.received.toFixed(0)} fps received, ${moved.now.drawn.toFixed(0)} drawn, ` +
        `largest move ${moved.most.toFixed(2)} units, ${(share * 100).toFixed(2)} % of the pixels changed`,
    );
    await shoot('06-moving');
  });

  await check('an agent is chosen with the keyboard, in the table and in the picture', async () => {
    await page.focus('#canvas');
    await page.keyboard.press('n');
    await page.waitForSelector('#details', { state: 'visible' });
    assert.equal(await text('#details-name'), 'Ada');
    assert.equal(await page.locator('tr[data-selected=true] .agent-name').innerText(), 'Ada');
    await shoot('07-details');
    await page.keyboard.press('Escape');
    await page.waitForSelector('#details', { state: 'hidden' });
    await page.locator('.agent', { hasText: 'checker-2' }).click();
    assert.equal(await text('#details-name'), 'checker-2');
    await page.click('#details button');
    // agents may move on between the look and the click, so it may take more than one
    const box = await page.locator('#canvas').boundingBox();
    await until('a click in the picture that chooses an agent', async () => {
      const [x, y] = (await snapshot()).screen[0];
      await page.mouse.click(box.x + x, box.y + y);
      return (await snapshot()).selected !== null;
    });
    await page.waitForSelector('#details', { state: 'visible' });
    await page.keyboard.press('Escape');
  });

  await check('the camera turns, zooms and comes back', async () => {
    const start = (await snapshot()).camera;
    const box = await page.locator('#canvas').boundingBox();
    await page.mouse.move(box.x + 80, box.y + box.height - 120);
    await page.mouse.down();
    await page.mouse.move(box.x + 320, box.y + box.height - 200, { steps: 6 });
    await page.mouse.up();
    for (let turn = 0; turn < 3; turn++) await page.mouse.wheel(0, 100);
    const turned = await until('a camera that is further away', async () => {
      const { camera } = await snapshot();
      return camera.distance > start.distance * 1.3 && camera;
    });
    assert.ok(Math.abs(turned.yaw - start.yaw) > 0.5 && turned.pitch !== start.pitch, JSON.stringify({ start, turned }));
    await shoot('08-turned');
    await page.focus('#canvas');
    await page.keyboard.press('f');
    await until('the swarm to fill the view again', async () => (await snapshot()).camera.distance < turned.distance * 0.9);
  });

  await check('text from outside stays text', async () => {
    await spawn('documenter', 1, MARKUP);
    await until('the name as it was typed', async () => (await page.locator('.agent-name').allInnerTexts()).includes(MARKUP));
    assert.equal(await page.locator('.agent-name *').count(), 0);
  });

  await check('a task is given and followed', async () => {
    await page.click('#tabs [data-tab=tasks]');
    await page.fill('#task-description', 'Check the release notes');
    await page.selectOption('#task-priority', 'high');
    await page.click('#task-form button[type=submit]');
    const status = page.locator('.task', { hasText: 'Check the release notes' }).locator('.pill');
    await until('the task in the list', async () => (await status.count()) === 1);
    await until('the runtime to take the task', async () => /assigned|in progress|completed/.test(await status.innerText()));
    await shoot('09-task');
    await until('the end of the task', async () => /completed|failed/.test(await status.innerText()), 60_000);
    assert.match(await status.innerText(), /^completed/);
    await shoot('10-task-done');
    await page.click('#tabs [data-tab=agents]');
  });

  await check('an agent is ended and leaves', async () => {
    await page.click('tr:has-text("checker-1") .end');
    await page.click('#confirm-yes');
    await until('the row to go', async () => (await page.locator('.agent', { hasText: 'checker-1' }).count()) === 0);
    await until('the frames without it', async () => (await snapshot()).slots.length === 11);
  });

  await check('a phone shows everything without sideways scrolling', async () => {
    await page.setViewportSize(PHONE);
    for (const tab of ['swarms', 'agents', 'tasks']) {
      await page.click(`#tabs [data-tab=${tab}]`);
      assert.ok(await page.isVisible(`#panel-${tab}`));
      const wide = await page.evaluate(() =>
        [...document.querySelectorAll('body, .left, .right, .stage, .top')]
          .filter((node) => node.scrollWidth > node.clientWidth + 1)
          .map((node) => node.className),
      );
      assert.deepEqual(wide, []);
      await page.waitForTimeout(400);
      await shoot(`11-phone-${tab}`);
    }
    await page.setViewportSize(DESKTOP);
  });

  await check('without WebGL2 the same swarm is drawn in two dimensions', async () => {
    const { swarm } = await snapshot();
    await page.goto('about:blank');
    await page.goto(`${args.url.replace(/\/$/, '')}/?renderer=2d#swarm=${swarm}`);
    await until('the agents', async () => (await snapshot()).slots.length === 11);
    assert.equal((await snapshot()).renderer, 'Canvas 2D');
    await shoot('12-canvas-2d');
  });

  await check('the swarm is deleted, after a question', async () => {
    assert.equal(await text('#title-name'), NAME);
    await page.click('#delete-swarm');
    await page.waitForSelector('#confirm[open]');
    await shoot('13-question');
    await page.click('#confirm-no');
    assert.equal(await page.locator('.swarm', { hasText: NAME }).count(), 1);
    await page.click('#delete-swarm');
    await page.click('#confirm-yes');
    await until('the swarm to go', async () => (await page.locator('.swarm', { hasText: NAME }).count()) === 0);
    await shoot('14-deleted');
  });

  await check('signing out forgets the token', async () => {
    await page.click('#sign-out');
    await page.waitForSelector('#signin-form', { state: 'visible' });
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
    await page.reload();
    await page.waitForSelector('#signin-form', { state: 'visible' });
  });
}

let failed = 0;
try {
  await run();
} catch (error) {
  failed = 1;
  console.log(`not ok - ${error.message}`);
  for (const complaint of complaints) console.log(`# ${complaint}`);
  await shoot('failed').catch(() => {});
} finally {
  await browser.close();
  await rm(profile, { recursive: true, force: true });
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed;
