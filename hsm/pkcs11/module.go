package pkcs11

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"unsafe"

	p11 "github.com/miekg/pkcs11"

	"github.com/luxfi/mpcd/hsm"
)

// cryptoki is what we use of a library; *p11.Ctx is it, and the tests put faults in between.
type cryptoki interface {
	Initialize(...p11.InitializeOption) error
	Finalize() error
	Destroy()
	GetSlotList(tokenPresent bool) ([]uint, error)
	GetTokenInfo(slot uint) (p11.TokenInfo, error)
	GetMechanismList(slot uint) ([]*p11.Mechanism, error)
	GetMechanismInfo(slot uint, m []*p11.Mechanism) (p11.MechanismInfo, error)
	InitToken(slot uint, pin, label string) error
	InitPIN(s p11.SessionHandle, pin string) error
	OpenSession(slot uint, flags uint) (p11.SessionHandle, error)
	CloseSession(s p11.SessionHandle) error
	Login(s p11.SessionHandle, user uint, pin string) error
	Logout(s p11.SessionHandle) error
	FindObjectsInit(s p11.SessionHandle, t []*p11.Attribute) error
	FindObjects(s p11.SessionHandle, max int) ([]p11.ObjectHandle, bool, error)
	FindObjectsFinal(s p11.SessionHandle) error
	GetAttributeValue(s p11.SessionHandle, o p11.ObjectHandle, a []*p11.Attribute) ([]*p11.Attribute, error)
	SetAttributeValue(s p11.SessionHandle, o p11.ObjectHandle, a []*p11.Attribute) error
	DestroyObject(s p11.SessionHandle, o p11.ObjectHandle) error
	GenerateKey(s p11.SessionHandle, m []*p11.Mechanism, t []*p11.Attribute) (p11.ObjectHandle, error)
	GenerateKeyPair(s p11.SessionHandle, m []*p11.Mechanism, public, private []*p11.Attribute) (p11.ObjectHandle, p11.ObjectHandle, error)
	DeriveKey(s p11.SessionHandle, m []*p11.Mechanism, base p11.ObjectHandle, t []*p11.Attribute) (p11.ObjectHandle, error)
	GenerateRandom(s p11.SessionHandle, n int) ([]byte, error)
	SignInit(s p11.SessionHandle, m []*p11.Mechanism, o p11.ObjectHandle) error
	Sign(s p11.SessionHandle, message []byte) ([]byte, error)
	EncryptInit(s p11.SessionHandle, m []*p11.Mechanism, o p11.ObjectHandle) error
	Encrypt(s p11.SessionHandle, plain []byte) ([]byte, error)
	DecryptInit(s p11.SessionHandle, m []*p11.Mechanism, o p11.ObjectHandle) error
	Decrypt(s p11.SessionHandle, sealed []byte) ([]byte, error)
}

// module is a library, initialised once for the process however many tokens are open in it (PKCS#11 §5.4).
type module struct {
	path string
	args []byte // the reserved argument of C_Initialize with its NUL; nil for none
	lib  cryptoki
	refs int  // under modules.mu
	ours bool // we initialised the library, so we may finalise it

	// calls is held for reading during calls and for writing while handles change their meaning: connecting, closing,
	// initialising anew.
	calls sync.RWMutex
	epoch uint64 // counts initialisations, under calls
	// admin is the lock of all administration; a channel, so that waiting for it can end with ctx.
	admin chan struct{}
}

// modules are the loaded libraries by resolved path. A library is one per process whether we like it or not.
var modules = struct {
	mu   sync.Mutex
	open map[string]*module
}{open: map[string]*module{}}

// load is what brings a library in; tests exchange it.
var load = func(path string) cryptoki {
	if c := p11.New(path); c != nil {
		return c
	}
	return nil
}

// borrow loads the library and initialises it with args (the reserved argument of C_Initialize that NSS wants; "" for none), or
// counts one more user of it.
func borrow(path, args string) (*module, error) {
	path, err := checkModule(path)
	if err != nil {
		return nil, err
	}
	modules.mu.Lock()
	defer modules.mu.Unlock()
	if m := modules.open[path]; m != nil {
		if string(m.args) != string(reserved(args)) {
			return nil, fmt.Errorf("pkcs11: %w: %s is open with other init-args; a library is initialised once in a process",
				hsm.ErrUnavailable, path)
		}
		m.refs++
		return m, nil
	}
	lib := load(path)
	if lib == nil {
		return nil, fmt.Errorf("pkcs11: %w: %s is not a PKCS#11 library; check module-path", hsm.ErrUnavailable, path)
	}
	m := &module{path: path, args: reserved(args), lib: lib, refs: 1, ours: true, admin: make(chan struct{}, 1)}
	if err := m.initialize(); errors.Is(err, p11.Error(p11.CKR_CRYPTOKI_ALREADY_INITIALIZED)) {
		m.ours = false // by another part of the process; it is not ours to finalise
	} else if err != nil {
		lib.Destroy()
		return nil, fmt.Errorf("pkcs11: %w: initialise %s: %w; check the configuration of the library (of SoftHSM: hsm.softhsm_conf)",
			hsm.ErrUnavailable, path, err)
	}
	modules.open[path] = m
	return m, nil
}

// reserved is a C string.
func reserved(args string) []byte {
	if args == "" {
		return nil
	}
	return append([]byte(args), 0)
}

func (m *module) initialize() error {
	if m.args == nil {
		return m.lib.Initialize()
	}
	return m.lib.Initialize(p11.InitializeWithReserved(unsafe.Pointer(unsafe.SliceData(m.args))))
}

// checkModule resolves the path, so that one library is not loaded twice, and refuses what anyone could exchange: the file is
// about to run in our address space.
func checkModule(path string) (string, error) {
	if path == "" {
		return "", fmt.Errorf("pkcs11: %w: no module-path; add ?module-path=/path/of/the/vendor's/library.so", hsm.ErrURI)
	}
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("pkcs11: %w: module-path %s is not absolute", hsm.ErrURI, path)
	}
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", fmt.Errorf("pkcs11: %w: module-path: %w", hsm.ErrUnavailable, err)
	}
	st, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("pkcs11: %w: module-path: %w", hsm.ErrUnavailable, err)
	}
	if !st.Mode().IsRegular() {
		return "", fmt.Errorf("pkcs11: %w: module-path %s is not a file", hsm.ErrUnavailable, path)
	}
	if st.Mode().Perm()&0o002 != 0 {
		return "", fmt.Errorf("pkcs11: %w: %s is writable by everyone; chmod o-w %s", hsm.ErrUnavailable, path, path)
	}
	return path, nil
}

// tokenInfo asks a token. Texts are padded with blanks by the standard (v2.40 §3.3), with NUL by some.
func (m *module) tokenInfo(slot uint) (p11.TokenInfo, error) {
	info, err := m.lib.GetTokenInfo(slot)
	for _, text := range []*string{&info.Label, &info.ManufacturerID, &info.Model, &info.SerialNumber} {
		*text = strings.TrimRight(*text, " \x00")
	}
	return info, err
}

// release gives the library back; the last user finalises and unloads it.
func (m *module) release() {
	modules.mu.Lock()
	defer modules.mu.Unlock()
	if m.refs--; m.refs > 0 {
		return
	}
	m.calls.Lock()
	defer m.calls.Unlock()
	delete(modules.open, m.path)
	if m.ours {
		_ = m.lib.Finalize()
	}
	m.lib.Destroy()
}

// restart initialises the library anew: what a network HSM's library needs after it lost the network. All handles of all
// tokens become void, which their users see by the epoch. The caller holds calls for writing.
func (m *module) restart() error {
	if !m.ours {
		return fmt.Errorf("pkcs11: %w: %s was initialised by another part of the process", hsm.ErrUnavailable, m.path)
	}
	_ = m.lib.Finalize()
	m.epoch++
	if err := m.initialize(); err != nil && !errors.Is(err, p11.Error(p11.CKR_CRYPTOKI_ALREADY_INITIALIZED)) {
		return fmt.Errorf("pkcs11: %w: initialise %s: %w", hsm.ErrUnavailable, m.path, err)
	}
	return nil
}

// Loaded tells whether this process has the library open.
func Loaded(modulePath string) bool {
	path, err := filepath.EvalSymlinks(modulePath)
	if err != nil {
		return false
	}
	modules.mu.Lock()
	defer modules.mu.Unlock()
	return modules.open[path] != nil
}
