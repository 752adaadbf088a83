// Package stat judges whether a few runs of two sides show a difference.
//
// Benchmarks have few runs (5 to 20), their distribution is not normal (a disturbed machine is only ever slower), and they come in pairs
// only in time. golang.org/x/perf's benchmath, the statistics of benchstat, therefore judges them without an assumption: the centre is the
// median with its interval from order statistics, and the Mann-Whitney U test decides whether there is a difference, exact for small
// samples, even with ties. [CompareAll] returns "~" where the test shows none, as benchstat does.
//
// A report has tens or hundreds of figures. With a separate test at 5 % for each, most comparisons of a build with itself would claim a
// difference. All figures of one table, page or gate are therefore given to CompareAll at once, and the tests are corrected by Benjamini
// and Hochberg's procedure (1995). If nothing differs, at most one report in twenty claims anything; if something differs, at most one in
// twenty of its claims is expected to be wrong. The procedure is valid for figures that rise and fall together, as the percentiles of one
// load do (Benjamini and Yekutieli 2001).
//
// Holm's procedure gives the same guarantee if nothing differs, but it never claims more than a lone figure could. With 5 runs the test's
// smallest P is 0.008. Of 20 halved figures Holm would claim none; this procedure claims all once four differ.
//
// The price: few runs cannot show a lone difference among many figures. [Together] is the number of figures that must differ at once,
// [RunsFor] the number of runs that a single one needs; every report states them.
//
// The package holds no state and starts no goroutine, and draws nothing by chance: equal samples give equal answers.
package stat
