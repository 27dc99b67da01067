// Package chromium runs a browser without a screen (Debian: chromium), with an authenticator of WebAuthn in it that has verified its
// person: for tests of our pages. It is spoken to over two pipes, by the Chrome DevTools Protocol.
package chromium

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/luxfi/mpcd/internal/parts/child"
)

// patience is how long one step in the browser may take, its start too.
const patience = 60 * time.Second

// Browser is a running browser with one page.
type Browser struct {
	p       *child.Process
	to      *os.File
	from    *os.File
	session string

	mu      sync.Mutex
	last    int
	waiting map[int]chan answer
}

type answer struct {
	ID     int             `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// Start starts a browser that keeps its files in dir, with an authenticator that says yes. Stop ends it.
func Start(dir string) (*Browser, error) {
	in, to, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	from, out, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, to.Close())
	}
	defer out.Close()
	b := &Browser{to: to, from: from, waiting: map[int]chan answer{}}
	cmd := exec.Command("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--remote-debugging-pipe", "--user-data-dir="+dir, "about:blank") // no sandbox: it may run as root, and sees our own page alone
	cmd.Env = append(os.Environ(), "HOME="+dir)
	cmd.ExtraFiles = []*os.File{in, out} // 3 and 4, as it wants them
	if b.p, err = child.Start(cmd); err != nil {
		b.Stop()
		return nil, fmt.Errorf("%w; apt-get install chromium", err)
	}
	go b.read()
	if err := b.open(); err != nil {
		b.Stop()
		return nil, fmt.Errorf("%w: %s", err, b.p.Log())
	}
	return b, nil
}

// Stop ends the browser.
func (b *Browser) Stop() {
	b.p.Stop()
	_ = b.to.Close()
	_ = b.from.Close()
}

// open has the browser open its page, with the authenticator.
func (b *Browser) open() error {
	var target struct {
		TargetID string `json:"targetId"`
	}
	if err := b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target); err != nil {
		return err
	}
	var attached struct {
		SessionID string `json:"sessionId"`
	}
	if err := b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached); err != nil {
		return err
	}
	b.session = attached.SessionID
	if err := b.call("WebAuthn.enable", map[string]any{}, nil); err != nil {
		return err
	}
	return b.call("WebAuthn.addVirtualAuthenticator", map[string]any{"options": map[string]any{"protocol": "ctap2", "transport": "internal",
		"hasResidentKey": true, "hasUserVerification": true, "isUserVerified": true, "automaticPresenceSimulation": true}}, nil)
}

// Run opens an address and runs a script there, as if its person had acted, and returns the text that the script's promise comes to.
func (b *Browser) Run(address, script string) (string, error) {
	var went struct {
		ErrorText string `json:"errorText"`
	}
	if err := b.call("Page.navigate", map[string]any{"url": address}, &went); err != nil {
		return "", err
	}
	if went.ErrorText != "" {
		return "", fmt.Errorf("chromium: %s: %s", address, went.ErrorText)
	}
	var out struct {
		Result struct {
			Value string `json:"value"`
		} `json:"result"`
		Exception json.RawMessage `json:"exceptionDetails"`
	}
	script = `new Promise(there => document.readyState == "complete" ? there() : addEventListener("load", there)).then(() => ` + script + `)`
	err := b.call("Runtime.evaluate", map[string]any{"expression": script, "awaitPromise": true, "returnByValue": true,
		"userGesture": true}, &out)
	if err == nil && out.Exception != nil {
		err = fmt.Errorf("chromium: %s", out.Exception)
	}
	return out.Result.Value, err
}

// call has the browser do something.
func (b *Browser) call(method string, params any, result any) error {
	heard := make(chan answer, 1)
	b.mu.Lock()
	b.last++
	id := b.last
	b.waiting[id] = heard
	message := map[string]any{"id": id, "method": method, "params": params}
	if b.session != "" {
		message["sessionId"] = b.session
	}
	text, err := json.Marshal(message)
	if err == nil {
		_, err = b.to.Write(append(text, 0))
	}
	b.mu.Unlock()
	if err != nil {
		return fmt.Errorf("chromium: %s: %w", method, err)
	}
	select {
	case a := <-heard:
		if a.Error != nil {
			return fmt.Errorf("chromium: %s: %s", method, a.Error.Message)
		}
		if result == nil {
			return nil
		}
		return json.Unmarshal(a.Result, result)
	case <-time.After(patience):
		return fmt.Errorf("chromium: %s: no answer in %s", method, patience)
	}
}

// read hands answers to who waits for them; events are nobody's.
func (b *Browser) read() {
	r := bufio.NewReader(b.from)
	for {
		text, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var a answer
		if json.Unmarshal(text[:len(text)-1], &a) != nil || a.ID == 0 {
			continue
		}
		b.mu.Lock()
		if heard := b.waiting[a.ID]; heard != nil {
			heard <- a
			delete(b.waiting, a.ID)
		}
		b.mu.Unlock()
	}
}
