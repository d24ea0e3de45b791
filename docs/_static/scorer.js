// Sphinx's own scores, but that how-tos come before the pages about them, and of two the one whose title has more of
// the words that were asked for; if it has as many, the one whose title has fewer others.
const words = (text) => text.toLowerCase().split(/\W+/);
const asked = words(new URLSearchParams(location.search).get("q") ?? "");
const matching = (title) => asked.filter((word) => word && title.includes(word)).length;
var Scorer = {
  score: ([page, title, , , score]) =>
    score + (page.startsWith("how-to/plot_") ? 20 : 0) + matching(words(title)) * (1 + 1 / words(title).length),
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
