// A snippet is copied byte for byte, its last newline too.
for (const snippet of document.querySelectorAll(".howto-snippet")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "howto-copy";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(snippet.querySelector("pre").textContent);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  snippet.append(button);
}

// The same page for another MMDetection: stacks.js, above the stacks' sites, lists what is there.
const label = document.querySelector(".howto-stack");
const others = typeof HOWTO_STACKS === "undefined" ? [] : HOWTO_STACKS.filter(({ name }) => name !== label.dataset.stack);
if (others.length) {
  label.querySelector("a").remove();
  label.append("\u2003This page for: ");
  others.forEach(({ name, audience, pages }, place) => {
    const link = document.createElement("a");
    const page = pages.includes(label.dataset.page) ? label.dataset.page : "index";
    link.href = `${label.dataset.root}${name}/${page}.html`;
    link.textContent = audience;
    link.addEventListener("click", () => {
      try { localStorage.setItem("howto-stack", name); } catch { /* then the first page asks again */ }
    });
    label.append(place ? ", " : "", link);
  });
}
