// Package result holds what benchmarks found: one JSON file, from which everything that a person or a program reads is
// made, now or years later.
//
// A [File] has a version, the command that made it, the environment, its sides, and rows:
//
//	{"version": 1, "kind": "run", "command": ["qkv", "bench", "run", ...], "begun": "...", "environment": {...},
//	 "sides": [{"name": "nvme", "device": {...}}, {"name": "ssd", ...}],
//	 "rows": [{"side": "nvme", "name": "put", "mode": "closed", "parameters": {"in-flight": "1000"},
//	           "runs": [{"seconds": 10, "count": 812345, "rate": 81234, "histogram": "HISTFAAA...", "windows": [...]}]}]}
//
// A row is one load on one side. Its mode says what its latencies mean, and modes are never mixed in a table:
//
//	closed   a number of requests is kept in flight; latency belongs to that number
//	open     requests begin at times that were planned; latency counts from then, so that what a stall delays is in it
//	probe    one operation after the other on a device or a socket
//	event    each run is one occurrence, such as a leader's death
//
// A run also has the parts that a write's mean latency is made of (stages), where members tell them, and the members' syncs over
// time. [File.Verdicts] is made of those: what bounds a load, and in which part of a write two sides differ.
//
// Histograms are kept whole (HdrHistogram V2, base64, in nanoseconds) and merged without loss: percentiles are never
// averaged, and where one would rest on fewer than ten samples it says "too few". Differences are claimed of a whole file at
// once: package stat says why. Version 1 is read as long as there is a
// qkv that writes it; a file of a version above is refused, since what it means is not known.
//
// [Table] is the one table; it is printed as text, Markdown and CSV. [File.Ratios] sums it up in Markdown, in one.
// [File.BenchmarkLines] is Go's benchmark format, for benchstat. [Page] is a self-contained HTML page that loads nothing. What
// was emulated says so in every row and chart.
package result
