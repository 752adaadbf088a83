// Package stat says what a few runs of two sides allow to say about their difference.
//
// Runs of a benchmark are few (5 to 20), their distribution is not normal (a machine that is disturbed is only ever
// slower), and they come in pairs only by the clock. So the centre is the median, its uncertainty is a percentile
// bootstrap (Efron 1979), and whether there is a difference at all is said by the Mann-Whitney U test (1947), exact where
// the samples are small, with ties as well. [CompareAll] puts the three together: it claims a difference only where the
// test and the interval both do, and says "~" otherwise, as benchstat does.
//
// A report has tens or hundreds of figures. If each were tested at 5 % by itself, most comparisons of a build with itself
// would claim something. So all that one table, page or gate compares is given to CompareAll at once, and the tests are
// corrected by Benjamini and Hochberg's procedure (1995): where nothing differs, at most one report in twenty claims anything, and where
// something does, at most one in twenty of its claims is expected to be wrong. It holds for figures that go up and down
// together, as the percentiles of one load do (Benjamini and Yekutieli 2001). Holm's procedure gives the same promise where nothing differs. It
// was not taken because it never claims more than a lone figure could: with 5 runs the test's smallest P is 0.008, and of
// 20 figures Holm would claim none though all of them were halved, where this one claims all once four differ.
//
// The price is that few runs cannot show a lone difference among many figures at all. [Together] says how many must differ
// at once, [RunsFor] how many runs it takes for one; whoever shows a report says so.
//
// It holds no state and starts no goroutine; the bootstrap draws from a seed, so equal samples give equal answers.
package stat
