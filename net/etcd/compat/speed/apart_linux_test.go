package speed

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// apart lets members run on a quarter of the machine's processors, at least one, and this process, which has the clients, on the
// others: the members for good, the clients until the test's end. Where all share all of them, and clients do most of the work, as
// those of watches do, their work is most of what is compared.
func apart(t *testing.T, both [2]*side) {
	var all unix.CPUSet
	must(t, unix.SchedGetaffinity(0, &all))
	if all.Count() < 2 {
		t.Skip("members and clients apart: two processors are needed")
	}
	var members, clients unix.CPUSet
	for cpu, left := 0, max(1, all.Count()/4); members.Count()+clients.Count() < all.Count(); cpu++ {
		switch {
		case !all.IsSet(cpu):
		case members.Count() < left:
			members.Set(cpu)
		default:
			clients.Set(cpu)
		}
	}
	confine := func(pid int, to *unix.CPUSet) {
		for range 2 { // a thread that was made during the first has its maker's processors
			tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
			must(t, err)
			for _, task := range tasks {
				if tid, err := strconv.Atoi(task.Name()); err == nil {
					_ = unix.SchedSetaffinity(tid, to) // it may have ended meanwhile
				}
			}
		}
	}
	for _, s := range both {
		confine(s.member.Pid(), &members)
	}
	confine(os.Getpid(), &clients)
	runtime.SetDefaultGOMAXPROCS() // members do so by themselves, once a second
	t.Cleanup(func() {
		confine(os.Getpid(), &all)
		runtime.SetDefaultGOMAXPROCS()
	})
	if n := runtime.GOMAXPROCS(0); n != clients.Count() {
		t.Errorf("the clients have %d processors, and use %d", clients.Count(), n)
	}
	t.Logf("members on %d of %d processors, clients on the others", members.Count(), all.Count())
}
