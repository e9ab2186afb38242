// Points on one or two planes, drawn by WebGL: drag moves, the wheel zooms, shift and drag selects on both, a click opens.
const VERTEX = `attribute vec2 place; attribute vec4 paint; attribute float lit;
uniform vec2 centre; uniform vec2 zoom; uniform float size; varying vec4 colour;
void main() { gl_Position = vec4((place - centre) * zoom, 0.0, 1.0); gl_PointSize = size;
  colour = vec4(paint.rgb, paint.a * lit); }`;
const FRAGMENT = `precision mediump float; varying vec4 colour;
void main() { float r = length(gl_PointCoord - 0.5); if (r > 0.5) discard;
  float a = colour.a * smoothstep(0.5, 0.38, r); gl_FragColor = vec4(colour.rgb * a, a); }`;
const CELLS = 160; // of the grid that finds the point under the pointer
const FRAME = 25; // ms from one frame to the next, that a moving map keeps below by drawing fewer points
const LEAST = 0.1; // of the points, though
const STILL = 150; // ms after the last move until all points are drawn again

const decode = (text, Kind) => new Kind(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);

const shuffled = (count) => {
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  let state = 1; // the same order each time (a linear congruential generator)
  for (let i = count - 1; i > 0; i--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const j = Math.floor(state / 2 ** 32 * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
};

class Plane {
  constructor(shared, points, canvas, tip) {
    Object.assign(this, { shared, points, canvas, tip, centre: [0, 0], scale: 0.9, near: -1, share: 1, drawn: shared.count });
    // edges are smooth by the fragment shader; more samples a pixel would only take time
    this.gl = canvas.getContext('webgl', { antialias: false, premultipliedAlpha: true, preserveDrawingBuffer: true });
    if (!this.gl || !this.gl.getExtension('OES_element_index_uint')) throw new Error('no WebGL');
    this.program = this.link();
    this.order = this.gl.createBuffer();
    this.gl.bindBuffer(this.gl.ELEMENT_ARRAY_BUFFER, this.order);
    this.gl.bufferData(this.gl.ELEMENT_ARRAY_BUFFER, shared.order, this.gl.STATIC_DRAW);
    this.buffers = {};
    this.fill('place', points, 2);
    this.fill('paint', shared.paint, 4, this.gl.UNSIGNED_BYTE);
    this.fill('lit', shared.lit, 1);
    this.grid = this.index();
    this.listen();
    new ResizeObserver(() => this.draw()).observe(canvas);
    canvas.place = (i) => this.toPixels(i);
  }

  link() {
    const gl = this.gl, program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text); gl.compileShader(shader); gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    return program;
  }

  fill(name, data, width, kind) {
    const gl = this.gl;
    this.buffers[name] = this.buffers[name] || { buffer: gl.createBuffer(), width, kind: kind || gl.FLOAT };
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[name].buffer);
    gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
  }

  zoom() {
    const { clientWidth: w, clientHeight: h } = this.canvas, least = Math.min(w, h) || 1;
    return [this.scale * least / (w || 1), this.scale * least / (h || 1)];
  }

  // While the map moves, at most one drawing a frame; where frames take long, of as many points as they leave time for.
  move() {
    clearTimeout(this.rest);
    this.rest = setTimeout(() => { this.moved = null; this.draw(); }, STILL);
    if (this.asked) return;
    this.asked = requestAnimationFrame((now) => {
      this.asked = null;
      const took = now - this.moved;
      if (this.moved && took < STILL) this.share = Math.min(1, Math.max(LEAST, this.share * (took > FRAME ? 0.75 : 1.1)));
      this.moved = now;
      this.draw(this.share);
    });
  }

  draw(share = 1) {
    const gl = this.gl, canvas = this.canvas, dpr = window.devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * dpr), height = Math.round(canvas.clientHeight * dpr);
    if (!width) return;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(0, 0, 0, 0); gl.clear(gl.COLOR_BUFFER_BIT);
    gl.enable(gl.BLEND); gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.useProgram(this.program);
    for (const [name, { buffer, width, kind }] of Object.entries(this.buffers)) {
      const at = gl.getAttribLocation(this.program, name);
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer); gl.enableVertexAttribArray(at);
      gl.vertexAttribPointer(at, width, kind, kind === gl.UNSIGNED_BYTE, 0, 0);
    }
    gl.uniform2fv(gl.getUniformLocation(this.program, 'centre'), this.centre);
    gl.uniform2fv(gl.getUniformLocation(this.program, 'zoom'), this.zoom());
    const size = gl.getUniformLocation(this.program, 'size');
    const count = this.shared.count, base = count > 20000 ? 3 : count > 2000 ? 5 : 9;
    gl.uniform1f(size, base * dpr * Math.min(Math.max(Math.sqrt(this.scale), 0.8), 3));
    this.drawn = Math.ceil(count * share);
    gl.drawElements(gl.POINTS, this.drawn, gl.UNSIGNED_INT, 0); // in an order of chance: any part shows the whole
    canvas.dataset.points = String(this.drawn);
    if (this.shared.near >= 0) {
      gl.uniform1f(size, 18 * dpr);
      gl.drawArrays(gl.POINTS, this.shared.near, 1);
    }
  }

  toPixels(i) {
    const box = this.canvas.getBoundingClientRect(), [zx, zy] = this.zoom();
    return [box.left + box.width * (1 + (this.points[2 * i] - this.centre[0]) * zx) / 2,
      box.top + box.height * (1 - (this.points[2 * i + 1] - this.centre[1]) * zy) / 2];
  }

  toPlane(x, y) {
    const box = this.canvas.getBoundingClientRect(), [zx, zy] = this.zoom();
    return [this.centre[0] + (2 * (x - box.left) / box.width - 1) / zx,
      this.centre[1] + (1 - 2 * (y - box.top) / box.height) / zy];
  }

  cell(v) { return Math.min(Math.max(Math.floor((v + 2) / 4 * CELLS), 0), CELLS - 1); }

  index() {
    const grid = new Map();
    for (let i = 0; i < this.shared.count; i++) {
      const key = this.cell(this.points[2 * i]) * CELLS + this.cell(this.points[2 * i + 1]);
      if (!grid.has(key)) grid.set(key, []);
      grid.get(key).push(i);
    }
    return grid;
  }

  under(x, y) {
    const [px, py] = this.toPlane(x, y), [zx] = this.zoom();
    const reach = 24 / (this.canvas.clientWidth || 1) / zx;
    let best = -1, least = reach * reach;
    for (let cx = this.cell(px - reach); cx <= this.cell(px + reach); cx++) {
      for (let cy = this.cell(py - reach); cy <= this.cell(py + reach); cy++) {
        for (const i of this.grid.get(cx * CELLS + cy) || []) {
          const d = (this.points[2 * i] - px) ** 2 + (this.points[2 * i + 1] - py) ** 2;
          if (d < least && this.shared.lit[i] > 0.5) { least = d; best = i; }
        }
      }
    }
    return best;
  }

  listen() {
    const canvas = this.canvas;
    let down = null;
    canvas.addEventListener('pointerdown', (e) => {
      down = { x: e.clientX, y: e.clientY, centre: [...this.centre], box: e.shiftKey, moved: false };
      canvas.setPointerCapture(e.pointerId);
    });
    canvas.addEventListener('pointermove', (e) => {
      if (!down) { this.shared.hover(this.under(e.clientX, e.clientY), this, e); return; }
      if (Math.hypot(e.clientX - down.x, e.clientY - down.y) > 4) down.moved = true;
      if (!down.box) {
        const [zx, zy] = this.zoom();
        this.centre = [down.centre[0] - 2 * (e.clientX - down.x) / canvas.clientWidth / zx,
          down.centre[1] + 2 * (e.clientY - down.y) / canvas.clientHeight / zy];
        this.move();
      }
    });
    canvas.addEventListener('pointerup', (e) => {
      const was = down;
      down = null;
      if (!was) return;
      if (was.box) this.select(was, e);
      else if (!was.moved) this.shared.open(this.under(e.clientX, e.clientY));
    });
    canvas.addEventListener('pointerleave', () => this.shared.hover(-1, this));
    canvas.addEventListener('wheel', (e) => {
      e.preventDefault();
      this.zoomAt(e.clientX, e.clientY, Math.exp(-e.deltaY / 400));
    }, { passive: false });
    canvas.addEventListener('keydown', (e) => {
      const step = 0.2 / this.scale, moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
      if (moves[e.key]) { this.centre = this.centre.map((v, i) => v + moves[e.key][i]); } else if (e.key === '+') this.scale *= 1.25;
      else if (e.key === '-') this.scale /= 1.25;
      else return;
      e.preventDefault();
      this.move();
    });
  }

  zoomAt(x, y, by) {
    const before = this.toPlane(x, y);
    this.scale = Math.min(Math.max(this.scale * by, 0.2), 400);
    const after = this.toPlane(x, y);
    this.centre = [this.centre[0] + before[0] - after[0], this.centre[1] + before[1] - after[1]];
    this.move();
  }

  select(from, e) {
    const [ax, ay] = this.toPlane(from.x, from.y), [bx, by] = this.toPlane(e.clientX, e.clientY);
    const inside = (i) => this.points[2 * i] >= Math.min(ax, bx) && this.points[2 * i] <= Math.max(ax, bx)
      && this.points[2 * i + 1] >= Math.min(ay, by) && this.points[2 * i + 1] <= Math.max(ay, by);
    this.shared.choose(from.moved ? inside : () => true);
  }
}

const show = () => {
  const root = element.querySelector('.map-root');
  if (!root) return;
  root.replaceChildren();
  delete root.dataset.drawn;
  if (!props.value) return; // another collection was chosen
  const told = JSON.parse(props.value);
  const count = told.ids.length, planes = [];
  const shared = {
    count, paint: decode(told.paint, Uint8Array), lit: new Float32Array(count).fill(1), near: -1,
    order: shuffled(count),
    open(i) { if (i >= 0) trigger('click', { action: 'open', chunk: told.ids[i], collection: told.collection }); },
    hover(i, plane, e) {
      for (const p of planes) p.tip.style.display = 'none';
      if (i >= 0) {
        plane.tip.textContent = told.titles[told.title[i]] + ' · ' + told.keys[told.key[i]].name;
        const box = plane.canvas.getBoundingClientRect();
        plane.tip.style.left = Math.min(e.clientX - box.left + 12, box.width - 190) + 'px';
        plane.tip.style.top = e.clientY - box.top + 46 + 'px';
        plane.tip.style.display = 'block';
      }
      if (i === this.near) return;
      this.near = i;
      for (const p of planes) p.draw();
    },
    choose(inside) {
      let chosen = 0;
      for (let i = 0; i < count; i++) { const on = inside(i); this.lit[i] = on ? 1 : 0.08; chosen += on; }
      root.querySelector('.map-said').textContent = chosen === count ? '' : `${chosen} chosen; shift and click shows all again`;
      for (const p of planes) { p.fill('lit', this.lit, 1); p.draw(); }
    },
  };
  const frame = document.createElement('div');
  frame.className = told.layouts.length > 1 ? 'maps' : '';
  const said = document.createElement('div');
  said.className = 'keys';
  for (const key of told.keys) {
    const item = document.createElement('span'), dot = document.createElement('i');
    dot.style.background = key.colour;
    item.append(dot, `${key.name} (${key.count})`);
    said.append(item);
  }
  const chosen = document.createElement('span');
  chosen.className = 'map-said';
  chosen.setAttribute('role', 'status');
  said.append(chosen);
  root.append(said, frame);
  for (const layout of told.layouts) {
    const box = document.createElement('figure'), head = document.createElement('h3'), canvas = document.createElement('canvas');
    const tip = document.createElement('div');
    box.className = 'map'; box.style.margin = '0'; head.textContent = layout.label; tip.className = 'map-tip';
    canvas.tabIndex = 0;
    canvas.setAttribute('role', 'img');
    canvas.setAttribute('aria-label', `Map of ${count} chunks, ${layout.label}. Arrows move, plus and minus zoom.`);
    box.append(head, canvas, tip);
    frame.append(box);
    try {
      const plane = new Plane(shared, decode(layout.points, Float32Array), canvas, tip);
      planes.push(plane);
      plane.draw();
    } catch (error) {
      head.textContent = 'This browser cannot draw the map: it has no WebGL.';
    }
  }
  root.dataset.drawn = String(count);
  if (matchMedia('(max-width: 760px)').matches) element.scrollIntoView();
};
watch('value', show);
show();
