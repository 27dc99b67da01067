package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/internal/sim"
)

// locked is what the kernel says of a process: how much of its memory is mapped under a lock, and how much is in use, in KiB.
func locked(t *testing.T, pid int) (lock, use int) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	value := func(field string) int {
		_, rest, _ := strings.Cut(string(b), "\n"+field+":")
		n, err := strconv.Atoi(strings.Fields(rest)[0])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return value("VmLck"), value("VmRSS")
}

// Goal: what a node and doctor say of memory is what the kernel does with the node's. Method: a running cluster's logs, the kernel's count
// of what is locked, which is all or next to nothing, and doctor beside a node.
func TestMemoryAsTold(t *testing.T) {
	c := sim.NewProcesses(t, 3, 2)
	c.Start()
	var all bool
	for _, p := range c.Nodes {
		lock, use := locked(t, p.PID())
		all = lock >= use
		if said := strings.Contains(p.Log.String(), "memory is locked; "); said != all {
			t.Errorf("%s: %d KiB locked, %d KiB in use, and it says that all is: %v\n%s", p.ID, lock, use, said, p.Tail(30))
		}
	}
	out := c.Nodes[0].Run("doctor").Out
	if strings.Contains(out, "memory is locked; ") != all || !strings.Contains(out, "no core dumps") {
		t.Errorf("doctor: %s", out)
	}
}
