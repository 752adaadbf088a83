// Package node is one running member. It is the place to begin: this page is the map of the program.
//
// # The idea
//
// State without goroutines, goroutines without state. log, index and snapshot are plain libraries for one goroutine;
// every goroutine of the core is an actor's (package actor), and each actor owns its part of those libraries alone. The
// packages below net turn bytes into messages and back; node connects the parts; cli and bench are the programs.
//
//	5   main.go  cli  bench                         programs
//	4   node                                        one member: build, start, stop
//	3   actor    net/peer  net/server  net/client   meet only in node, through interfaces that their user declares
//	2   snapshot  net/wire
//	1   log      index                              no goroutine, lock, clock, socket or chance
//	0   log/disk  log/pack  log/limits              file calls; msgpack by hand; the table of bounds
//
// Nothing imports sideways or upwards; a test in cli holds the floors.
//
// # One Put, file by file
//
//	cli/put.go            parses, and calls the client library
//	net/client            picks a member, and appends a frame to a stream (formats: net/wire)
//	net/server            reads many frames at once: one index.Proposal for all writes among them
//	node/node.go          endpoint.Propose sends it to consensus; a full mailbox makes the stream wait
//	actor/proposals.go    packs what waits into one batch envelope (index), proposes it, tells the applier what to expect;
//	                      a follower forwards the envelope to the leader instead
//	actor/ready.go        raft's orders: Append to the log writer, and MsgApp to the peers in the same turn
//	actor/logwriter.go    one group and one sync for all that waits (log), then the responses
//	net/peer              carries frames; the follower's consensus and log writer do the same, and answer
//	actor/consensus.go    Appended and a peer's MsgAppResp make a quorum: the commit index moves, Apply to the applier
//	actor/applier.go      applies the envelope (index), publishes the View, then hands out the results
//	net/server            each connection gets its results at once; its writer frames them
//	net/client            wakes the caller
//
// A linearizable read goes cli, net/client, net/server, actor/reads.go (one ReadIndex round for all that wait), applier
// (until its index is applied), and is answered by net/server from the View. A serializable read is answered by
// net/server from the View at once.
//
// # This package
//
//	config.go      Config, what is refused and why; the ids of a static bootstrap
//	folder.go      the data folder: lock, identity, boot counter
//	bootstrap.go   from the data folder to a log, a state and raft's beginning
//	member.go      the actors and what connects them: the constructor that the simulator calls too
//	node.go        Node: sockets, certificates, endpoints; start and stop
//	status.go      what an operator must know
//
// # Order of start and stop
//
// Start: configuration, folder mode, certificates, sockets, lock and identity, log, snapshot, state, boot counter,
// actors, peers, clients. What is refused early has changed nothing. Stop: leadership is handed over, clients finish,
// actors end in the order of the data (consensus, log writer, applier, …), the log's last fence is synced, the lock goes.
//
// # The simulator
//
// build takes an environment: file system, driver, chance, and the way to the other members. The campaign in this
// package's tests puts simulated ones in their place, and nothing else: the members that it crashes, partitions and
// stalls run the code that production runs.
package node
