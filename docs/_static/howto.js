// A snippet is copied byte for byte, its last newline too; of a console only what was typed, without the prompt.
const output = ".sphx-glr-script-out *, .highlight-none, .highlight-pytb";
for (const block of document.querySelectorAll(".howto-snippet, div[class*='highlight-']")) {
  if (block.matches(`.howto-snippet *, ${output}`)) continue;
  const text = block.querySelector("pre").textContent;
  const typed = text.split("\n").flatMap((line) => (line.startsWith("$ ") ? line.slice(2) : []));
  const button = document.createElement("button");
  button.type = "button";
  button.className = "howto-button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(block.matches(".highlight-console") ? typed.join("\n") : text);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  block.append(button);
}

// Ctrl-K, ⌘K and / open the search.
function search() {
  const drawer = document.getElementById("__navigation");
  const field = document.querySelector("input.sidebar-search");
  if (field.getBoundingClientRect().right <= 0) drawer.checked = true; // a phone keeps it in a drawer
  field.focus();
}
document.addEventListener("keydown", (event) => {
  const one = event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey;
  if (one || (event.key === "/" && !event.target.matches("input, textarea"))) {
    event.preventDefault();
    search();
  }
});

// What scrolls can be scrolled by the keyboard, too.
function reach() {
  for (const block of document.querySelectorAll("article pre, .table-wrapper")) {
    if (block.scrollWidth > block.clientWidth || block.scrollHeight > block.clientHeight) block.tabIndex = 0;
    else block.removeAttribute("tabindex");
  }
}
reach();
addEventListener("resize", reach);
