// The orbit camera: yaw and pitch around a target, at a distance. Pure maths, no page.
//
// Layout units, x right, y up, z towards the viewer at yaw 0. Matrices are column-major Float32Array(16), as WebGL takes them.

/** Vertical field of view, radians. */
export const FOV = (45 * Math.PI) / 180;
/** Pitch stops short of the poles, where "up" has no direction. */
export const PITCH_MAX = 1.52;
const DISTANCE_MIN = 0.05;
const DISTANCE_MAX = 1e7;

/** A camera that looks at the origin, slightly from above. */
export function createCamera() {
  return { yaw: 0.6, pitch: 0.35, distance: 100, target: [0, 0, 0] };
}

/** Turns the camera by radians. */
export function orbit(camera, yaw, pitch) {
  camera.yaw = (camera.yaw + yaw) % (2 * Math.PI);
  camera.pitch = clamp(camera.pitch + pitch, -PITCH_MAX, PITCH_MAX);
}

/** Multiplies the distance: under 1 comes nearer. */
export function zoom(camera, factor) {
  camera.distance = clamp(camera.distance * factor, DISTANCE_MIN, DISTANCE_MAX);
}

/** Moves the target so that the picture follows the pointer by `dx`, `dy` pixels of a view `height` pixels high. */
export function pan(camera, dx, dy, height) {
  const unitsPerPixel = (2 * camera.distance * Math.tan(FOV / 2)) / Math.max(1, height);
  const { right, up } = axes(camera);
  for (let i = 0; i < 3; i++) camera.target[i] += (-dx * right[i] + dy * up[i]) * unitsPerPixel;
}

/** Unit vectors of the view: right, up, and from the target back to the eye. */
export function axes(camera) {
  const { yaw, pitch } = camera;
  const [sy, cy, sp, cp] = [Math.sin(yaw), Math.cos(yaw), Math.sin(pitch), Math.cos(pitch)];
  return { right: [cy, 0, -sy], up: [-sy * sp, cp, -cy * sp], back: [sy * cp, sp, cy * cp] };
}

/** Where the eye is. */
export function eye(camera) {
  const { back } = axes(camera);
  return camera.target.map((t, i) => t + back[i] * camera.distance);
}

/**
 * Writes projection · view into `out`; `radius` is what must stay within the clipping planes. `shift` moves the picture to the
 * side, in half widths of the view: -0.2 puts the target a tenth of the width left of the middle.
 */
export function viewProjection(camera, aspect, radius, out = new Float32Array(16), shift = 0) {
  const { right, up, back } = axes(camera);
  const from = eye(camera);
  const near = Math.max(camera.distance * 0.01, camera.distance - radius * 2.5);
  const far = camera.distance + radius * 4 + 1;
  const f = 1 / Math.tan(FOV / 2);
  const a = (far + near) / (near - far);
  const b = (2 * far * near) / (near - far);
  const dot = (v) => v[0] * from[0] + v[1] * from[1] + v[2] * from[2];
  const [dx, dy, dz] = [-dot(right), -dot(up), -dot(back)];
  for (let column = 0; column < 3; column++) {
    out[column * 4] = (f / aspect) * right[column];
    out[column * 4 + 1] = f * up[column];
    out[column * 4 + 2] = a * back[column];
    out[column * 4 + 3] = -back[column];
  }
  out[12] = (f / aspect) * dx;
  out[13] = f * dy;
  out[14] = a * dz + b;
  out[15] = -dz;
  for (let column = 0; column < 4; column++) out[column * 4] += shift * out[column * 4 + 3];
  return out;
}

/**
 * Projects a point to pixels: writes x, y (from the top left) and the depth along the view into `out`.
 * False when the point is behind the eye.
 */
export function project(matrix, x, y, z, width, height, out) {
  const w = matrix[3] * x + matrix[7] * y + matrix[11] * z + matrix[15];
  if (w <= 1e-6) return false;
  out[0] = ((matrix[0] * x + matrix[4] * y + matrix[8] * z + matrix[12]) / w + 1) * 0.5 * width;
  out[1] = (1 - (matrix[1] * x + matrix[5] * y + matrix[9] * z + matrix[13]) / w) * 0.5 * height;
  out[2] = w;
  return true;
}

/** The middle and half diagonal of `count` points in x, y, z order; a lone point gets a radius of `least`. */
export function bounds(positions, count, least = 1) {
  if (count === 0) return { centre: [0, 0, 0], radius: least };
  let [minX, minY, minZ] = positions;
  let [maxX, maxY, maxZ] = positions;
  for (let i = 3; i < count * 3; i += 3) {
    const [x, y, z] = [positions[i], positions[i + 1], positions[i + 2]];
    minX = Math.min(minX, x);
    maxX = Math.max(maxX, x);
    minY = Math.min(minY, y);
    maxY = Math.max(maxY, y);
    minZ = Math.min(minZ, z);
    maxZ = Math.max(maxZ, z);
  }
  const centre = [(minX + maxX) / 2, (minY + maxY) / 2, (minZ + maxZ) / 2];
  let far = 0;
  for (let i = 0; i < count * 3; i += 3) {
    const x = positions[i] - centre[0];
    const y = positions[i + 1] - centre[1];
    const z = positions[i + 2] - centre[2];
    far = Math.max(far, x * x + y * y + z * z);
  }
  return { centre, radius: Math.max(least, Math.sqrt(far)) };
}

/** The distance at which a ball of this radius just fits into a view of this aspect (width / height). */
export function fitDistance(radius, aspect) {
  const half = Math.min(FOV / 2, Math.atan(Math.tan(FOV / 2) * aspect));
  return (radius * 1.12) / Math.sin(half);
}

/** The share of the way to go in `dt` ms when half of it takes `halfLife` ms. */
export function ease(dt, halfLife) {
  return 1 - 2 ** (-dt / halfLife);
}

/** `value` within `low` and `high`. */
export function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}
