package pkcs11

import (
	"fmt"

	p11 "github.com/miekg/pkcs11"

	"github.com/luxfi/mpcd/hsm"
)

// acquire takes an idle session or opens one; there are never more than places in t.slots, and the anchor. Where the token has no
// more, because other programs hold them, it waits for one of ours.
func (s *session) acquire() error {
	l := s.link
	for {
		l.mu.Lock()
		if n := len(l.idle); n > 0 {
			s.handle, l.idle = l.idle[n-1], l.idle[:n-1]
			l.busy++
			l.mu.Unlock()
			l.wake()
			return nil
		}
		l.mu.Unlock()
		h, err := s.openSession()
		if err == nil {
			l.mu.Lock()
			l.busy++
			l.mu.Unlock()
			l.wake()
			s.handle = h
			return nil
		}
		if rv(err) != p11.CKR_SESSION_COUNT {
			return err
		}
		if err := s.awaitSession(err); err != nil {
			return err
		}
	}
}

// awaitSession returns when a session of ours may be free, or with the error if there is none to wait for.
func (s *session) awaitSession(err error) error {
	s.link.mu.Lock()
	busy, idle := s.link.busy, len(s.link.idle)
	s.link.mu.Unlock()
	if idle > 0 {
		return nil
	}
	if busy == 0 {
		return fmt.Errorf("%w; all sessions of the token are taken by others: close them, or raise the token's limit", err)
	}
	select {
	case <-s.link.freed:
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

func (s *session) openSession() (p11.SessionHandle, error) {
	unlock, err := s.lockAdmin()
	if err != nil {
		return 0, err
	}
	defer unlock()
	h, err := s.lib.OpenSession(s.link.slot, p11.CKF_SERIAL_SESSION|p11.CKF_RW_SESSION)
	if err != nil {
		return 0, explain("open session in "+s.tok.name(), err)
	}
	return h, nil
}

// release puts a sound session back; one that saw an error of the library may be in the middle of an operation, and is closed.
func (s *session) release(sound bool) {
	if !sound {
		_ = s.lib.CloseSession(s.handle)
	}
	s.link.mu.Lock()
	if sound {
		s.link.idle = append(s.link.idle, s.handle)
	}
	s.link.busy--
	s.link.mu.Unlock()
	s.link.wake()
}

// wake lets one that waits for a session try again. Who got one wakes the next, since there may be more.
func (l *link) wake() {
	select {
	case l.freed <- struct{}{}:
	default:
	}
}

// renew exchanges the session after a failed trial for one that is in the middle of nothing.
func (s *session) renew() error {
	_ = s.lib.CloseSession(s.handle)
	h, err := s.openSession()
	s.handle = h // none after an error, and with an error nobody uses it
	return err
}

// offers tells whether the token lists the mechanism for that use (CKF_SIGN and so on). A token that lists nothing at all may have
// it: then the trial decides.
func (s *session) offers(mechanism, use uint) (bool, error) {
	l := s.link
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.offers == nil {
		all, err := s.mechanisms()
		if err != nil {
			return false, err
		}
		l.offers = all
	}
	flags, listed := l.offers[mechanism]
	return len(l.offers) == 0 || listed && flags&use != 0, nil
}

// mechanisms asks for what the driver may use. The caller holds the link's lock.
func (s *session) mechanisms() (map[uint]uint, error) {
	list, err := s.lib.GetMechanismList(s.link.slot)
	if err != nil {
		return nil, explain("list the mechanisms of "+s.tok.name(), err)
	}
	all := map[uint]uint{}
	for _, m := range list {
		if !used[m.Mechanism] {
			continue
		}
		info, err := s.lib.GetMechanismInfo(s.link.slot, []*p11.Mechanism{m})
		if lost(err) {
			return nil, explain("ask "+s.tok.name(), err)
		}
		if err == nil {
			all[m.Mechanism] = info.Flags
		}
	}
	return all, nil
}

// used are the mechanisms that the driver knows how to use.
var used = map[uint]bool{
	p11.CKM_EC_KEY_PAIR_GEN: true, p11.CKM_ECDSA: true, p11.CKM_ECDSA_SHA256: true, p11.CKM_ECDH1_DERIVE: true,
	ckmEdwardsKeyGen: true, ckmEDDSA: true,
	p11.CKM_RSA_PKCS_KEY_PAIR_GEN: true, p11.CKM_RSA_PKCS_PSS: true, p11.CKM_SHA256_RSA_PKCS_PSS: true, p11.CKM_RSA_PKCS: true,
	p11.CKM_AES_KEY_GEN: true, p11.CKM_AES_GCM: true, p11.CKM_AES_CBC: true, p11.CKM_AES_ECB: true,
}

// need is ErrUnsupported unless the token lists the mechanism.
func (s *session) need(mechanism, use uint, name string) error {
	ok, err := s.offers(mechanism, use)
	if err == nil && !ok {
		err = fmt.Errorf("pkcs11: %w: %s has no %s", hsm.ErrUnsupported, s.tok.name(), name)
	}
	return err
}
