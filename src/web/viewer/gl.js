// Draws nodes and links with WebGL2. Knows nothing of agents: it takes positions, eight bytes of looks per node, and indices.
//
// Positions go to the GPU as they are, once per picture; links are an index buffer over the same vertices, so a link costs no
// work per picture. Nodes are point sprites: a core pass (opaque, writes depth) and a mark pass (halos and rings, blended).

/** Bytes of looks per node: r, g, b, state, flags, size in 1/32, two spare. */
export const LOOK_BYTES = 8;

const NODE_VERTEX = `#version 300 es
layout(location=0) in vec3 position;
layout(location=1) in vec3 colour;
layout(location=2) in vec3 look;
uniform mat4 matrix;
uniform vec4 sizes; // pixels per unit at depth 1, radius in units, smallest and largest radius in pixels
uniform vec2 fog;   // depth where it starts, and where it is full
uniform float spread;
out vec3 tint; flat out vec3 kind; out float haze; out float soft;
void main() {
  gl_Position = matrix * vec4(position, 1.0);
  float radius = clamp(sizes.x * sizes.y / gl_Position.w, sizes.z, sizes.w) * look.z / 32.0;
  gl_PointSize = 2.0 * radius * spread;
  tint = colour; kind = look; soft = 1.0 / radius;
  haze = clamp((gl_Position.w - fog.x) / (fog.y - fog.x), 0.0, 1.0) * 0.62;
}`;

const CORE_FRAGMENT = `#version 300 es
precision mediump float;
in vec3 tint; flat in vec3 kind; in float haze; in float soft;
uniform vec3 back;
uniform float cut; // coverage under which nothing is drawn: a half where no multisampling softens the edge
out vec4 result;
void main() {
  vec2 at = gl_PointCoord * 2.0 - 1.0;
  float r = length(at);
  float edge = 1.0 - smoothstep(1.0 - soft, 1.0 + 0.001, r);
  int state = int(kind.x + 0.5);
  int flags = int(kind.y + 0.5);
  float hollow = 0.0;
  if (state == 0) hollow = 0.66;
  if (state == 5) hollow = 0.80;
  edge *= smoothstep(hollow - soft, hollow, r + 0.0001);
  if (edge < cut) discard;
  vec3 normal = vec3(at.x, -at.y, sqrt(max(0.0, 1.0 - r * r)));
  float light = 0.62 + 0.5 * max(0.0, dot(normal, normalize(vec3(-0.45, 0.7, 0.65))));
  float shine = pow(max(0.0, dot(normal, normalize(vec3(-0.35, 0.6, 0.85)))), 24.0) * 0.28;
  vec3 base = tint;
  if ((flags & 1) == 1) { base = vec3(0.37, 0.42, 0.49); light = 0.85; shine = 0.0; }
  else if (state == 1) { base *= 0.80; shine *= 0.5; }
  else if (state == 4) { base = mix(base, vec3(1.0, 0.30, 0.32), 0.35); }
  if (hollow > 0.0) { light = 1.0; shine = 0.0; }
  result = vec4(mix(base * light + shine, back, haze), edge);
}`;

const MARK_FRAGMENT = `#version 300 es
precision mediump float;
in vec3 tint; flat in vec3 kind; in float haze; in float soft;
uniform highp float spread; uniform float beat; // as in the vertex shader, or they do not link
out vec4 result;
float ring(float r, float at, float width) { return 1.0 - smoothstep(width * 0.5, width * 0.5 + soft * 1.2, abs(r - at)); }
void main() {
  vec2 at = (gl_PointCoord * 2.0 - 1.0) * spread;
  float r = length(at);
  int state = int(kind.x + 0.5);
  int flags = int(kind.y + 0.5);
  bool stale = (flags & 1) == 1;
  vec4 sum = vec4(0.0);
  if (!stale && (state == 2 || state == 3)) {
    float fall = clamp(1.0 - (r - 0.9) / (spread - 0.9), 0.0, 1.0) * step(0.9, r);
    float power = state == 2 ? 0.38 + 0.30 * beat : 0.24;
    sum += vec4(tint, 0.35) * fall * fall * power;
  }
  if (!stale && state == 4) sum += vec4(1.0, 0.32, 0.34, 1.0) * ring(r, 1.36, 0.16);
  if ((flags & 2) == 2) {
    float dash = step(0.5, fract(atan(at.y, at.x) * 1.2732395));
    sum += vec4(1.0, 0.75, 0.30, 1.0) * ring(r, 1.36, 0.13) * dash;
  }
  if ((flags & 4) == 4) sum += vec4(1.0) * ring(r, 1.72, 0.12);
  else if ((flags & 8) == 8) sum += vec4(0.75) * ring(r, 1.72, 0.10);
  if (sum.a < 0.004) discard;
  result = sum * (1.0 - haze);
}`;

const LINK_VERTEX = `#version 300 es
layout(location=0) in vec3 position;
layout(location=1) in vec3 colour;
uniform mat4 matrix; uniform vec2 fog;
out vec3 tint; out float haze;
void main() {
  gl_Position = matrix * vec4(position, 1.0);
  tint = mix(colour, vec3(0.55, 0.66, 0.85), 0.55);
  haze = clamp((gl_Position.w - fog.x) / (fog.y - fog.x), 0.0, 1.0) * 0.8;
}`;

const LINK_FRAGMENT = `#version 300 es
precision mediump float;
in vec3 tint; in float haze;
uniform float strength;
out vec4 result;
void main() { float a = strength * (1.0 - haze); result = vec4(tint * a, a); }`;

/** How far halos reach, in radii of the core. */
const SPREAD = 2.6;
/** The colour that distance fades to, as the style sheet's background. */
const BACK = [0.043, 0.071, 0.125];

/** Gives a renderer, or null where there is no WebGL2. Throws when a shader does not compile: a bug, not a missing feature. */
export function createGlRenderer(canvas) {
  const smooth = !drawsInSoftware();
  const gl = canvas.getContext('webgl2', {
    antialias: smooth,
    alpha: true,
    premultipliedAlpha: true,
    powerPreference: 'low-power',
  });
  if (!gl) return null;
  const core = program(gl, NODE_VERTEX, CORE_FRAGMENT);
  const mark = program(gl, NODE_VERTEX, MARK_FRAGMENT);
  const link = program(gl, LINK_VERTEX, LINK_FRAGMENT);
  const buffers = { position: gl.createBuffer(), look: gl.createBuffer(), link: gl.createBuffer() };
  const vertices = describeVertices(gl, buffers);
  let count = 0;
  let capacity = 0;
  let ranges = { structural: 0, traffic: 0, strength: 0.4 };

  function setNodes(looks, nodes) {
    count = nodes;
    gl.bindBuffer(gl.ARRAY_BUFFER, buffers.look);
    gl.bufferData(gl.ARRAY_BUFFER, looks, gl.STATIC_DRAW);
    if (nodes > capacity) {
      capacity = Math.max(64, nodes * 2);
      gl.bindBuffer(gl.ARRAY_BUFFER, buffers.position);
      gl.bufferData(gl.ARRAY_BUFFER, capacity * 12, gl.DYNAMIC_DRAW);
    }
  }

  function setLinks(indices, structural, strength) {
    ranges = { structural, traffic: indices.length - structural, strength };
    gl.bindVertexArray(vertices);
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, indices, gl.STATIC_DRAW);
    gl.bindVertexArray(null);
  }

  function draw(positions, view) {
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    if (count === 0) return;
    gl.bindBuffer(gl.ARRAY_BUFFER, buffers.position);
    gl.bufferSubData(gl.ARRAY_BUFFER, 0, positions, 0, count * 3);
    gl.bindVertexArray(vertices);
    gl.enable(gl.DEPTH_TEST);
    drawCores(view);
    gl.depthMask(false);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    drawLinks(view);
    drawMarks(view);
    gl.disable(gl.BLEND);
    gl.depthMask(true);
    gl.bindVertexArray(null);
  }

  function useNodes(of, view, spread) {
    gl.useProgram(of.program);
    gl.uniformMatrix4fv(of.at('matrix'), false, view.matrix);
    gl.uniform4f(of.at('sizes'), view.pixelsPerUnit, view.nodeRadius, view.radiusMin, view.radiusMax);
    gl.uniform2f(of.at('fog'), view.fog[0], view.fog[1]);
    gl.uniform1f(of.at('spread'), spread);
  }

  function drawCores(view) {
    useNodes(core, view, 1);
    gl.uniform3f(core.at('back'), ...BACK);
    gl.uniform1f(core.at('cut'), smooth ? 0.02 : 0.5);
    gl.enable(gl.SAMPLE_ALPHA_TO_COVERAGE);
    gl.drawArrays(gl.POINTS, 0, count);
    gl.disable(gl.SAMPLE_ALPHA_TO_COVERAGE);
  }

  function drawLinks(view) {
    gl.useProgram(link.program);
    gl.uniformMatrix4fv(link.at('matrix'), false, view.matrix);
    gl.uniform2f(link.at('fog'), view.fog[0], view.fog[1]);
    gl.uniform1f(link.at('strength'), ranges.strength);
    if (ranges.structural > 0) gl.drawElements(gl.LINES, ranges.structural, gl.UNSIGNED_INT, 0);
    gl.uniform1f(link.at('strength'), 0.85);
    if (ranges.traffic > 0) gl.drawElements(gl.LINES, ranges.traffic, gl.UNSIGNED_INT, ranges.structural * 4);
  }

  function drawMarks(view) {
    useNodes(mark, view, SPREAD);
    gl.uniform1f(mark.at('beat'), view.beat);
    gl.drawArrays(gl.POINTS, 0, count);
  }

  return { kind: 'WebGL2', setNodes, setLinks, draw };
}

/** Whether WebGL is a program on the CPU: multisampling then costs five times the rest. */
function drawsInSoftware() {
  const probe = document.createElement('canvas').getContext('webgl2');
  if (!probe) return false;
  const details = probe.getExtension('WEBGL_debug_renderer_info');
  const name = probe.getParameter(details ? details.UNMASKED_RENDERER_WEBGL : probe.RENDERER);
  probe.getExtension('WEBGL_lose_context')?.loseContext();
  return /swiftshader|llvmpipe|softpipe|software|basic render/i.test(name);
}

function describeVertices(gl, buffers) {
  const vertices = gl.createVertexArray();
  gl.bindVertexArray(vertices);
  gl.bindBuffer(gl.ARRAY_BUFFER, buffers.position);
  gl.enableVertexAttribArray(0);
  gl.vertexAttribPointer(0, 3, gl.FLOAT, false, 12, 0);
  gl.bindBuffer(gl.ARRAY_BUFFER, buffers.look);
  gl.enableVertexAttribArray(1);
  gl.vertexAttribPointer(1, 3, gl.UNSIGNED_BYTE, true, LOOK_BYTES, 0);
  gl.enableVertexAttribArray(2);
  gl.vertexAttribPointer(2, 3, gl.UNSIGNED_BYTE, false, LOOK_BYTES, 3);
  gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, buffers.link);
  gl.bindVertexArray(null);
  return vertices;
}

function program(gl, vertex, fragment) {
  const made = gl.createProgram();
  for (const [kind, source] of [
    [gl.VERTEX_SHADER, vertex],
    [gl.FRAGMENT_SHADER, fragment],
  ]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS) && !gl.isContextLost()) {
      throw new Error(`compiling a shader: ${gl.getShaderInfoLog(shader)}`);
    }
    gl.attachShader(made, shader);
  }
  gl.linkProgram(made);
  if (!gl.getProgramParameter(made, gl.LINK_STATUS) && !gl.isContextLost()) {
    throw new Error(`linking a shader: ${gl.getProgramInfoLog(made)}`);
  }
  const known = new Map();
  const at = (name) => {
    if (!known.has(name)) known.set(name, gl.getUniformLocation(made, name));
    return known.get(name);
  };
  return { program: made, at };
}
