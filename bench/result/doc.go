// Package result holds the results of benchmarks: one JSON file, from which all reports are made, at any later time.
//
// A [File] has a version, its command, the environment, its sides, and rows:
//
//	{"version": 1, "kind": "run", "command": ["qkv", "bench", "run", ...], "begun": "...", "environment": {...},
//	 "sides": [{"name": "nvme", "device": {...}}, {"name": "ssd", ...}],
//	 "rows": [{"side": "nvme", "name": "put", "mode": "closed", "parameters": {"in-flight": "1000"},
//	           "runs": [{"seconds": 10, "count": 812345, "rate": 81234, "histogram": "HISTFAAA...", "windows": [...]}]}]}
//
// A row is one load on one side. Its mode defines the meaning of its latencies, and modes are never mixed in a table:
//
//	closed   a fixed number of requests is in flight; latency belongs to that number
//	open     requests start at planned times; latency counts from then, and thus includes every stall
//	probe    one operation after the other on a device or a socket
//	event    each run is one event, such as the kill of a leader
//
// A run also has the stages of a write's mean latency, if members report them. [File.Verdicts] is based on those: it names a load's
// bottleneck, and the stage of a write in which two sides differ.
//
// Histograms are stored whole (HdrHistogram V2, base64, in nanoseconds) and merged without loss. Percentiles are never averaged, and a
// percentile of fewer than ten samples beyond it is shown as "too few". Differences are claimed for a whole file at once, for the reason
// in package stat. Version 1 stays readable as long as a qkv writes it; a file with a later version is refused, since its meaning is
// unknown.
//
// [Table] is the common table, printed as text. [File.Ratios] summarizes it in one Markdown table. [Page] is a self-contained HTML page
// without external resources.
package result
