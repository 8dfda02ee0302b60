"use strict";
/* The plots of a report: read the statistics embedded in the page, draw them as SVG, follow pickers and pointer. */
(() => {
  const study = JSON.parse(document.getElementById("study").textContent);
  const NAMES = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]; // Okabe and Ito, 2008
  const RAMP = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [170, 220, 50]]; // viridis up to 0.9
  const SHAPES = ["M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0", "M-3.5,-3.5h7v7h-7z", "M0,-5l5,5l-5,5l-5,-5z", "M0,-5l4.6,8h-9.2z",
    "M0,5l4.6,-8h-9.2z"];
  const X_DECADES = 2, Y_DECADES = 1.5, MOST_KEYS = 12, REACH = 40;

  // ---- elements

  const fill = (node, attributes, children) => {
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  };
  const html = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
  const svg = (tag, attributes = {}, ...children) =>
    fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

  const picker = (title, options, chosen, act) => {
    const select = html("select", {"data-picker": title},
      ...options.map(([value, text]) => html("option", value === chosen ? {value, selected: ""} : {value}, text)));
    select.addEventListener("change", () => act(select.value));
    return html("label", {}, html("span", {}, title), select);
  };

  // ---- numbers

  const isNumber = (value) => value !== null && Number.isFinite(value);
  const printed = (value, digits = 4) => {
    if (!isNumber(value)) return "–";
    const size = Math.abs(value);
    return size !== 0 && (size < 1e-3 || size >= 1e5)
      ? value.toExponential(digits - 1).replace(/\.?0+e/, "e").replace("e+", "e")
      : String(Number(value.toPrecision(digits)));
  };
  const withUnits = (text, units) => (units ? `${text} ${units}` : text);
  const titled = (it, power = 0) => {
    const unit = [power ? `1e${power}` : "", it.units].filter(Boolean).join(" ");
    return unit ? `${it.name} (${unit})` : it.name;
  };
  const decades = (values) => {
    const positive = values.filter((value) => value > 0);
    if (!positive.length || values.some((value) => value < 0)) return 0;
    return Math.log10(Math.max(...positive) / Math.min(...positive));
  };

  // ---- scales: `at` gives pixels, `ticks` pairs of a value and its text

  const namesScale = (names, from, to) => {
    const step = (to - from) / names.length;
    const every = Math.ceil((names.length * 14) / Math.abs(to - from));
    return {at: (place) => from + (place + 0.5) * step, step, power: 0,
      ticks: names.map((name, place) => [place, name]).filter(([place]) => place % every === 0)};
  };

  const linearScale = (values, from, to, wanted) => {
    let low = Math.min(...values), high = Math.max(...values);
    if (low === high) [low, high] = [low - (Math.abs(low) || 1) * 0.05, high + (Math.abs(high) || 1) * 0.05];
    const margin = 0.04 * (high - low), size = Math.max(Math.abs(low), Math.abs(high));
    [low, high] = [low - margin, high + margin];
    const rough = (high - low) / wanted, ten = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find((factor) => factor * ten >= rough) * ten;
    const power = size >= 1e-2 && size < 1e5 ? 0 : 3 * Math.floor(Math.log10(size) / 3);
    const ticks = [];
    for (let i = Math.ceil(low / step); i * step <= high; i++)
      ticks.push([i * step, String(Number(((i * step) / 10 ** power).toPrecision(6)))]);
    return {at: (value) => from + ((value - low) / (high - low)) * (to - from), ticks, power};
  };

  const logScale = (values, from, to, wanted) => {
    const positive = values.filter((value) => value > 0), zero = positive.length < values.length;
    const first = Math.log10(Math.min(...positive)), last = Math.log10(Math.max(...positive));
    const low = first - (zero ? 0.7 : 0.05 * (last - first)), high = last + 0.05 * (last - first);
    const at = (value) => from + (((value > 0 ? Math.log10(value) : low + 0.1) - low) / (high - low)) * (to - from);
    const ticks = zero ? [[0, "0"]] : [];
    const every = Math.max(1, Math.ceil((last - first) / wanted)), between = last - first < 2.5 ? [1, 2, 5] : [1];
    for (let exponent = Math.floor(first); exponent <= Math.ceil(last); exponent++)
      for (const factor of between) {
        const value = factor * 10 ** exponent;
        if (exponent % every === 0 && value >= 10 ** first * 0.99 && value <= 10 ** high) ticks.push([value, printed(value)]);
      }
    return {at, ticks, power: 0};
  };

  const scale = (values, from, to, wanted, limit) =>
    (decades(values) >= limit ? logScale : linearScale)(values, from, to, wanted);

  const colourOf = (axis, place) => {
    if (typeof axis.values[0] === "string") return NAMES[place % NAMES.length];
    const where = (place / Math.max(1, axis.values.length - 1)) * (RAMP.length - 1), left = Math.min(Math.floor(where), 3);
    return `rgb(${RAMP[left].map((value, i) => Math.round(value + (where - left) * (RAMP[left + 1][i] - value)))})`;
  };

  // ---- one chart: {x: {name, units, names?}, y, reference, series: [{name, colour, shape, joined, points}]}

  const draw = (figure, chart) => {
    const host = figure.querySelector(".canvas");
    const width = Math.max(280, host.clientWidth), height = Math.round(Math.min(420, Math.max(240, 0.55 * width)));
    const points = chart.series.flatMap((series) => series.points.filter((point) => isNumber(point.x) && isNumber(point.y)));
    figure.querySelector(".legend").replaceChildren(...keys(chart));
    if (!points.length) {
      host.replaceChildren(html("p", {class: "empty"}, "No chip has a result here yet."));
      return;
    }
    const heights = points.flatMap((point) => [point.y, point.low, point.high]).concat([chart.reference]).filter(isNumber);
    const box = {left: 58, right: width - 12, top: 12, bottom: height - 46};
    if (chart.x.names && isSlanted(chart.x.names, (box.right - box.left) / chart.x.names.length)) box.bottom -= 18;
    const log = decades(points.map((point) => point.y).concat([chart.reference]).filter(isNumber)) >= Y_DECADES;
    const y = (log ? logScale : linearScale)(log ? heights.filter((value) => value > 0) : heights, box.bottom, box.top, 6);
    const widths = points.flatMap((point) => [point.x, point.left, point.right]).filter(isNumber);
    const x = chart.x.names ? namesScale(chart.x.names, box.left, box.right)
      : scale(widths, box.left, box.right, Math.max(4, Math.floor(width / 90)), X_DECADES);
    const canvas = svg("svg", {viewBox: `0 0 ${width} ${height}`, role: "img", tabindex: "0", "aria-label": chart.about});
    canvas.append(...frame(box, x, y, chart, height));
    if (isNumber(chart.reference)) canvas.append(svg("line",
      {class: "reference", x1: box.left, x2: box.right, y1: y.at(chart.reference), y2: y.at(chart.reference)}));
    const clamp = (value) => Math.min(box.bottom, Math.max(box.top, log && value <= 0 ? box.bottom : y.at(value)));
    const placed = chart.series.flatMap((series, order) => drawSeries(canvas, series, (point) => {
      const dodge = chart.x.names ? (order - (chart.series.length - 1) / 2) * (x.step * 0.5 / chart.series.length) : 0;
      return {point, series, x: x.at(point.x) + dodge, y: y.at(point.y),
        low: isNumber(point.low) ? clamp(point.low) : null, high: isNumber(point.high) ? clamp(point.high) : null,
        left: isNumber(point.left) ? x.at(point.left) : null, right: isNumber(point.right) ? x.at(point.right) : null};
    }));
    host.replaceChildren(canvas);
    follow(host, canvas, placed, width);
  };

  const isSlanted = (names, step) => names.some((text) => text.length * 6.5 > step); // names wider than their room

  const frame = (box, x, y, chart, height) => {
    const parts = [];
    const slanted = chart.x.names && isSlanted(x.ticks.map(([, text]) => text), x.step);
    for (const [value, text] of y.ticks) parts.push(
      svg("line", {class: "grid", x1: box.left, x2: box.right, y1: y.at(value), y2: y.at(value)}),
      svg("text", {x: box.left - 6, y: y.at(value) + 4, "text-anchor": "end"}, text));
    for (const [value, text] of x.ticks) {
      const place = x.at(value);
      parts.push(svg("line", {class: "tick", x1: place, x2: place, y1: box.bottom, y2: box.bottom + 4}), svg("text",
        {x: place, y: box.bottom + 17, ...(slanted ? {"text-anchor": "end", transform: `rotate(-18 ${place} ${box.bottom + 17})`}
          : {"text-anchor": "middle"})}, text));
    }
    parts.push(svg("path", {class: "axis", d: `M${box.left},${box.top}V${box.bottom}H${box.right}`}));
    parts.push(svg("text", {class: "title", x: (box.left + box.right) / 2, y: height - 8, "text-anchor": "middle"},
      titled(chart.x, x.power)));
    parts.push(svg("text", {class: "title", "text-anchor": "middle",
      transform: `translate(13 ${(box.top + box.bottom) / 2}) rotate(-90)`}, titled(chart.y, y.power)));
    return parts;
  };

  const drawSeries = (canvas, series, place) => {
    const known = series.points.filter((point) => isNumber(point.x) && isNumber(point.y)).map(place);
    if (series.joined) known.sort((one, other) => one.x - other.x);
    const banded = known.filter((at) => at.low !== null && at.high !== null);
    const path = (list, height) => list.map((at) => `${at.x.toFixed(1)},${height(at).toFixed(1)}`).join("L");
    if (series.joined && known.length > 1) {
      if (banded.length > 1) canvas.append(svg("path", {class: "band", fill: series.colour,
        d: `M${path(banded, (at) => at.high)}L${path([...banded].reverse(), (at) => at.low)}Z`}));
      canvas.append(svg("path", {class: "line", stroke: series.colour, d: `M${path(known, (at) => at.y)}`}));
    }
    known.sort((one, other) => (one.point.marked ? 1 : 0) - (other.point.marked ? 1 : 0)); // what is marked lies on top
    for (const at of known) {
      if (!series.joined) {
        if (at.low !== null && at.high !== null) canvas.append(
          svg("path", {class: "bar", stroke: series.colour, d: `M${at.x},${at.low}V${at.high}`}));
        if (at.left !== null && at.right !== null) canvas.append(
          svg("path", {class: "bar", stroke: series.colour, d: `M${at.left},${at.y}H${at.right}`}));
      }
      canvas.append(svg("path", {class: at.point.marked ? "mark ring" : "mark", fill: series.colour, d: series.shape,
        transform: `translate(${at.x.toFixed(1)} ${at.y.toFixed(1)})`}));
    }
    return known;
  };

  const keys = (chart) => {
    const key = (colour, shape, name) => html("span", {class: "key"},
      svg("svg", {viewBox: "-7 -7 14 14", width: 14, height: 14}, svg("path", {d: shape, fill: colour})), name);
    const named = chart.series.filter((series) => series.name);
    const shown = named.length <= MOST_KEYS ? named : [named[0], named[named.length >> 1], named[named.length - 1]];
    const found = shown.map((series) => key(series.colour, series.shape, series.name));
    if (found.length && chart.keys) found.unshift(html("span", {}, `${chart.keys}:`));
    if (isNumber(chart.reference)) found.push(html("span", {class: "key"}, svg("svg", {viewBox: "0 0 22 14", width: 22, height: 14},
      svg("line", {class: "reference", x1: 0, x2: 22, y1: 7, y2: 7})), `digital: ${printed(chart.reference)}`));
    if (chart.marks) found.push(html("span", {class: "key"}, svg("svg", {viewBox: "-7 -7 14 14", width: 14, height: 14},
      svg("path", {class: "mark ring", d: SHAPES[0], fill: "#fff"})), chart.marks));
    return found;
  };

  // ---- the values of the point under the pointer, or of the next one by arrow keys

  const follow = (host, canvas, placed, width) => {
    const tip = html("div", {class: "tip", role: "status", hidden: ""});
    const ring = svg("circle", {class: "pointed", r: 8, visibility: "hidden"});
    canvas.append(ring);
    host.append(tip);
    let current = -1;
    const hide = () => { tip.hidden = true; ring.setAttribute("visibility", "hidden"); };
    const show = (place) => {
      current = place;
      const at = placed[place];
      fill(ring, {cx: at.x, cy: at.y, visibility: "visible"}, []);
      tip.replaceChildren(...at.point.tip.map(([name, value]) => html("div", {}, html("b", {}, value), ` ${name}`)));
      tip.hidden = false;
      const factor = canvas.clientWidth / width, left = at.x * factor;
      tip.style.left = `${Math.min(Math.max(0, left + 12), host.clientWidth - tip.offsetWidth)}px`;
      const above = at.y * factor - tip.offsetHeight - 12;
      tip.style.top = `${above >= 0 ? above : at.y * factor + 14}px`;
    };
    const move = (event) => {
      const area = canvas.getBoundingClientRect(), factor = width / area.width;
      const x = (event.clientX - area.left) * factor, y = (event.clientY - area.top) * factor;
      let best = -1, nearest = REACH ** 2;
      placed.forEach((at, place) => {
        const distance = (at.x - x) ** 2 + (at.y - y) ** 2;
        if (distance < nearest) [best, nearest] = [place, distance];
      });
      if (best >= 0) show(best); else hide();
    };
    canvas.addEventListener("pointermove", move);
    canvas.addEventListener("pointerdown", move);
    canvas.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") hide(); });
    canvas.addEventListener("blur", hide);
    canvas.addEventListener("keydown", (event) => {
      const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
      if (!step) return;
      event.preventDefault();
      show((current + step + placed.length) % placed.length);
    });
  };

  // ---- what a table of statistics offers

  const varied = (table) => Object.keys(table.axes).filter((name) => table.axes[name].values.length > 1);
  const isGrid = (table) => Object.values(table.axes).reduce((n, axis) => n * axis.values.length, 1) === table.n.length;
  const value = (axis, row) => axis.values[axis.codes[row]];
  const text = (axis, row) => (typeof value(axis, row) === "string" ? value(axis, row) : withUnits(printed(value(axis, row)), axis.units));
  const settings = (table, row) => varied(table).map((name) => [table.axes[name].name, text(table.axes[name], row)]);
  const statistics = (table, metric, row) => [
    [metric.name, withUnits(printed(metric.mean[row]), metric.units)],
    [study.interval, `${printed(metric.low[row])} to ${printed(metric.high[row])}`],
    ["worst chip", printed(metric.worst[row])],
    ["chips", printed(table.n[row])],
  ];
  const axisOptions = (table, names) => names.map((name) => [name, table.axes[name].name]);
  const metricOptions = (tables) => tables.flatMap((table, place) =>
    Object.entries(table.metrics).map(([name, metric]) => [`${place}:${name}`, metric.name === name ? name : `${name}: ${metric.name}`]));
  const redrawn = (figure, chart) => {
    const again = () => draw(figure, chart());
    new ResizeObserver(again).observe(figure.querySelector(".canvas"));
    return again;
  };

  // ---- the plots

  const results = (figure) => {
    const state = {metric: metricOptions(study.tables)[0][0], fixed: {}};
    const chosen = () => {
      const [place, name] = [Number(state.metric.split(":")[0]), state.metric.slice(state.metric.indexOf(":") + 1)];
      return [study.tables[place], study.tables[place].metrics[name]];
    };
    const settle = () => {
      const [table] = chosen(), names = varied(table);
      if (!names.includes(state.x)) state.x = names.includes("layer") ? "layer" : names[0];
      const others = names.filter((name) => name !== state.x);
      const fits = others.filter((name) => table.axes[name].values.length <= MOST_KEYS);
      if (state.hue !== "" && !others.includes(state.hue))
        state.hue = (isGrid(table) && fits.find((name) => !study.axes.includes(name))) || (isGrid(table) && fits[0]) || "";
      for (const name of others) {
        const size = table.axes[name].values.length;
        if (!(state.fixed[name] < size)) state.fixed[name] = isGrid(table) ? (size - 1) >> 1 : -1;
      }
      return [table, names, others.filter((name) => name !== state.hue)];
    };
    const chart = () => {
      const [table, metric] = chosen(), [, , rest] = settle(), x = table.axes[state.x], hue = table.axes[state.hue];
      const rows = table.n.map((_, row) => row).filter((row) =>
        rest.every((name) => state.fixed[name] < 0 || table.axes[name].codes[row] === state.fixed[name]));
      const isNames = !x || typeof x.values[0] === "string";
      const joined = !isNames && isGrid(table);
      const points = (list) => list.map((row) => ({x: !x ? 0 : isNames ? x.codes[row] : value(x, row),
        y: metric.mean[row], low: metric.low[row], high: metric.high[row],
        tip: [...statistics(table, metric, row), ...settings(table, row)]}));
      const series = !hue ? [{name: "", colour: NAMES[0], shape: SHAPES[0], joined, points: points(rows)}]
        : hue.values.map((level, place) => ({name: typeof level === "string" ? level : withUnits(printed(level), hue.units),
          colour: colourOf(hue, place), shape: SHAPES[place % SHAPES.length], joined,
          points: points(rows.filter((row) => hue.codes[row] === place))}));
      return {series: series.filter((one) => one.points.length), y: metric, reference: metric.reference, keys: hue && hue.name,
        x: !x ? {name: "", names: ["all chips"]} : isNames ? {...x, names: x.values} : x,
        about: `${metric.name} over ${x ? x.name : "the chips"}`};
    };
    const again = redrawn(figure, chart);
    const controls = () => {
      const [table, names, rest] = settle();
      const change = (key) => (picked) => { state[key] = picked; controls(); again(); };
      const other = (picked) => { // a metric with axes of its own is first shown along these
        if (picked.split(":")[0] !== state.metric.split(":")[0]) Object.assign(state, {x: undefined, hue: undefined});
        change("metric")(picked);
      };
      const pickers = [picker("Metric", metricOptions(study.tables), state.metric, other)];
      if (names.length) pickers.push(picker("Along", axisOptions(table, names), state.x, change("x")));
      if (names.length > 1) pickers.push(picker(isGrid(table) ? "Lines" : "Colour",
        [["", "none"], ...axisOptions(table, names.filter((name) => name !== state.x))], state.hue, change("hue")));
      for (const name of rest) {
        const axis = table.axes[name];
        if (!isGrid(table) && axis.values.length > MOST_KEYS) continue;
        const options = axis.values.map((level, place) =>
          [String(place), typeof level === "string" ? level : withUnits(printed(level), axis.units)]);
        pickers.push(picker(axis.name, isGrid(table) ? options : [["-1", "all"], ...options], String(state.fixed[name]),
          (picked) => { state.fixed[name] = Number(picked); again(); }));
      }
      figure.querySelector(".controls").replaceChildren(...pickers);
      figure.querySelector(".note").textContent = table.note;
    };
    controls();
    again();
  };

  const tradeoffs = (figure) => {
    const table = study.tables[0], names = [...new Set(Object.keys(study.fronts).flatMap((pair) => pair.split("|")))];
    const axes = varied(table), across = names.find((name) => table.metrics[name].units !== table.metrics[names[0]].units);
    const state = {x: across || names[1], y: names[0], hue: axes[0]};
    const again = redrawn(figure, () => {
      const [x, y, hue] = [table.metrics[state.x], table.metrics[state.y], table.axes[state.hue]];
      const front = new Map(study.fronts[`${state.x}|${state.y}`] || study.fronts[`${state.y}|${state.x}`] || []);
      const both = (name, metric, row) => [[name, withUnits(printed(metric.mean[row]), metric.units)],
        ["", `${printed(metric.low[row])} to ${printed(metric.high[row])}`]];
      const point = (row) => ({x: x.mean[row], y: y.mean[row], left: x.low[row], right: x.high[row], low: y.low[row],
        high: y.high[row], marked: front.has(row), tip: [...both(x.name, x, row), ...both(y.name, y, row), ...(front.has(row)
          ? [["probability of being on the front", printed(front.get(row), 2)]] : []), ...settings(table, row)]});
      const rows = table.n.map((_, row) => row);
      const series = hue.values.map((level, place) => ({name: typeof level === "string" ? level : withUnits(printed(level), hue.units),
        colour: colourOf(hue, place), shape: SHAPES[place % SHAPES.length], joined: false,
        points: rows.filter((row) => hue.codes[row] === place).map(point)}));
      return {series, x, y, keys: hue.name, marks: "on the front", reference: y.reference, about: `${y.name} over ${x.name}`};
    });
    const options = names.map((name) => [name, table.metrics[name].name]);
    const controls = () => figure.querySelector(".controls").replaceChildren(...[["Across", "x", options], ["Upwards", "y", options],
      ["Colour", "hue", axisOptions(table, axes)]].map(([title, key, from]) => picker(title, from.filter(([name]) =>
      !(key === "x" && name === state.y) && !(key === "y" && name === state.x)), state[key], (picked) => {
      state[key] = picked; controls(); again(); })));
    figure.querySelector(".note").textContent = table.note;
    controls();
    again();
  };

  const convergence = (figure) => {
    const names = Object.keys(study.convergence), state = {metric: names[0]};
    const again = redrawn(figure, () => {
      const metric = study.convergence[state.metric];
      const series = metric.points.map((point, place) => ({name: point.name, colour: NAMES[place], shape: SHAPES[place], joined: true,
        points: point.n.map((n, i) => ({x: n, y: point.mean[i], low: point.low[i], high: point.high[i], tip: [
          [`mean of the first ${n} chips`, withUnits(printed(point.mean[i]), metric.units)],
          [study.interval, `${printed(point.low[i])} to ${printed(point.high[i])}`]]}))}));
      return {series, x: {name: "chips", units: ""}, y: metric, about: `running mean of ${metric.name} over the number of chips`};
    });
    figure.querySelector(".controls").replaceChildren(picker("Metric", names.map((name) => [name, study.convergence[name].name]),
      state.metric, (picked) => { state.metric = picked; again(); }));
    again();
  };

  const plots = {results, tradeoffs, convergence};
  for (const figure of document.querySelectorAll("figure[data-plot]")) plots[figure.dataset.plot](figure);

  const folded = () => document.querySelectorAll("details:not([open])");
  const opened = [];
  addEventListener("beforeprint", () => {
    opened.push(...folded());
    opened.forEach((part) => { part.open = true; });
  });
  addEventListener("afterprint", () => opened.splice(0).forEach((part) => { part.open = false; }));
})();
