package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/luxfi/mpcd/internal/parts/chromium"
	"github.com/luxfi/mpcd/internal/passkey/passkeytest"
)

// browser presses a button of a page, and returns what the page then says.
type browser interface {
	Press(address, button string) (string, error)
}

// scriptBrowsers are the browsers by script and name.
var scriptBrowsers sync.Map

var pageAddress = regexp.MustCompile(`http://localhost:[0-9]+/\S+`)

// scriptPage runs a command that has a page, and presses a button there in a browser, which is kept with its passkeys: "chromium", or under
// any other name a program. What the command writes is in page.out and page.err. Negated, the page says that it does not hold.
func scriptPage(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 4 {
		ts.Fatalf("usage: page BROWSER BUTTON CODE mpcd args...")
	}
	b := browserOf(ts, args[0])
	cmd := exec.Command(args[3], args[4:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = []string{"PATH=" + ts.Getenv("PATH"), "HOME=" + ts.Getenv("HOME"), "NO_COLOR=1"}
	for _, name := range []string{"MPCD_API", "MPCD_CA", "MPCD_TOKEN"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	log, out := &processLog{}, &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = out, log
	ts.Check(cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()
	var err error
	for end := time.Now().Add(patience); pageAddress.FindString(log.String()) == ""; {
		select {
		case err = <-ended:
			ts.Fatalf("it has no page: %v\n%s", err, log)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(end) {
			ts.Fatalf("it has no page\n%s", log)
		}
	}
	said, err := b.Press(pageAddress.FindString(log.String()), args[1])
	ts.Logf("the page: %s", said)
	if err != nil || strings.HasPrefix(said, "Done.") == neg {
		ts.Fatalf("%s: %v: %s", args[1], err, said)
	}
	if neg {
		return
	}
	err = <-ended
	code := 0
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		code = exit.ExitCode()
	}
	ts.Logf("%s%s", log, out)
	if fmt.Sprint(code) != args[2] {
		ts.Fatalf("exit code %d, want %s: %v", code, args[2], err)
	}
	ts.Check(os.WriteFile(ts.MkAbs("page.out"), out.Bytes(), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("page.err"), []byte(log.String()), 0o600))
}

func browserOf(ts *testscript.TestScript, name string) browser {
	if b, ok := scriptBrowsers.Load(ts.Name() + " " + name); ok {
		return b.(browser)
	}
	var b browser = &passkeytest.Browser{}
	if name == "chromium" {
		c, err := chromium.Start(ts.MkAbs("chromium"))
		ts.Check(err)
		ts.Defer(c.Stop)
		b = realBrowser{c}
	}
	scriptBrowsers.Store(ts.Name()+" "+name, b)
	return b
}

// realBrowser is Chromium.
type realBrowser struct{ *chromium.Browser }

func (b realBrowser) Press(address, button string) (string, error) {
	return b.Run(address, fmt.Sprintf(`new Promise(heard => {
		const said = document.getElementById("said");
		new MutationObserver(() => { if (said.textContent && !said.textContent.startsWith("It is made.")) heard(said.textContent); })
			.observe(said, { childList: true });
		[...document.querySelectorAll("button")].find(b => b.textContent == %q).click();
	})`, button))
}
