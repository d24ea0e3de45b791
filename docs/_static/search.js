// An excerpt begins with what a page says, not with its title and what stands around it.
const textOf = Search.htmlToText;
Search.htmlToText = (html, anchor) => {
  const page = new DOMParser().parseFromString(html, "text/html");
  page.querySelectorAll(".howto-cost, h1, .howto-code > summary").forEach((each) => each.remove());
  return textOf(page.documentElement.outerHTML, anchor).replace(/\s+/g, " ").trim();
};

// Whoever pastes an error, or a part of it, finds the heading that says it first.
const searched = Search._performSearch;
Search._performSearch = (query, ...terms) => {
  const asked = query.toLowerCase().trim();
  const { alltitles, docnames, titles, filenames } = Search._index;
  const said = Object.entries(alltitles).filter(([title]) => {
    const heading = title.toLowerCase();
    const symptom = heading.slice(0, Math.max(heading.lastIndexOf(": "), 0)); // after it stands the cause
    return asked.includes(" ") && (heading.includes(asked) || (symptom.includes(" ") && asked.includes(symptom)));
  });
  const first = said.flatMap(([title, places]) => places.map(([file, id]) => [
    docnames[file], id ? `${titles[file]} > ${title}` : title, id ? `#${id}` : "", null, 100, filenames[file], SearchResultKind.title,
  ]));
  const again = ([docname, , anchor]) => first.some((each) => each[0] === docname && each[2] === anchor);
  return [...searched(query, ...terms).filter((result) => !again(result)), ...first]; // the last is shown first
};

// What is found is walked through by the arrows; where nothing is, there are all how-tos, and the other versions' searches.
const found = document.getElementById("search-results");
document.addEventListener("keydown", (event) => {
  const links = [...found.querySelectorAll("ul.search a")];
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step || !links.length || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  const at = links.indexOf(document.activeElement);
  if (at + step < 0) document.querySelector("input.sidebar-search").focus();
  else links[Math.min(at + step, links.length - 1)].focus();
});
new MutationObserver(() => {
  const said = found.querySelector(".search-summary")?.textContent ?? "";
  if (!said.includes("did not match") || found.querySelector(".howto-instead")) return;
  const instead = document.createElement("div");
  instead.className = "howto-instead";
  const others = typeof HOWTO_STACKS === "undefined" ? [] : HOWTO_STACKS;
  const here = document.querySelector(".howto-stack").dataset;
  const searches = others.filter(({ name }) => name !== here.stack).map(({ name, audience }) => {
    const link = document.createElement("a");
    link.href = `${here.root}${name}/search.html${location.search}`;
    link.textContent = `Search the how-tos for ${audience}`;
    return link;
  });
  const questions = [...document.querySelectorAll(".sidebar-tree a[href*='how-to/plot_']")].map((link) => link.cloneNode(true));
  const list = document.createElement("ul");
  for (const link of [...searches, ...questions]) {
    const item = document.createElement("li");
    item.append(link);
    list.append(item);
  }
  instead.append("Every how-to, and the searches of other versions:", list);
  found.append(instead);
}).observe(found, { childList: true, subtree: true, characterData: true });
