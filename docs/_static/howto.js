// Without https a browser lends no clipboard, only the command to copy.
function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const put = (event) => {
    event.clipboardData.setData("text/plain", text);
    event.preventDefault();
  };
  addEventListener("copy", put);
  const done = document.execCommand("copy");
  removeEventListener("copy", put);
  if (!done) throw new Error("this browser does not let a page copy");
}

// A snippet is copied byte for byte, its last newline too; of a console only what was typed, without the prompt; of a
// page its Markdown twin, which a browser does not give to a page that was opened from a disk.
function addButton(place, name, text) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "howto-button";
  button.textContent = name;
  button.addEventListener("click", async () => {
    try {
      await copy(await text());
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not copied";
    }
    setTimeout(() => (button.textContent = name), 2000);
  });
  place.append(button);
}
const output = ".howto-printed, .howto-printed *, .highlight-none, .highlight-pytb, .highlight-diff";
for (const block of document.querySelectorAll(".howto-snippet, div[class*='highlight-']")) {
  if (block.matches(`.howto-snippet *, ${output}`)) continue;
  const text = block.querySelector("pre").textContent;
  const typed = text.split("\n").flatMap((line) => line.match(/^(?:\$|>>>|\.\.\.) (.*)/)?.[1] ?? []);
  addButton(block, "Copy", () => (block.matches(".highlight-console, .highlight-pycon") ? typed.join("\n") : text));
}
// A long file shows its beginning, and all of it once somebody asks.
for (const pre of document.querySelectorAll(".howto-snippet pre")) {
  if (pre.scrollHeight <= pre.clientHeight) continue;
  const block = pre.closest("div[class*='highlight-']");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "howto-button howto-all-lines";
  button.textContent = `Show all ${pre.textContent.trimEnd().split("\n").length} lines`;
  button.addEventListener("click", () => {
    block.classList.replace("howto-cut", "howto-whole");
    button.remove();
  });
  block.classList.add("howto-cut");
  block.closest(".howto-snippet").append(button);
}
const twin = document.querySelector(".howto-twin");
if (twin && location.protocol !== "file:") {
  addButton(twin.parentElement, "Copy page", async () => (await fetch(twin.href)).text());
}

// One switch for the code that made a page and for what it checked, where each was done; remembered.
const root = document.documentElement;
const folded = [...document.querySelectorAll(".howto-code")];
const showAll = document.createElement("button");
function show(all) {
  root.toggleAttribute("data-apparatus", all);
  for (const each of folded) {
    each.open = all;
    if (all) each.closest(".howto-fold")?.setAttribute("open", "");
  }
  showAll.textContent = all ? "Hide code and checks" : "Show code and checks";
  showAll.setAttribute("aria-pressed", all);
}
if (folded.length && twin) {
  showAll.type = "button";
  showAll.className = "howto-button";
  showAll.addEventListener("click", () => {
    const all = showAll.getAttribute("aria-pressed") !== "true";
    show(all);
    try { localStorage.setItem("howto-code", all ? "shown" : "folded"); } catch { /* then it is asked for again */ }
  });
  twin.parentElement.append(showAll);
  let remembered = false;
  try { remembered = localStorage.getItem("howto-code") === "shown"; } catch { /* then it is folded */ }
  show(remembered);
}

// A link into what is folded or hidden shows it; on paper all of it is open.
function unfold() {
  const at = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (at?.closest(".howto-apparatus")) show(true);
  if (!at?.closest("details, .howto-apparatus")) return;
  for (let each = at; each; each = each.parentElement) if (each.matches("details")) each.open = true;
  at.scrollIntoView();
}
unfold();
addEventListener("hashchange", unfold);
addEventListener("beforeprint", () => document.querySelectorAll("article details").forEach((each) => (each.open = true)));

// Ctrl-K, ⌘K and / open the search.
const field = document.querySelector("input.sidebar-search"); // the page above the stacks has none
function search() {
  const drawer = document.getElementById("__navigation");
  if (field.getBoundingClientRect().right <= 0) drawer.checked = true; // a phone keeps it in a drawer
  field.focus();
}
document.addEventListener("keydown", (event) => {
  const one = event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey;
  if (field && (one || (event.key === "/" && !event.target.matches("input, textarea")))) {
    event.preventDefault();
    search();
  }
});

// The first page answers in place; it fetches what the search needs once somebody turns to its field.
const first = document.getElementById("search-results");
if (first && first.dataset.address === undefined) {
  document.querySelector(".howto-search").addEventListener("focusin", () => {
    for (const name of ["_static/minisearch.js", "howto-sections.js", "_static/search.js"]) {
      document.head.append(Object.assign(document.createElement("script"), { src: name, async: false }));
    }
  }, { once: true });
}

// What scrolls can be scrolled by the keyboard, too. What is folded is not laid out until it opens, and all is read
// before anything is written, or the page would be laid out again for each block.
function reach() {
  const blocks = [...document.querySelectorAll("article pre, main pre, .table-wrapper, .howto-picture")];
  const seen = blocks.filter((block) => !block.closest("details:not([open])"));
  const scrolls = seen.map((each) => each.scrollWidth > each.clientWidth || each.scrollHeight > each.clientHeight);
  for (const [index, block] of seen.entries()) {
    if (scrolls[index]) block.tabIndex = 0;
    else block.removeAttribute("tabindex");
  }
}
reach();
addEventListener("resize", reach);
addEventListener("toggle", reach, true); // of a <details>, which does not bubble

// A config in a table opens below its row, as wide as the table's box.
for (const fold of document.querySelectorAll("td > details")) {
  const row = fold.closest("tr");
  const panel = document.createElement("tr");
  panel.className = "howto-panel";
  panel.append(document.createElement("td"));
  panel.firstChild.colSpan = row.cells.length;
  const content = fold.lastElementChild;
  fold.addEventListener("toggle", () => {
    (fold.open ? panel.firstChild : fold).append(content);
    if (fold.open) row.after(panel);
    else panel.remove();
  });
}

// A long table that a page measured is searched by a word, or by a number of channels.
for (const table of document.querySelectorAll(".output_html .table-wrapper")) {
  const rows = [...table.querySelectorAll("tbody tr")];
  if (rows.length < 15) continue;
  const label = document.createElement("label");
  label.className = "howto-filter";
  label.innerHTML = `Filter ${rows.length} rows <input type="search">`;
  const found = document.createElement("output");
  label.querySelector("input").addEventListener("input", (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/);
    for (const fold of table.querySelectorAll("td > details[open]")) fold.open = false;
    for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
    const left = rows.filter((row) => !row.hidden).length;
    found.textContent = left ? `${left} of ${rows.length}` : "nothing found";
  });
  table.before(label);
  label.after(found);
  // Whoever searched for a word of some rows comes to them.
  const asked = (new URLSearchParams(location.search).get("rows") ?? "").toLowerCase().split(/[\s-]+/);
  const has = (word) => rows.filter((row) => row.cells[0].textContent.toLowerCase().includes(word)).length;
  const word = asked.find((each) => each.length > 2 && has(each) && has(each) < rows.length);
  if (word) {
    label.querySelector("input").value = word;
    label.querySelector("input").dispatchEvent(new Event("input"));
  }
}

// Pairs of pictures: stepped through, and slid from the one to the other.
class HowtoPairs extends HTMLElement {
  connectedCallback() {
    const figures = [...this.querySelectorAll("figure")];
    const controls = document.createElement("div");
    controls.className = "howto-controls";
    controls.innerHTML = `<button type="button" class="howto-button">Previous</button>
      <button type="button" class="howto-button">Next</button><output></output>`;
    const [previous, next] = controls.querySelectorAll("button");
    let shown = 0;
    const show = (number) => {
      shown = (number + figures.length) % figures.length;
      figures.forEach((figure, at) => figure.classList.toggle("howto-shown", at === shown));
      controls.querySelector("output").textContent = figures[shown].querySelector("figcaption").textContent;
    };
    previous.addEventListener("click", () => show(shown - 1));
    next.addEventListener("click", () => show(shown + 1));
    show(0);
    const [before, after] = [...this.querySelectorAll("figure:first-child img")].map((image) => image.dataset.name);
    const slider = document.createElement("label");
    slider.innerHTML = `${before}<input type="range" value="50" aria-label="From ${before} to ${after}">${after}`;
    slider.querySelector("input").addEventListener("input", (event) => {
      this.style.setProperty("--cut", `${event.target.value}%`);
    });
    controls.append(slider);
    this.append(controls);
    this.setAttribute("ready", "");
  }
}
customElements.define("howto-pairs", HowtoPairs);

// The same page for another MMDetection: stacks.js, above the stacks' sites, lists what is there.
const stacksThere = typeof HOWTO_STACKS === "undefined" ? [] : HOWTO_STACKS;
const remember = (name) => {
  try { localStorage.setItem("howto-stack", name); } catch { /* then the first page asks again */ }
};
const label = document.querySelector(".howto-stack");
const others = label ? stacksThere.filter(({ name }) => name !== label.dataset.stack) : [];
if (others.length) {
  label.querySelector("a").remove();
  label.append("\u2003This page for: ");
  others.forEach(({ name, audience, pages }, place) => {
    const link = document.createElement("a");
    const there = pages.includes(label.dataset.page);
    link.href = `${label.dataset.root}${name}/${there ? label.dataset.page : "index"}.html`;
    link.textContent = there ? audience : `${audience} (has none, to its first page)`;
    link.addEventListener("click", () => remember(name));
    label.append(place ? ", " : "", link);
  });
}

// The page above the stacks: what a reader chooses is remembered, and everything on the page leads there.
const choices = [...document.querySelectorAll(".howto-choice a")];
const isChoice = (link) => link.closest(".howto-choice");
function choose(chosen) {
  const leads = (address) => {
    const [, name, page] = address.match(/^(\w+)\/(.+?)\.html/) ?? [];
    const { pages } = stacksThere.find((stack) => stack.name === chosen);
    return name && pages.includes(page) ? address.replace(name, chosen) : address;
  };
  for (const link of document.querySelectorAll("a[href]")) {
    if (!isChoice(link)) link.setAttribute("href", leads(link.getAttribute("href")));
  }
  for (const form of document.forms) form.setAttribute("action", leads(form.getAttribute("action")));
  for (const link of choices) link.setAttribute("aria-current", link.dataset.stack === chosen);
}
for (const link of choices) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    remember(link.dataset.stack);
    choose(link.dataset.stack);
  });
}
if (choices.length) {
  let chosen = null;
  try { chosen = localStorage.getItem("howto-stack"); } catch { /* then the first one stays */ }
  if (stacksThere.some(({ name }) => name === chosen)) choose(chosen);
}
