// Package bench measures: a load of puts and gets on a cluster, and what the machine below it could do at best.
//
//   - [Load] keeps a fixed number of requests in flight over the client library's asynchronous calls, so that one
//     process makes as much load as there are processors for. Each request that ends begins the next one, so the
//     rate is what the cluster gives and the latency belongs to that number in flight (a closed loop: a cluster that
//     stands still is asked less, and what would have arrived meanwhile is not counted; LongestGap shows it).
//   - [Echo] is the rate at which this machine carries frames of the same size there and back over one QUIC
//     connection, with nothing behind it: no member can be faster.
//   - [Fdatasync] is how long the disk takes to make one page of a zero-filled file durable, back to back or after a
//     rest: no put can be faster.
//
// Only ratios of figures that were measured in one run, one after the other, are worth comparing: the same machine
// drifts by a factor of 1.5 within an hour. Latencies are kept in HdrHistograms of three digits and merged as such;
// percentiles are never averaged. What failed is counted and named, and is in no latency.
package bench
