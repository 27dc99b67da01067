package plugin_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/plugin"
)

// node is a node that opens a token, tells the number of the child, and waits.
func node() error {
	tok, err := openErr(context.Background(), plugin.Driver(plugin.Config{Command: []string{"/proc/self/exe", "serve"}}), "plugin:mute",
		hsm.Options{})
	if err != nil {
		return err
	}
	fmt.Println(tok.(token).Stats().PID)
	select {}
}

// Goal: the child ends with the node, even where the child is stopped. Method: SIGKILL the node, with a running and a stopped child.
func TestEndsWithNode(t *testing.T) {
	for _, stopped := range []bool{false, true} {
		cmd := exec.Command("/proc/self/exe", "node")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil || pid == 0 {
			t.Fatal(pid, err)
		}
		if stopped {
			if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		waitFor(t, "the end of the child", func() bool {
			if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
				return true
			}
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)) // dead, and nobody waits for it here
			return err != nil || strings.Contains(string(b), ") Z ")
		})
	}
}

// Goal: a child ends with the node even if it does not care about its stdin. Method: a node whose driver is sleep; SIGKILL the node.
func TestDeathSignal(t *testing.T) {
	cmd := exec.Command("/proc/self/exe", "node-of-sleep")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var sleeping []int
	waitFor(t, "a child of the node", func() bool {
		sleeping = childrenOf(t, cmd.Process.Pid)
		if len(sleeping) == 0 {
			return false
		}
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", sleeping[0]))
		return err == nil && string(name) == "sleep\n" // past execve
	})
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	waitFor(t, "the end of the child", func() bool {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", sleeping[0]))
		return err != nil || strings.Contains(string(b), ") Z ")
	})
}

// Goal: what a driver starts does not outlive it. Method: a driver that may start programs leaves one behind; kill the driver.
func TestGroupEnds(t *testing.T) {
	tok := open(t, plugin.Config{Command: []string{"/proc/self/exe", "serve"}, Sandbox: plugin.Sandbox{Exec: true}}, "plugin:signing",
		hsm.Options{})
	err := tok.GenerateKey(t.Context(), "leave", "")
	if err == nil {
		t.Fatal("no number")
	}
	pid, convErr := strconv.Atoi(err.Error())
	if convErr != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatal(err)
	}
	if err := tok.Close(); err != nil {
		t.Error(err)
	}
	waitFor(t, "the end of the grandchild", func() bool {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(b), ") Z ")
	})
}

// Goal: signals for the whole unit do not end the child: the node decides. Method: SIGTERM, SIGINT, SIGHUP to the child.
func TestSignals(t *testing.T) {
	tok := openTest(t, "mute")
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		if err := syscall.Kill(tok.Stats().PID, s); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tok.Info(t.Context()); err != nil || tok.Stats().Restarts != 0 {
		t.Errorf("%v, %+v", err, tok.Stats())
	}
}
