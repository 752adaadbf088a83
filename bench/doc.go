// Package bench measures: what a disk gives a log, what a machine could do at best, and what a store gives its clients.
//
//   - [ProbeDisk] is how long writes take to be durable, on files of every kind and by every way there is; [DiskProbes] are
//     the standard ones. [LogSyncs] is the log's own case: no put can be faster.
//   - [Echo] is the rate at which this machine carries frames of the same size there and back over one QUIC
//     connection, with nothing behind it: no member can be faster.
//   - [Load] makes requests on a [Store]: qkv's client ([Native]) or an etcd v3 server ([Etcd]). A closed loop keeps a fixed
//     number in flight: the rate is what the store gives, the latency belongs to that number, and what a stall delays is
//     not asked (LongestGap shows it). An open loop begins each request when it is due, and counts from then: what a stall
//     delays is in it (what Gil Tene calls coordinated omission is not).
//   - [Suite] makes the standard loads on several sides in turns, each on a cluster of its own, and keeps the runs as
//     package result writes them.
//
// Beside one request again and again there are the special loads of a table (special.go): transactions with contention, ranges,
// watches, leases, maintenance, pages, and a million keys. They ask by [API], which both kinds of store are.
//
// While a load is made the suite reads /metrics of the members once a second: the parts of a write ([result.Stages]), the log's
// syncs, and the processors. The verdict is made of that.
//
// Only ratios of figures that were measured in one run, in turns, are worth comparing: the same machine drifts by a
// factor of 1.5 within an hour. Latencies are kept in HdrHistograms of three digits and merged as such; percentiles are
// never averaged. What failed is counted and named, and is in no latency.
//
// Beside it: bench/emulate is disks that are not there, bench/stat says what a few runs allow to say about a difference,
// bench/machine describes disks and hosts, bench/result is the file and all that is made of it.
package bench
