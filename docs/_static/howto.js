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
