// Package bench measures the sync latency of a disk and the performance of a store for its clients.
//
//   - [ProbeDisk] measures how long writes take to become durable, on files of every kind and by every method; [DiskProbes] are the
//     standard probes. [LogSyncs] measures syncs as the log does them: the lower bound for the latency of a put.
//   - [Load] sends requests to a [Store]: qkv's client ([native]) or an etcd v3 server ([Etcd]). A closed loop keeps a fixed number of
//     requests in flight. Its rate is the store's capacity, its latency is valid for that number only, and requests that a stall prevents
//     are never sent (LongestGap shows the stall). An open loop starts each request when it is due, and measures from that time: its
//     latency includes every stall, which avoids coordinated omission (Gil Tene's term).
//   - [Suite] runs the standard loads on several sides (the compared systems) in turns, each on a cluster of its own, and stores the runs
//     in the format of package result.
//
// In addition to loads of one repeated request, a table lists special loads (special.go): watches, maintenance, large values, and a million
// keys. They use [API], which both kinds of store implement.
//
// During a load the suite reads the members' /metrics once a second: the stages of a write ([result.Stages]), the log's syncs, and the
// processor time. The verdict on what limits the load ([result.File.Verdicts]) is based on these.
//
// Compare only ratios of figures from one run, measured in turns: the same machine drifts by a factor of 1.5 within an hour. Latencies are
// kept in HdrHistograms of three digits and merged as histograms; percentiles are never averaged. Failed requests are counted and named;
// no latency includes them.
//
// Related packages: bench/stat judges whether few runs show a difference, bench/machine describes disks and hosts, bench/result holds the
// file format and all reports. bench/lab is a module of its own, whose program measures clusters beside etcd, under the load of Kubernetes
// and under failures.
package bench
