// Sphinx's own scores, but that how-tos come before the pages about them, and of two the one whose title has more of
// the words that were asked for.
const words = (text) => text.toLowerCase().split(/\W+/);
const asked = words(new URLSearchParams(location.search).get("q") ?? "");
var Scorer = {
  score: ([page, title, , , score]) =>
    score + (page.startsWith("how-to/plot_") ? 20 : 0) + asked.filter((word) => word && words(title).includes(word)).length,
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
