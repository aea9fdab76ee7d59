// The page viewer. Every text goes in through textContent: nothing that was read from an image, a
// file name or a table is ever parsed as HTML.
(() => {
  "use strict";
  const $ = (id) => document.getElementById(id);
  const data = $("data") && JSON.parse($("data").textContent);
  if (!data) return;

  const SVG = "http://www.w3.org/2000/svg";
  // a word of two readings that are compared has the other side's text and place too
  const [TEXT, SURE, BAND, POLYGON, KIND, OTHER, OTHER_POLYGON] = [0, 1, 2, 3, 4, 5, 6];
  const texts = (word) => [word[TEXT], word[OTHER]].filter(Boolean);
  const place = (word) => (word[POLYGON].length ? word[POLYGON] : word[OTHER_POLYGON] || []);
  const items = data.items.map((item, at) => ({
    ...item,
    at,
    haystack: [item.title, item.id, item.path, item.message, ...item.words.flatMap(texts)]
      .filter(Boolean).join("\n").toLowerCase(),
  }));
  const LISTED = 200; // words of a page at first: more are a wall, and the first are those to look at
  const state = {
    shown: items, item: null, word: null, zoom: 1, query: "", hidden: new Set(), rows: [], boxes: [], order: [], most: LISTED,
  };
  const mode = () => $("mode")?.value || "0";
  const panes = [["scroll", "stage"], ["scroll-2", "stage-2"]].map((ids) => ids.map($)).filter(([scroll]) => scroll);
  const plural = (n, one, many) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

  function share(value) {
    // 0.9997 is not 1.000: more places where a share would look like all or nothing
    for (let places = 3; places < 12; places += 1) {
      const text = value.toFixed(places);
      if (Number(text) !== 0 && Number(text) !== 1) return text;
    }
    return value.toFixed(3);
  }

  function element(name, properties = {}, ...children) {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  }

  function drawn(name, attributes) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  }

  // --- which pages, in which order ---------------------------------------------------------

  const filters = {
    "": () => true,
    pages: (item) => item.kind === "page",
    unsure: (item) => item.kind === "page" && item.words.some((w) => w[SURE] !== null && w[SURE] < 0.8),
    empty: (item) => item.kind === "page" && !item.count,
    failures: (item) => item.kind === "failure",
  };

  function predicate(chosen) {
    if (chosen.startsWith("failure:")) return (item) => item.failure === chosen.slice(8);
    if (chosen.startsWith("band:")) return (item) => item.words.some((w) => w[BAND] === chosen.slice(5));
    if (chosen.startsWith("class:")) return (item) => item.words.some((w) => w[KIND] === chosen.slice(6));
    return filters[chosen];
  }

  const last = (value) => (value === null ? Number.MAX_VALUE : value); // what has no confidence comes last
  const orders = {
    table: (a, b) => a.at - b.at,
    confidence: (a, b) => last(a.confidence) - last(b.confidence) || a.at - b.at,
    lowest: (a, b) => last(a.lowest) - last(b.lowest) || a.at - b.at,
    most: (a, b) => b.count - a.count || a.at - b.at,
    fewest: (a, b) => a.count - b.count || a.at - b.at,
  };
  const compared = (order) => (a, b) => {
    const failed = (a.kind === "failure") - (b.kind === "failure");
    return failed || orders[order](a, b);
  };

  function offer(value, name) {
    $("filter").append(element("option", { value, textContent: name }));
  }

  function fillFilter() {
    const count = (value) => items.filter(predicate(value)).length;
    const named = [["", "everything"], ...(data.sides.length
      ? data.bands.map(([kind, name]) => [`band:${kind}`, `with words: ${name}`])
      : [["pages", "labelled pages"], ["unsure", "with uncertain words"], ["empty", "without words"], ["failures", "failures"]])];
    for (const name of data.failures) named.push([`failure:${name}`, `failed: ${name}`]);
    for (const name of data.classes) named.push([`class:${name}`, `words of class ${name}`]);
    for (const [value, name] of named) {
      if (!value || count(value)) offer(value, `${name} (${count(value)})`);
    }
  }

  function listItem(item) {
    const failed = item.kind === "failure";
    const name = element("bdi", { className: "name", textContent: item.title || "(no name)" });
    name.title = item.id;
    const left = failed ? item.failure : item.left ? item.left
      : (item.pages > 1 ? `page ${item.page} of ${item.pages}` : plural(item.count, "word", "words"));
    const right = failed ? "failed" : item.right ? item.right : item.confidence === null ? "–" : share(item.confidence);
    const button = element("button", { type: "button" }, name,
      element("span", { className: "meta" },
        element("span", { textContent: left }), element("span", { textContent: right })));
    if (!failed && item.words.length) button.append(meter(item));
    button.addEventListener("click", () => visit(item));
    const entry = element("li", { className: item.kind }, button);
    item.button = button;
    return entry;
  }

  function meter(item) {
    // the page's words by band, the least certain first: a page's quality at a glance
    const svg = drawn("svg", { class: "meter", viewBox: "0 0 100 3", preserveAspectRatio: "none", "aria-hidden": "true" });
    let x = 0;
    for (const [band] of data.bands) {
      const width = 100 * item.words.filter((w) => w[BAND] === band).length / item.words.length;
      if (width) svg.append(drawn("rect", { class: band, x, width, height: 3, y: 0 }));
      x += width;
    }
    return svg;
  }

  function choose() {
    const accepted = predicate($("filter").value);
    state.query = $("search").value.trim().toLowerCase();
    state.shown = items
      .filter((item) => accepted(item) && item.haystack.includes(state.query))
      .sort(compared($("sort").value));
    $("list").replaceChildren(...state.shown.map(listItem));
    $("found").textContent = state.shown.length === items.length
      ? plural(items.length, "entry", "entries")
      : `${state.shown.length.toLocaleString("en")} of ${plural(items.length, "entry", "entries")}`;
    if (!state.shown.includes(state.item)) open(state.shown[0] || null);
    else { markCurrent(); mark(); }
  }

  // --- one page ----------------------------------------------------------------------------

  function open(item) {
    state.item = item;
    state.word = null;
    state.most = LISTED;
    markCurrent();
    const sheet = item || { title: "", words: [], facts: [], pages: 1 };
    $("title").textContent = sheet.title;
    $("subtitle").textContent = item ? subtitle(item) : "";
    $("why").hidden = !item || !(item.message || item.unsure);
    $("why").textContent = !item ? "" : item.message ? `${item.failure}: ${item.message}`
      : item.unsure ? "Not drawn at random: one of the least certain pages of the table." : "";
    drawStage(item);
    listWords(sheet);
    $("facts").replaceChildren(...sheet.facts.flatMap(([name, value]) => [
      element("dt", { textContent: name }),
      element("dd", {}, element("bdi", { textContent: value })),
    ]));
    fit();
    pointAtThis();
  }

  function subtitle(item) {
    const row = item.place ? item.place : item.kind === "failure" ? `row ${item.number.toLocaleString("en")} of the input`
      : `row ${item.number.toLocaleString("en")} of the table`;
    return item.pages > 1 ? `page ${item.page} of ${item.pages} · ${row}` : row;
  }

  function markCurrent() {
    for (const item of state.shown) item.button?.removeAttribute("aria-current");
    const at = state.shown.indexOf(state.item);
    $("previous").disabled = at <= 0;
    $("next").disabled = at < 0 || at === state.shown.length - 1;
    if (at < 0) return;
    state.item.button.setAttribute("aria-current", "true");
    const list = $("list").parentElement; // scrolled by hand: scrollIntoView would move the whole report
    const box = state.item.button.getBoundingClientRect(), frame = list.getBoundingClientRect();
    if (box.top < frame.top + 34) list.scrollTop -= frame.top + 34 - box.top;
    if (box.bottom > frame.bottom) list.scrollTop += box.bottom - frame.bottom;
  }

  function picture(item) {
    const stored = $(`picture-${item.at}`);
    return stored ? JSON.parse(stored.textContent) : { why: "" };
  }

  function drawStage(item) {
    const shown = mode();
    state.boxes = [];
    panes.forEach(([scroll, stage], at) => {
      stage.replaceChildren();
      stage.className = "stage";
      stage.removeAttribute("style");
      scroll.parentElement.hidden = at > 0 && shown !== "beside";
      const name = scroll.previousElementSibling;
      name.textContent = shown === "beside" ? data.sides[at] : "";
      name.hidden = !name.textContent;
    });
    document.querySelector(".spread").classList.toggle("beside", shown === "beside");
    const [[, stage]] = panes;
    const { src, why } = item ? picture(item) : { why: "Nothing matches." };
    if (!src && (!item || item.kind === "failure")) {
      stage.classList.add("none");
      stage.append(element("p", { textContent: why || "There is no image to show." }));
      state.size = null;
      return;
    }
    state.size = [item.width, item.height];
    const drawnOn = shown === "beside" ? panes : panes.slice(0, 1);
    drawnOn.forEach(([, sheet], at) => {
      if (src) {
        const image = element("img", { src, alt: "" });
        if (!item.width) { // a failed row's size is only known from its image
          image.addEventListener("load", () => { state.size = [image.naturalWidth, image.naturalHeight]; fit(); });
        }
        sheet.append(image);
      }
      const sides = shown === "over" ? [1, 0] : shown === "beside" ? [at] : [Number(shown)];
      if (item.kind === "page") sheet.append(overlay(item, sides, !src));
    });
    if (why) $("why").textContent = `${$("why").textContent} ${why}`.trim();
    if (why) $("why").hidden = false;
  }

  function overlay(item, sides, withTexts) {
    const svg = drawn("svg", {
      viewBox: `0 0 ${item.width} ${item.height}`, preserveAspectRatio: "none", role: "img",
      "aria-label": `${plural(item.words.length, "word", "words")} outlined where they stand; the list beside has their texts`,
    });
    for (const side of sides) {
      item.words.forEach((word, at) => {
        const [flat, text] = side ? [word[OTHER_POLYGON], word[OTHER]] : [word[POLYGON], word[TEXT]];
        if (!flat?.length) return;
        const shape = drawn("polygon", { class: `box ${word[BAND]}${side && sides.length > 1 ? " other" : ""}`, points: flat.join(" "), "data-word": at });
        const title = drawn("title", {});
        title.textContent = data.sides.length ? `${data.sides[side]}: ${text}` : `${text}  ${sure(word)}`;
        shape.append(title);
        (state.boxes[at] ||= []).push(shape);
        svg.append(shape);
        // over each other one text will do: what was read, or the other side's where nothing was
        if (withTexts && !(side && sides.length > 1 && word[POLYGON].length)) svg.append(printed(flat, text));
      });
    }
    svg.addEventListener("pointerover", (event) => point(event.target.dataset.word, true));
    svg.addEventListener("pointerout", (event) => point(event.target.dataset.word, false));
    svg.addEventListener("click", (event) => {
      const at = event.target.dataset.word;
      if (at === undefined || moved) return;
      select(Number(at));
      row(at)?.querySelector("button").focus();
    });
    return svg;
  }

  function printed(flat, written) {
    // without an image the text itself stands in its box, turned and stretched as the box is
    const [x0, y0, x1, y1] = flat, [x3, y3] = flat.slice(-2);
    const wide = Math.hypot(x1 - x0, y1 - y0), tall = Math.hypot(x3 - x0, y3 - y0);
    const turn = (Math.atan2(y1 - y0, x1 - x0) * 180) / Math.PI;
    const text = drawn("text", {
      transform: `translate(${x3} ${y3}) rotate(${turn}) translate(0 ${-0.22 * tall})`,
      "font-size": 0.78 * tall,
    });
    if (wide > 1 && written) {
      text.setAttribute("textLength", wide);
      text.setAttribute("lengthAdjust", "spacingAndGlyphs");
    }
    text.textContent = written;
    return text;
  }

  const named = Object.fromEntries(data.bands);
  const sure = (word) => (word[SURE] === null ? "–" : share(word[SURE]));
  const row = (at) => state.rows[at];
  const boxes = (at) => state.boxes[at] || [];

  function listWords(item) {
    state.rows = [];
    const order = item.words.map((_, at) => at);
    if ($("unsure-first").checked) order.sort((a, b) => last(item.words[a][SURE]) - last(item.words[b][SURE]) || a - b);
    state.order = order;
    $("words").replaceChildren(...order.map((at) => {
      const word = item.words[at];
      const [text, other] = texts(word);
      const cell = element("span", {}, element("bdi", { textContent: text || "(no text)", className: text ? "" : "empty" }));
      if (other && other !== text) { // each with the side that says so
        const side = (at) => element("span", { className: "of", textContent: ` ${data.sides[at]}` });
        cell.append(side(0), element("br"), element("bdi", { className: "other", textContent: other }), side(1));
      }
      if (data.sides.length) cell.append(element("span", { className: "kind", textContent: named[word[BAND]] }));
      if (word[KIND]) cell.append(element("span", { className: "kind", textContent: word[KIND] }));
      const button = element("button", { type: "button" },
        element("span", { className: `chip ${word[BAND]}` }), cell,
        element("span", { className: "sure", textContent: sure(word) }));
      button.addEventListener("click", () => { select(at); zoomTo(word); });
      for (const [event, on] of [["pointerenter", true], ["pointerleave", false], ["focus", true], ["blur", false]]) {
        button.addEventListener(event, () => point(at, on));
      }
      const entry = element("li", {}, button);
      state.rows[at] = entry;
      return entry;
    }));
    mark();
  }

  function point(at, on) {
    if (at === undefined) return;
    for (const one of [...boxes(at), row(at)]) one?.classList.toggle("on", on);
  }

  function mark() {
    // what is searched for is marked, and the list has it alone; a page that is here by its name keeps all
    const item = state.item;
    const hit = (word) => Boolean(state.query) && texts(word).some((text) => text.toLowerCase().includes(state.query));
    const found = item ? item.words.filter(hit).length : 0;
    let listed = 0;
    for (const at of item ? state.order : []) {
      const word = item.words[at], hidden = state.hidden.has(word[BAND]);
      for (const one of [...boxes(at), row(at)]) one?.classList.toggle("hit", hit(word));
      for (const shape of boxes(at)) shape.style.display = hidden ? "none" : "";
      const out = hidden || (found > 0 && !hit(word));
      if (!out) listed += 1;
      row(at).hidden = out || listed > state.most;
    }
    $("more").hidden = listed <= state.most;
    $("more").textContent = `and ${plural(listed - state.most, "more word", "more words")}: list all`;
    const all = item ? plural(item.count, "word", "words") : "";
    $("count").textContent = item?.kind !== "page" ? "" : found ? `${found.toLocaleString("en")} of ${all}`
      : item.count > item.words.length ? `the first ${item.words.length.toLocaleString("en")} of ${all}` : all;
  }

  // --- links -------------------------------------------------------------------------------

  function address(item, at) {
    const words = new URLSearchParams({ image: item.id, page: item.page });
    if (at !== null) words.set("word", at + 1);
    return `#${words}`;
  }

  function pointAtThis() {
    // the address bar and the link beside the title name what is shown
    $("link").textContent = "link";
    if (state.item) $("link").setAttribute("href", address(state.item, state.word));
    $("link").hidden = !state.item;
  }

  function remember() {
    pointAtThis();
    try {
      if (state.item) history.replaceState(null, "", address(state.item, state.word));
    } catch { /* some browsers allow so many a second only: the link beside the title is right */ }
  }

  function listAll() {
    state.most = Infinity;
    mark();
  }

  function select(at) {
    if (row(at)?.hidden) listAll();
    for (const old of document.querySelectorAll(".viewer .chosen")) old.classList.remove("chosen");
    state.word = at;
    for (const one of [...boxes(at), row(at)]) one?.classList.add("chosen");
    remember();
  }

  function visit(item) {
    open(item);
    bringIntoView();
    remember();
  }

  function bringIntoView(block = "nearest") {
    document.querySelector(".sheet").scrollIntoView({ block });
  }

  function follow() {
    const wanted = new URLSearchParams(location.hash.slice(1));
    if (!wanted.has("image")) return;
    const item = items.find((one) => one.id === wanted.get("image") && String(one.page) === (wanted.get("page") || "1"));
    if (!item) {
      $("why").hidden = false;
      $("why").textContent = `The link is to page ${wanted.get("page") || 1} of ${wanted.get("image")}, which is not among the pages of this file.`;
    } else {
      if (!state.shown.includes(item)) {
        $("search").value = $("filter").value = "";
        choose();
      }
      open(item);
      const at = Number(wanted.get("word")) - 1;
      if (item.words[at]) {
        select(at);
        zoomTo(item.words[at]);
        const side = document.querySelector(".side");
        side.scrollTop += row(at).getBoundingClientRect().top - side.getBoundingClientRect().top - side.clientHeight / 2;
      }
    }
    bringIntoView();
  }

  // --- zoom --------------------------------------------------------------------------------

  function room() {
    const style = getComputedStyle($("scroll"));
    return [
      $("scroll").clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight),
      $("scroll").clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom),
    ];
  }

  function fit() {
    if (!state.size) { $("zoom").textContent = ""; return; }
    const [wide, tall] = room();
    zoomAt(Math.min(wide / state.size[0], tall / state.size[1]));
  }

  function zoomAt(scale, at) {
    // `at` is a point of the page, 0..1, that stays where it is on the screen; by default the middle
    if (!state.size || !(scale > 0)) return;
    const scroll = $("scroll"), stage = $("stage");
    const [wide, tall] = room();
    const least = Math.min(0.05, wide / state.size[0], tall / state.size[1]);
    state.zoom = Math.min(Math.max(scale, least), 16);
    const before = stage.getBoundingClientRect(), frame = scroll.getBoundingClientRect();
    const [fx, fy] = at || [
      before.width ? (frame.left + frame.width / 2 - before.left) / before.width : 0.5,
      before.height ? (frame.top + frame.height / 2 - before.top) / before.height : 0.5,
    ];
    const [sx, sy] = [before.left + fx * before.width, before.top + fy * before.height];
    for (const [, one] of panes) {
      one.style.width = `${state.size[0] * state.zoom}px`;
      one.style.height = `${state.size[1] * state.zoom}px`;
    }
    const after = stage.getBoundingClientRect();
    scroll.scrollLeft += after.left + fx * after.width - sx;
    scroll.scrollTop += after.top + fy * after.height - sy;
    $("zoom").textContent = `${Math.round(100 * state.zoom)} %`;
  }

  function zoomTo(word) {
    const flat = place(word);
    if (!flat.length || !state.size) return;
    const xs = flat.filter((_, i) => i % 2 === 0), ys = flat.filter((_, i) => i % 2);
    const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const [wide, tall] = room();
    zoomAt(Math.max(state.zoom, Math.min(wide / 3 / (right - left || 1), tall / 5 / (bottom - top || 1), 2)));
    const scroll = $("scroll"), frame = scroll.getBoundingClientRect(), stage = $("stage").getBoundingClientRect();
    scroll.scrollLeft += stage.left + ((left + right) / 2) * state.zoom - frame.left - frame.width / 2;
    scroll.scrollTop += stage.top + ((top + bottom) / 2) * state.zoom - frame.top - frame.height / 2;
  }

  // --- hands -------------------------------------------------------------------------------

  function step(by) {
    const at = state.shown.indexOf(state.item);
    const item = state.shown[at + by];
    if (item) visit(item);
  }

  function redraw() {
    drawStage(state.item);
    fit();
    if (state.word !== null) select(state.word);
    mark();
  }

  const keys = {
    j: () => step(1), ArrowRight: () => step(1), ArrowDown: () => step(1),
    k: () => step(-1), ArrowLeft: () => step(-1), ArrowUp: () => step(-1),
    "+": () => zoomAt(state.zoom * 1.25), "=": () => zoomAt(state.zoom * 1.25),
    "-": () => zoomAt(state.zoom / 1.25), 0: fit,
    "/": () => { $("viewer").scrollIntoView({ block: "nearest" }); $("search").focus(); $("search").select(); },
    s: () => {
      if (!$("mode")) return;
      $("mode").value = mode() === "beside" ? "over" : "beside";
      redraw();
    },
    Escape: () => { fit(); document.activeElement?.blur(); },
  };

  // up and down move the report itself as long as nobody is in the viewer
  const inViewer = () => $("viewer").contains(document.activeElement);

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches("input[type=search], select");
    if (typing && event.key !== "Escape") return;
    if (typing) {
      if (event.target === $("search")) { $("search").value = ""; choose(); }
      $("scroll").focus();
      event.preventDefault();
      return;
    }
    if (/^Arrow(Up|Down)$/.test(event.key) && !inViewer()) return;
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });

  let moved = false, grip = null;
  panes.forEach(([scroll, stage], at) => {
    scroll.addEventListener("pointerdown", (event) => {
      moved = false;
      if (event.button === 0 && event.pointerType === "mouse") grip = [event.clientX, event.clientY, scroll.scrollLeft, scroll.scrollTop, scroll];
    });
    scroll.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      const sheet = stage.getBoundingClientRect();
      zoomAt(state.zoom * Math.exp(-event.deltaY / 300),
        [(event.clientX - sheet.left) / sheet.width, (event.clientY - sheet.top) / sheet.height]);
    }, { passive: false });
    scroll.addEventListener("scroll", () => { // two sides show the same part
      const other = panes[1 - at]?.[0];
      if (other && mode() === "beside") [other.scrollLeft, other.scrollTop] = [scroll.scrollLeft, scroll.scrollTop];
    });
  });
  addEventListener("pointermove", (event) => {
    if (!grip) return;
    const [dx, dy] = [event.clientX - grip[0], event.clientY - grip[1]];
    if (!moved && Math.hypot(dx, dy) < 4) return;
    moved = true;
    grip[4].classList.add("drags");
    [grip[4].scrollLeft, grip[4].scrollTop] = [grip[2] - dx, grip[3] - dy];
  });
  addEventListener("pointerup", () => { grip?.[4].classList.remove("drags"); grip = null; });

  $("search").addEventListener("input", choose);
  $("filter").addEventListener("change", choose);
  $("sort").addEventListener("change", () => { state.item = null; choose(); });
  $("unsure-first").addEventListener("change", () => { if (state.item) listWords(state.item); });
  $("mode")?.addEventListener("change", redraw);
  $("link").addEventListener("click", (event) => {
    event.preventDefault();
    remember();
    navigator.clipboard?.writeText(location.href).then(() => { $("link").textContent = "copied"; }, () => {});
  });
  addEventListener("hashchange", follow);
  $("previous").addEventListener("click", () => step(-1));
  $("next").addEventListener("click", () => step(1));
  $("larger").addEventListener("click", keys["+"]);
  $("smaller").addEventListener("click", keys["-"]);
  $("fit").addEventListener("click", fit);
  $("more").addEventListener("click", listAll);
  for (const toggle of document.querySelectorAll("[data-band]")) {
    toggle.addEventListener("change", () => {
      state.hidden[toggle.checked ? "delete" : "add"](toggle.dataset.band);
      mark();
    });
  }
  for (const link of document.querySelectorAll("[data-filter]")) {
    link.addEventListener("click", () => {
      const option = [...$("filter").options].find((one) => one.value === link.dataset.filter);
      if (!option) return;
      $("filter").value = option.value;
      choose();
      $("pages").scrollIntoView();
    });
  }
  let width = 0;
  new ResizeObserver(() => {
    const wide = $("scroll").clientWidth;
    if (wide === width) return;
    width = wide;
    fit();
    if (state.word !== null) zoomTo(state.item.words[state.word]);
  }).observe($("scroll"));

  $("viewer").hidden = false;
  $("viewer").classList.toggle("alone", items.length === 1);
  fillFilter();
  choose();
  follow();
})();
