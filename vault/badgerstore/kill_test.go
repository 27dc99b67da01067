package badgerstore

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/luxfi/mpcd/vault"
)

// childDir tells the child process of TestKill where to write.
const childDir = "MPCD_TEST_KILL_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		writeForever(dir)
	}
	os.Exit(m.Run())
}

// writeForever writes pairs that must agree, and prints the number of each when it is acknowledged.
func writeForever(dir string) {
	s, err := Open(Config{Dir: dir, Key: testKey(1)})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for i := 1; ; i++ {
		v := []byte(strconv.Itoa(i))
		if i%50 == 0 { // keeps tables and logs turning over
			v = append(append(v, ' '), make([]byte, 100<<10)...)
		}
		err := s.Batch(context.Background(), []vault.Pair{{Key: []byte("x"), Value: v}, {Key: fmt.Appendf(nil, "n%d", i%7), Value: v}}, nil)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(i)
	}
}

// Goal: a process killed at any moment leaves a store that opens, holds all it acknowledged, and no half of a batch. Method:
// kill -9 a writing child after a varying number of acknowledgements, several times over the same directory.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	for round := range 8 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		acked := 0
		for lines := bufio.NewScanner(out); lines.Scan(); {
			n, err := strconv.Atoi(lines.Text())
			if err != nil {
				t.Fatalf("round %d: %s", round, lines.Text())
			}
			if acked = n; n == 1+round*23 {
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait()
		s := mustOpen(t, dir)
		x, err := s.Get(t.Context(), []byte("x"))
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		var i int
		if _, err := fmt.Sscan(string(x), &i); err != nil || i < acked || i > acked+1 {
			t.Fatalf("round %d: %d acknowledged, %d found", round, acked, i)
		}
		if n, err := s.Get(t.Context(), fmt.Appendf(nil, "n%d", i%7)); err != nil || string(n) != string(x) {
			t.Fatalf("round %d: half a batch: %v", round, err)
		}
		s.Close()
	}
}
