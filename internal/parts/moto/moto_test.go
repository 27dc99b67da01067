package moto

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// asParent makes this test binary a program that starts moto, tells where it is and waits to be killed.
const asParent = "MOTO_TEST_AS_PARENT"

func TestMain(m *testing.M) {
	if os.Getenv(asParent) == "" {
		os.Exit(m.Run())
	}
	s, err := Start()
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(s.URL)
	select {}
}

// Goal: moto starts, answers and is gone after Stop. Method: do so, with the time it takes in the log.
func TestStart(t *testing.T) {
	begin := time.Now()
	s, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	t.Logf("started in %v", time.Since(begin).Round(time.Millisecond))
	answer, err := http.Get(s.URL + "/moto-api/")
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if a, b := s.Region(), s.Region(); a == b {
		t.Errorf("region %s is given twice", a)
	}
	s.Stop()
	s.Stop()
	if _, err := http.Get(s.URL); err == nil {
		t.Error("it answers after Stop")
	}
}

// Goal: moto does not outlive a program that is killed. Method: this test binary as the program; dial until nobody is there.
func TestDiesWithUs(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asParent+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	address, ok := strings.CutPrefix(strings.TrimSpace(line), "http://")
	if err != nil || !ok {
		t.Errorf("got %q, %v", line, err)
	}
	if c, err := net.Dial("tcp", address); err != nil {
		t.Error(err)
	} else {
		_ = c.Close()
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if ctx.Err() != nil {
			t.Fatal("moto is still there")
		}
		if err != nil {
			return
		}
		_ = c.Close()
	}
}

// Goal: outside the repository the error says what to do. Method: run at the root, and beside a go.mod alone.
func TestOutside(t *testing.T) {
	t.Chdir("/")
	if _, err := Start(); err == nil || !strings.Contains(err.Error(), "go.mod") {
		t.Errorf("got %v", err)
	}
	t.Chdir(t.TempDir())
	if err := os.WriteFile("go.mod", []byte(module), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(); err == nil || !strings.Contains(err.Error(), "scripts/setup.sh") {
		t.Errorf("got %v", err)
	}
}
