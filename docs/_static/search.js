// The search: an error, as it was pasted, finds the pitfalls that have seen it; words find the sections that have them.
// howto-sections.js has the sections of all how-tos, and beside each pitfall the errors that it shows.
const sections = Object.entries(HOWTO_SECTIONS).flatMap(([page, parts]) =>
  parts.map((part, at) => ({ ...part, page, at, id: `${page}#${part.id}`, anchor: part.id, question: parts[0].title, says: JSON.stringify(part).toLowerCase() })),
);
const byId = new Map(sections.map((section) => [section.id, section]));

// --- Errors: a name, a number or a path of a reader's own may stand where a page has another.

const IS_NAME = /[_/\\]|[a-z\d][A-Z]|^[A-Z]+[a-z]*\d|\w\.\w/;
function tokensOf(text) {
  const unquoted = text.replace(/(['"`‘’“”])([^\s'"`‘’“”]+)\1/g, " \u0001$2 "); // one word in quotes is a name
  return (unquoted.match(/\u0001?[\p{L}\p{N}_./\\*-]+/gu) ?? []).map((found) => {
    const word = found.replace(/^\u0001/, "").replace(/[.*-]+$/, "");
    const kind = /^[\d.]+$/.test(word) ? "number" : found[0] === "\u0001" || IS_NAME.test(word) ? "name" : "word";
    return { kind, text: word.toLowerCase(), worth: kind === "word" ? 1 : 0.4, isQuoted: found[0] === "\u0001" };
  }).filter(({ text }) => text);
}
const withoutType = (text) => text.replace(/^[\w.]*(?:Error|Exception|Interrupt|Warning): */, "");
const plain = (text) => text.toLowerCase().replace(/['"`‘’“”]/g, "").replace(/\s+/g, " ").trim();
const words = (tokens) => tokens.filter(({ kind }) => kind === "word").length;
const worth = (tokens) => tokens.reduce((sum, token) => sum + token.worth, 0);

const symptoms = sections.flatMap((section) =>
  (section.errors ?? []).map((error) => {
    const message = withoutType(error);
    return { section, whole: plain(error), message: plain(message), tokens: tokensOf(message) };
  }),
);

// How much of the one stands in the other, in its order and close together: Smith and Waterman's alignment.
function alignment(one, other) {
  let best = 0;
  let above = new Array(other.length + 1).fill(0);
  for (const token of one) {
    const row = [0];
    other.forEach((against, at) => {
      let same = -0.6;
      if (token.text === against.text) same = token.kind === "name" ? 0.8 : token.worth;
      else if (token.kind === against.kind && token.kind !== "word") same = token.worth;
      row.push(Math.max(0, above[at] + same, above[at + 1] - 0.4, row[at] - 0.4));
      best = Math.max(best, row.at(-1));
    });
    above = row;
  }
  return best;
}

function pitfallsOf(query) {
  const asked = plain(query);
  const tokens = tokensOf(query);
  const quoted = tokens.filter(({ isQuoted }) => isQuoted);
  const found = new Map();
  for (const { section, whole, message, tokens: symptom } of symptoms) {
    const shorter = worth(symptom) < worth(tokens) ? symptom : tokens;
    let score = words(shorter) >= 3 ? alignment(symptom, tokens) / worth(shorter) : 0;
    // Verbatim; of two the longer is the more exact.
    for (const text of [whole, message]) {
      const isMoreThanAType = text.length > 7 && (/ /.test(text) || asked === text);
      if (isMoreThanAType && asked.includes(text)) score = Math.max(score, 1.2 + text.length / 1000);
    }
    if (asked.split(" ").length > 2 && whole.includes(asked)) score = Math.max(score, 1.2 + asked.length / 1000);
    const knows = ({ text }) => section.says.includes(text);
    if (quoted.length) score += 0.2 * (quoted.filter(knows).length / quoted.length); // of two with the same words
    if (score >= 0.75 && score > (found.get(section) ?? 0)) found.set(section, score);
  }
  const best = Math.max(...found.values());
  return [...found].filter(([, score]) => score > best - 0.15).sort((one, other) => other[1] - one[1]).map(([each]) => each);
}

// --- Words: all of them, else most of them; a word may begin like another, or have one letter wrong.

const SAME = [ // what people ask for, and what the pages call it
  [/fine[- ]?tun\w*|transfer learning/g, "finetune"],
  [/multi(ple)?[- ]?gpus?/g, "several gpus"],
  [/visuali[sz]\w*/g, "draw detect"],
  [/(close|disable|turn off|stop) mosaic/g, "mosaic off"],
  [/(multiple|multi|combine|merge) ?-?datasets?/g, "several datasets"],
  [/custom (data ?sets?|data|class(es)?)/g, "own classes"],
  [/(custom|own|new) (hook|backbone|head|loss|module)/g, "own module $2"],
  [/early[- ]?stop\w*/g, "early stopping"],
  [/imbalanced?|long[- ]tail\w*|class[- ]weights?/g, "class_weight rare classes"],
  [/(tiny|little) objects?/g, "small objects"],
  [/\boom\b/g, "cuda out of memory"],
  [/free?z\w* (layers?|weights?|backbone)/g, "freeze frozen"],
  [/per[- ]class|class[- ]?wise/g, "classwise each class"],
];
const OF_NO_USE = new Set("a an and any are as at be by can do does for from get how i in is it me my not of on or so that the there this to use using want what when why with you".split(" "));
const stem = (word) => (word.length > 4 ? word.replace(/(?:ing|ed|es|s)$/, "") : word);
const index = new MiniSearch({
  fields: ["title", "question", "topic", "keywords", "text", "code"],
  processTerm: (term) => (OF_NO_USE.has(term.toLowerCase()) ? null : stem(term.toLowerCase())),
});
index.addAll(sections.map((section) => ({ topic: "", keywords: "", code: "", ...section, question: section.at ? section.question : "" })));

function sectionsOf(query) {
  const numberless = query.toLowerCase().replace(/(?<![\w.-])\d{1,2}(?![\w.-])/g, ""); // of classes, GPUs, epochs
  const asked = SAME.reduce((text, [theirs, ours]) => text.replace(theirs, ours), numberless);
  const options = {
    boost: { title: 4, question: 2, topic: 16, keywords: 8 },
    prefix: (term) => term.length > 2,
    fuzzy: (term) => (term.length > 3 ? 0.2 : false),
    boostDocument: (id) => (byId.get(id).at === 0 ? 1.5 : 1),
  };
  const all = index.search(asked, { ...options, combineWith: "AND" });
  if (all.length) return all;
  const some = index.search(asked, { ...options, combineWith: "OR" });
  const most = Math.max(0, ...some.map(({ queryTerms }) => queryTerms.length));
  return some.filter(({ queryTerms }) => queryTerms.length >= Math.max(1, most - 1));
}

// Of a traceback for which no pitfall is here, its last line is asked for.
const lastError = (query) => query.match(/[\w.]*(?:Error|Exception|Interrupt)\b(?!.*(?:Error|Exception|Interrupt)\b).*/s)?.[0] ?? query;

function search(query) {
  const pitfalls = pitfallsOf(query).map((section) => ({ section, terms: [], isError: true }));
  if (pitfalls.length) return pitfalls;
  const counts = {};
  const found = sectionsOf(/Traceback|\bFile /.test(query) ? lastError(query) : query)
    .map(({ id, terms, match, queryTerms }) => ({
      section: byId.get(id), terms, isError: false, titled: queryTerms.filter((term) => match[term]?.includes("title")),
    }));
  // A part whose title has a word that its page's title has not answers better than the page.
  const better = (part, whole) => part.page === whole.section.page && whole.section.at === 0 && part.at > 0;
  for (const whole of found.filter(({ section }) => section.at === 0)) {
    const part = found.find(({ section, titled }) => better(section, whole) && titled.some((term) => !whole.titled.includes(term)));
    if (part && found.indexOf(part) > found.indexOf(whole)) {
      found.splice(found.indexOf(part), 1);
      found.splice(found.indexOf(whole), 0, part);
    }
  }
  return found
    .filter(({ section }) => (counts[section.page] = (counts[section.page] ?? 0) + 1) <= 3)
    .slice(0, 12);
}

// --- What is found.

function excerpt({ section, terms }) {
  const { text } = section;
  const lower = text.toLowerCase();
  const first = Math.min(...terms.map((term) => lower.indexOf(term)).filter((at) => at >= 0));
  const start = Number.isFinite(first) && first > 100 ? lower.lastIndexOf(" ", first - 60) + 1 : 0;
  const shown = document.createElement("p");
  shown.className = "context";
  const cut = `${start ? "… " : ""}${text.slice(start, start + 200)}${text.length > start + 200 ? " …" : ""}`;
  const marks = terms.map((term) => term.replace(/[^\p{L}\p{N}]/gu, "\\$&")).join("|");
  for (const [at, part] of (marks ? cut.split(new RegExp(`(${marks})`, "i")) : [cut]).entries()) {
    if (at % 2) shown.append(Object.assign(document.createElement("mark"), { textContent: part }));
    else shown.append(part);
  }
  return shown;
}

const IS_VERSION = /^\s*(?:(?:onedl-?)?mm\w*)?\s*v?\d(?:\.(?:\d+|x))*\s*$/i;

function show(place, query) {
  const root = document.documentElement.dataset.content_root;
  const isVersion = IS_VERSION.test(query);
  const found = query.trim() && !isVersion ? search(query) : [];
  const list = document.createElement("ol");
  list.className = "search";
  for (const each of found) {
    const { section } = each;
    const item = document.createElement("li");
    const link = document.createElement("a");
    const rows = / /.test(query.trim()) && !each.isError ? `?rows=${encodeURIComponent(query)}` : ""; // of a table there
    link.href = `${root}${section.page}.html${section.anchor ? `#${section.anchor}` : rows}`;
    link.textContent = section.title;
    item.append(link);
    if (section.at) item.append(Object.assign(document.createElement("small"), { textContent: section.question }));
    item.append(excerpt(each));
    list.append(item);
  }
  const said = document.createElement("p");
  said.className = "search-summary";
  said.setAttribute("role", "status");
  const count = (what) => `${found.length} ${what}${found.length === 1 ? "" : "s"}`;
  if (found[0]?.isError) said.textContent = `${count("pitfall")} with this error:`;
  else if (found.length) said.textContent = `${count("part")} of the how-tos:`;
  else if (isVersion) said.textContent = "Each MMDetection has pages of its own.";
  else if (query.trim()) said.textContent = "No how-to has these words.";
  place.replaceChildren(said, list);
  if (query.trim() && !found.length) place.append(everyHowTo(isVersion));
}

// Where nothing is found, there are all how-tos, and the other versions' searches.
function everyHowTo(isVersion) {
  const others = typeof HOWTO_STACKS === "undefined" ? [] : HOWTO_STACKS;
  const here = document.querySelector(".howto-stack").dataset;
  const searches = others.filter(({ name }) => name !== here.stack).map(({ name, audience }) => {
    const link = document.createElement("a");
    link.href = `${here.root}${name}/${isVersion ? "index.html" : `search.html${location.search}`}`;
    link.textContent = isVersion ? `The how-tos for ${audience}` : `Search the how-tos for ${audience}`;
    return link;
  });
  const questions = [...document.querySelectorAll(".sidebar-tree a[href*='how-to/plot_']")].map((link) => link.cloneNode(true));
  const list = document.createElement("ul");
  for (const link of [...searches, ...questions]) {
    const item = document.createElement("li");
    item.append(link);
    list.append(item);
  }
  const instead = document.createElement("div");
  instead.className = "howto-instead";
  instead.append("Other versions, and every how-to for this one:", list);
  return instead;
}

const asking = document.querySelector("article input[name=q]");
const place = document.getElementById("search-results");
asking.value ||= new URLSearchParams(location.search).get("q") ?? ""; // somebody may have typed before this came
show(place, asking.value);
asking.addEventListener("input", () => {
  show(place, asking.value);
  if (place.dataset.address === undefined) return;
  history.replaceState(null, "", asking.value ? `?q=${encodeURIComponent(asking.value)}` : location.pathname);
});
asking.form.addEventListener("submit", (event) => {
  const first = place.querySelector(".search a");
  if (first && document.activeElement === asking) location.assign(first.href);
  event.preventDefault();
});
if (place.dataset.address !== undefined) asking.focus();

// The arrows walk through what is found.
document.addEventListener("keydown", (event) => {
  const links = [...place.querySelectorAll(".search a")];
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step || !links.length || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  const at = links.indexOf(document.activeElement);
  if (at + step < 0) asking.focus();
  else links[Math.min(at + step, links.length - 1)].focus();
});
