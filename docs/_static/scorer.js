// Sphinx's own scores, but that how-tos come before the pages about them.
var Scorer = {
  score: ([page, , , , score]) => score + (page.startsWith("how-to/plot_") ? 20 : 0),
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
