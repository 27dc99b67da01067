package softhsm

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/pkcs11"
	"github.com/luxfi/mpcd/internal/durable"
	"github.com/luxfi/mpcd/internal/secret"
)

// The files of a provisioned directory.
const (
	confFile  = "softhsm2.conf"
	pinFile   = "pin"
	tokensDir = "tokens"
)

// confEnv is where the library looks for its configuration.
const confEnv = "SOFTHSM2_CONF"

// Provisioned says how to open the token of a directory.
type Provisioned struct {
	// URI names the token, its library and the file with its PIN.
	URI string
	// Env is what the process that opens it needs in its environment: "SOFTHSM2_CONF=…".
	Env []string
}

// environment guards SOFTHSM2_CONF, which the library reads from the environment of the process.
var environment sync.Mutex

// Provision makes a token in dir, which it creates: softhsm2.conf, tokens/ and pin, readable by the owner alone. An empty pin is
// replaced by a random one, an empty soPIN by a random one that is kept nowhere: then nobody can set a new PIN.
//
// It refuses a dir that holds a token already, and a process that has SoftHSM open with another dir (ErrUnavailable), since the
// library cannot change directories then.
func Provision(dir, label, pin, soPIN string) (Provisioned, error) {
	module, err := Find()
	if err != nil {
		return Provisioned{}, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return Provisioned{}, fmt.Errorf("softhsm: %w", err)
	}
	if err := claim(dir); err != nil {
		return Provisioned{}, err
	}
	userPIN, officerPIN := pinOrRandom(pin), pinOrRandom(soPIN)
	defer userPIN.Wipe()
	defer officerPIN.Wipe()
	err = writeConf(dir)
	if err == nil {
		err = writePIN(filepath.Join(dir, pinFile), userPIN)
	}
	if err == nil {
		err = initToken(dir, module, label, officerPIN, userPIN)
	}
	if err != nil { // all of it was made here, and it may be tried again
		for _, name := range []string{confFile, pinFile, tokensDir} {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, name)))
		}
		return Provisioned{}, err
	}
	u, err := tokenURI(module, label, filepath.Join(dir, pinFile))
	return Provisioned{URI: u, Env: []string{confEnv + "=" + filepath.Join(dir, confFile)}}, err
}

// claim makes the directory of tokens in dir, for this process alone: of two at once one makes it.
func claim(dir string) error {
	if strings.ContainsAny(dir, "\n\r") {
		return fmt.Errorf("softhsm: directory %q has a line break in its name", dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("softhsm: %w", err)
	}
	_, err := os.Lstat(filepath.Join(dir, confFile))
	if errors.Is(err, os.ErrNotExist) {
		err = os.Mkdir(filepath.Join(dir, tokensDir), 0o700)
	} else if err == nil {
		err = os.ErrExist
	}
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("softhsm: %w: %s holds a token already; open it, or remove the directory and every key in it", hsm.ErrKeyExists, dir)
	}
	if err != nil {
		return fmt.Errorf("softhsm: %w", err)
	}
	return nil
}

func tokenURI(module, label, pinPath string) (string, error) {
	u, err := hsm.ParseURI("pkcs11")
	for _, attr := range [][2]string{{"token", label}, {"module-path", module}, {"pin-source", "file:" + pinPath}} {
		if err == nil {
			u, err = u.With(attr[0], attr[1])
		}
	}
	if err != nil {
		return "", err
	}
	return u.String(), nil
}

// initToken makes the token with SOFTHSM2_CONF pointing at dir for that long.
func initToken(dir, module, label string, soPIN, pin *secret.Bytes) error {
	environment.Lock()
	defer environment.Unlock()
	if pkcs11.Loaded(module) {
		return fmt.Errorf("softhsm: %w: this process has SoftHSM open with another directory; provision before opening a token",
			hsm.ErrUnavailable)
	}
	before, was := os.LookupEnv(confEnv)
	if err := os.Setenv(confEnv, filepath.Join(dir, confFile)); err != nil {
		return fmt.Errorf("softhsm: %w", err)
	}
	defer func() {
		if was {
			_ = os.Setenv(confEnv, before)
		} else {
			_ = os.Unsetenv(confEnv)
		}
	}()
	_, err := pkcs11.InitToken(context.Background(), module, label, soPIN, pin)
	return err
}

// ownConf is the first line of a configuration file that Provision wrote; tokendir begins the one that names the directory of tokens.
const (
	ownConf  = "# mpcd opens tokens/ beside this file, wherever both are; directories.tokendir is for other programs."
	tokendir = "directories.tokendir = "
)

// MovedConf is what the configuration file at path should say, if it is one that Provision wrote and its directory was moved since; nil
// where it may be used as it stands.
func MovedConf(path string) ([]byte, error) {
	b, err := durable.ReadFile(path, confMax)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // the library says it, if it is needed at all
	}
	if err != nil {
		return nil, fmt.Errorf("softhsm: configuration: %w: %w", hsm.ErrUnavailable, err)
	}
	lines := strings.Split(string(b), "\n")
	if lines[0] != ownConf {
		return nil, nil
	}
	here := tokendir + filepath.Join(filepath.Dir(path), tokensDir)
	for i, line := range lines {
		if strings.HasPrefix(line, tokendir) && line != here {
			lines[i] = here
			return []byte(strings.Join(lines, "\n")), nil
		}
	}
	return nil, nil
}

// confMax is the largest configuration file that is read, in bytes.
const confMax = 64 << 10

func writeConf(dir string) error {
	conf := ownConf + "\n" + tokendir + filepath.Join(dir, tokensDir) +
		"\nobjectstore.backend = file\nobjectstore.umask = 0077\nlog.level = ERROR\nslots.removable = false\n"
	if err := os.WriteFile(filepath.Join(dir, confFile), []byte(conf), 0o600); err != nil {
		return fmt.Errorf("softhsm: %w", err)
	}
	return nil
}

// writePIN writes the file that only the owner reads, and waits for the disk: without it the token is lost.
func writePIN(path string, pin *secret.Bytes) error {
	if err := durable.WriteFile(path, pin.Bytes(), 0o600); err != nil {
		return fmt.Errorf("softhsm: %w", err)
	}
	return nil
}

// pinOrRandom is the PIN in memory of its own; 144 random bits in 24 characters if it is empty.
func pinOrRandom(pin string) *secret.Bytes {
	if pin != "" {
		return secret.From([]byte(pin))
	}
	raw := make([]byte, 18)
	_, _ = rand.Read(raw)
	text := make([]byte, base64.RawURLEncoding.EncodedLen(len(raw)))
	base64.RawURLEncoding.Encode(text, raw)
	secret.Wipe(raw)
	return secret.From(text)
}
