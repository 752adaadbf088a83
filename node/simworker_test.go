package node

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var simWorker = flag.Bool("sim.worker", false, "run the seeds that come on stdin, one a line, for a campaign")

// job is a seed that a worker runs.
type job struct {
	Seed  uint64
	Twice bool // and compare the traces
}

// run runs a seed, a second time when it is asked to, and then both must have gone the same way.
func (j job) run() result {
	r := runSeed(j.Seed, nil)
	if !j.Twice {
		return r
	}
	again := runSeed(j.Seed, nil)
	if r.Twice = true; r.Failure == "" && again.Trace != r.Trace {
		r.Failure = fmt.Sprintf("two runs differ: trace %016x after %v, and %016x after %v", r.Trace, r.Virtual, again.Trace, again.Virtual)
	}
	return r
}

// answerMark begins the lines of a worker's output that hold a result.
const answerMark = "simulated "

// TestSimulationWorker is a campaign's worker process: raft takes its randomness from a variable of the process, so one
// simulation runs in a process at a time.
func TestSimulationWorker(t *testing.T) {
	if !*simWorker {
		t.Skip("for TestSimulation only")
	}
	for jobs := json.NewDecoder(os.Stdin); ; {
		var j job
		if err := jobs.Decode(&j); err == io.EOF {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		line, err := json.Marshal(j.run())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("%s%s\n", answerMark, line)
	}
}

// seedTimeout is when a seed hangs. The slowest takes some seconds on a machine of which it has a processor.
const seedTimeout = 10 * time.Minute

// runWorkers lets processes run all jobs, and hands each result to take.
func runWorkers(t *testing.T, n int, jobs []job, take func(result)) {
	if n == 0 {
		n = runtime.GOMAXPROCS(0)
	}
	queue := make(chan job, len(jobs))
	for _, j := range jobs {
		queue <- j
	}
	close(queue)
	results := make(chan result)
	var workers sync.WaitGroup
	for number := range min(n, len(jobs)) {
		workers.Go(func() { work(t, number, queue, results) })
	}
	go func() {
		workers.Wait()
		close(results)
	}()
	for r := range results {
		take(r)
	}
}

// work runs jobs in a process, and in another one when it died of a seed.
func work(t *testing.T, number int, queue <-chan job, results chan<- result) {
	var p *worker
	for j := range queue {
		if p == nil {
			var err error
			if p, err = startWorker(t, number); err != nil {
				results <- result{Seed: j.Seed, Failure: fmt.Sprintf("no worker process: %v", err)}
				continue
			}
		}
		r, err := p.ask(j)
		if err != nil {
			r = result{Seed: j.Seed, Failure: fmt.Sprintf("the worker process died: %v\n%s", err, p.end())}
			p = nil
		}
		results <- r
	}
	if p != nil {
		p.end()
	}
}

// worker is a process that runs seeds.
type worker struct {
	command *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	said    strings.Builder
}

func startWorker(t *testing.T, number int) (*worker, error) {
	args := []string{"-test.run=^TestSimulationWorker$", "-test.timeout=0", "-sim.worker"}
	if profile := flag.Lookup("test.coverprofile").Value.String(); profile != "" {
		args = append(args, fmt.Sprintf("-test.coverprofile=%s.worker%d", profile, number))
	}
	dir, err := filepath.Abs(".")
	if err != nil {
		return nil, err
	}
	line := append([]string{os.Args[0]}, args...)
	if *simSeeds == 0 { // beside other tests, whose time is real
		line = append([]string{"nice", "-n", "10"}, line...)
	}
	p := &worker{command: exec.Command(line[0], line[1:]...)}
	p.command.Dir = dir
	p.command.Env = append(os.Environ(), "GOMAXPROCS=1", "GOGC=400")
	if p.in, err = p.command.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	p.command.Stderr = &p.said
	return p, p.command.Start()
}

// ask runs one job.
func (p *worker) ask(j job) (result, error) {
	line, err := json.Marshal(j)
	if err != nil {
		return result{}, err
	}
	var late atomic.Bool
	watchdog := time.AfterFunc(seedTimeout, func() {
		late.Store(true)
		_ = p.command.Process.Kill()
	})
	defer watchdog.Stop()
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		return result{}, err
	}
	for {
		text, err := p.out.ReadString('\n')
		if late.Load() {
			return result{}, fmt.Errorf("it was killed after %v without an answer: the seed hangs, or the host stood still", seedTimeout)
		}
		if err != nil {
			return result{}, err
		}
		if answer, ok := strings.CutPrefix(text, answerMark); ok {
			var r result
			return r, json.Unmarshal([]byte(answer), &r)
		}
		p.said.WriteString(text)
	}
}

// end ends the process, and returns what it said beside its answers.
func (p *worker) end() string {
	_ = p.in.Close()
	rest, _ := io.ReadAll(p.out)
	_ = p.command.Wait()
	return p.said.String() + string(rest)
}
