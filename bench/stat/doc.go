// Package stat says what a few runs of two sides allow to say about their difference.
//
// Runs of a benchmark are few (5 to 20), their distribution is not normal (a machine that is disturbed is only ever
// slower), and they come in pairs only by the clock. So the centre is the median, its uncertainty is a percentile
// bootstrap (Efron 1979), and whether there is a difference at all is said by the Mann-Whitney U test (1947), exact where
// the samples are small and without ties. [Compare] puts the three together: it claims a difference only where the test
// and the interval both do, and says "~" otherwise, as benchstat does.
//
// It holds no state and starts no goroutine; the bootstrap draws from a seed, so equal samples give equal answers.
package stat
