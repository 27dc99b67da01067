package pkcs11

import (
	"slices"
	"sync"
	"testing"

	p11 "github.com/miekg/pkcs11"
)

// Faults stands between the driver and a real library: it counts calls, fails them on cue and holds them up.
type Faults struct {
	cryptoki
	mu    sync.Mutex
	calls map[string]int
	fail  map[string][]error // the errors of the next calls; nil lets one pass
	flags uint               // added to the flags of every token
	other string             // if set, the serial number of every token
	hide  map[uint]bool      // mechanisms that are not listed
	mute  map[uint]bool      // attributes that are not told
	most  uint               // if set, the sessions that the token allows
	hold  chan struct{}      // if set, Sign waits for it
	held  chan struct{}      // gets a value when Sign waits
}

// InjectFaults puts Faults under every library that is loaded from now on, for one test. Such tests do not run in parallel.
func InjectFaults(t *testing.T) *Faults {
	f := &Faults{calls: map[string]int{}, fail: map[string][]error{}}
	before := load
	load = func(path string) cryptoki {
		if f.cryptoki = before(path); f.cryptoki == nil {
			return nil
		}
		return f
	}
	t.Cleanup(func() { load = before })
	return f
}

// Fail lets the next calls of the function return the values.
func (f *Faults) Fail(function string, values ...uint) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, v := range values {
		var err error
		if v != p11.CKR_OK {
			err = p11.Error(v)
		}
		f.fail[function] = append(f.fail[function], err)
	}
}

// Drain takes the errors back that are still to come.
func (f *Faults) Drain(function string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.fail, function)
}

// SetFlags adds flags to every token.
func (f *Faults) SetFlags(flags uint) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.flags = flags
}

// Exchange lets every token appear as another one, of that serial number.
func (f *Faults) Exchange(serial string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.other = serial
}

// Hold makes Sign wait until release is called; held gets a value for each call that waits.
func (f *Faults) Hold() (held <-chan struct{}, release func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	hold := make(chan struct{})
	f.hold, f.held = hold, make(chan struct{}, 100)
	return f.held, func() {
		f.mu.Lock()
		f.hold = nil
		f.mu.Unlock()
		close(hold)
	}
}

// Hide takes mechanisms out of the token's list.
func (f *Faults) Hide(mechanisms ...uint) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hide = map[uint]bool{}
	for _, m := range mechanisms {
		f.hide[m] = true
	}
}

// Mute lets the token not know attributes.
func (f *Faults) Mute(attributes ...uint) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mute = map[uint]bool{}
	for _, a := range attributes {
		f.mute[a] = true
	}
}

// AllowSessions lets the token say that it allows so many sessions.
func (f *Faults) AllowSessions(n uint) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.most = n
}

func (f *Faults) GetMechanismList(slot uint) ([]*p11.Mechanism, error) {
	list, err := f.cryptoki.GetMechanismList(slot)
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.DeleteFunc(list, func(m *p11.Mechanism) bool { return f.hide[m.Mechanism] }), err
}

func (f *Faults) GetAttributeValue(s p11.SessionHandle, o p11.ObjectHandle, a []*p11.Attribute) ([]*p11.Attribute, error) {
	f.mu.Lock()
	muted := f.mute[a[0].Type]
	f.mu.Unlock()
	if muted {
		return nil, p11.Error(p11.CKR_ATTRIBUTE_TYPE_INVALID)
	}
	return f.cryptoki.GetAttributeValue(s, o, a)
}

func (f *Faults) DeriveKey(s p11.SessionHandle, m []*p11.Mechanism, base p11.ObjectHandle, t []*p11.Attribute) (p11.ObjectHandle, error) {
	if err := f.next("DeriveKey"); err != nil {
		return 0, err
	}
	return f.cryptoki.DeriveKey(s, m, base, t)
}

// Calls counts the calls of a function.
func (f *Faults) Calls(function string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[function]
}

func (f *Faults) next(function string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[function]++
	queue := f.fail[function]
	if len(queue) == 0 {
		return nil
	}
	f.fail[function] = queue[1:]
	return queue[0]
}

func (f *Faults) Initialize(o ...p11.InitializeOption) error {
	if err := f.next("Initialize"); err != nil {
		return err
	}
	return f.cryptoki.Initialize(o...)
}

func (f *Faults) Finalize() error {
	_ = f.next("Finalize")
	return f.cryptoki.Finalize()
}

func (f *Faults) Login(s p11.SessionHandle, user uint, pin string) error {
	if err := f.next("Login"); err != nil {
		return err
	}
	return f.cryptoki.Login(s, user, pin)
}

func (f *Faults) FindObjectsInit(s p11.SessionHandle, t []*p11.Attribute) error {
	if err := f.next("FindObjectsInit"); err != nil {
		return err
	}
	return f.cryptoki.FindObjectsInit(s, t)
}

func (f *Faults) GetTokenInfo(slot uint) (p11.TokenInfo, error) {
	info, err := f.cryptoki.GetTokenInfo(slot)
	f.mu.Lock()
	defer f.mu.Unlock()
	info.Flags |= f.flags
	if f.most != 0 {
		info.MaxRwSessionCount = f.most
	}
	if f.other != "" {
		info.SerialNumber = f.other
	}
	return info, err
}

func (f *Faults) GetSlotList(present bool) ([]uint, error) {
	if err := f.next("GetSlotList"); err != nil {
		return nil, err
	}
	return f.cryptoki.GetSlotList(present)
}

func (f *Faults) OpenSession(slot, flags uint) (p11.SessionHandle, error) {
	if err := f.next("OpenSession"); err != nil {
		return 0, err
	}
	return f.cryptoki.OpenSession(slot, flags)
}

func (f *Faults) CloseSession(s p11.SessionHandle) error {
	_ = f.next("CloseSession")
	return f.cryptoki.CloseSession(s)
}

func (f *Faults) SignInit(s p11.SessionHandle, m []*p11.Mechanism, o p11.ObjectHandle) error {
	if err := f.next("SignInit"); err != nil {
		return err
	}
	return f.cryptoki.SignInit(s, m, o)
}

func (f *Faults) Sign(s p11.SessionHandle, message []byte) ([]byte, error) {
	f.mu.Lock()
	hold, held := f.hold, f.held
	f.mu.Unlock()
	if hold != nil {
		held <- struct{}{}
		<-hold
	}
	err := f.next("Sign")
	if err == p11.Error(ReturnGarbage) {
		sig, err := f.cryptoki.Sign(s, message)
		if err == nil {
			sig[0] ^= 1
		}
		return sig, err
	}
	if err != nil {
		return nil, err
	}
	return f.cryptoki.Sign(s, message)
}

// ReturnGarbage makes Sign and Encrypt change the result instead of failing.
const ReturnGarbage = 0xffff

// What the tests look at.
var (
	HashToP256 = hashToP256
	ParsePoint = parsePoint
	ParseRSA   = parseRSA
)

func (f *Faults) EncryptInit(s p11.SessionHandle, m []*p11.Mechanism, o p11.ObjectHandle) error {
	if err := f.next("EncryptInit"); err != nil {
		return err
	}
	return f.cryptoki.EncryptInit(s, m, o)
}

func (f *Faults) Encrypt(s p11.SessionHandle, plain []byte) ([]byte, error) {
	err := f.next("Encrypt")
	if err != nil && err != p11.Error(ReturnGarbage) {
		return nil, err
	}
	sealed, again := f.cryptoki.Encrypt(s, plain)
	if again == nil && err != nil {
		sealed[0] ^= 1
	}
	return sealed, again
}

func (f *Faults) Decrypt(s p11.SessionHandle, sealed []byte) ([]byte, error) {
	if err := f.next("Decrypt"); err != nil {
		return nil, err
	}
	return f.cryptoki.Decrypt(s, sealed)
}

func (f *Faults) GenerateKeyPair(s p11.SessionHandle, m []*p11.Mechanism, public,
	private []*p11.Attribute) (p11.ObjectHandle, p11.ObjectHandle, error) {
	err := f.next("GenerateKeyPair")
	switch err {
	case p11.Error(HalfMade): // the pair is there, and the call says it failed
		_, _, _ = f.cryptoki.GenerateKeyPair(s, m, public, private)
		return 0, 0, p11.Error(p11.CKR_GENERAL_ERROR)
	case p11.Error(Careless): // the token ignores what the key must be
		private = append(private, p11.NewAttribute(p11.CKA_EXTRACTABLE, true))
		return f.cryptoki.GenerateKeyPair(s, m, public, replaceExtractable(private))
	case nil:
		return f.cryptoki.GenerateKeyPair(s, m, public, private)
	}
	return 0, 0, err
}

// What GenerateKeyPair can be made to do beside failing.
const (
	HalfMade = 0xfffe
	Careless = 0xfffd
)

func replaceExtractable(t []*p11.Attribute) []*p11.Attribute {
	var out []*p11.Attribute
	for _, a := range t[:len(t)-1] {
		if a.Type != p11.CKA_EXTRACTABLE {
			out = append(out, a)
		}
	}
	return append(out, t[len(t)-1])
}

// Administer gives a test the library below an open token, and a session of it, to do what a foreign tool may.
func Administer(t *testing.T, tok any, f func(lib *p11.Ctx, s p11.SessionHandle)) {
	t.Helper()
	ready, finished := make(chan *session, 1), make(chan struct{})
	result := make(chan error, 1)
	go func() {
		_, err := job[struct{}]{admin: true, f: func(s *session) (struct{}, error) {
			ready <- s
			<-finished
			return struct{}{}, nil
		}}.do(t.Context(), tok.(*token))
		result <- err
	}()
	select {
	case err := <-result:
		t.Fatal(err)
	case s := <-ready: // f runs here, in the goroutine of the test, so that it may end it
		defer func() { close(finished); <-result }()
		lib := s.lib
		if faults, ok := lib.(*Faults); ok {
			lib = faults.cryptoki
		}
		f(lib.(*p11.Ctx), s.handle)
	}
}
