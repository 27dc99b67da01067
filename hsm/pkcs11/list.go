package pkcs11

import (
	"context"
	"fmt"

	p11 "github.com/miekg/pkcs11"

	"github.com/luxfi/mpcd/hsm"
)

// randomMax is the most that Random reads, in bytes.
const randomMax = 1 << 16

// Keys lists the private and secret keys of the token, each by its label, those of one label with the CKA_ID that tells them apart. A key
// that is none of ours has an empty Type.
func (t *token) Keys(ctx context.Context) ([]hsm.KeyInfo, error) {
	return job[[]hsm.KeyInfo]{f: (*session).list, admin: true}.do(ctx, t)
}

func (s *session) list() ([]hsm.KeyInfo, error) {
	var all []hsm.KeyInfo
	var objects []p11.ObjectHandle
	named := map[string]int{}
	for _, class := range []uint{p11.CKO_PRIVATE_KEY, p11.CKO_SECRET_KEY} {
		found, err := s.find("", class, nil)
		if err != nil {
			return nil, err
		}
		for _, o := range found {
			label, err := s.attribute(o, p11.CKA_LABEL)
			if err != nil {
				return nil, explain("list keys", err)
			}
			kind, err := s.kind(o)
			if err != nil {
				return nil, explain(fmt.Sprintf("list key %q", label), err)
			}
			a, err := s.attributes(o)
			if err != nil {
				return nil, explain(fmt.Sprintf("list key %q", label), err)
			}
			all, objects = append(all, keyInfo(string(label), kind, a)), append(objects, o)
			named[string(label)]++
		}
	}
	for i, o := range objects {
		if named[all[i].ID] > 1 {
			all[i].ID = s.ids(all[i].ID, []p11.ObjectHandle{o})[0]
		}
	}
	return all, nil
}

// Random reads n bytes, 1 to 65,536, of the token's generator.
func (t *token) Random(ctx context.Context, n int) ([]byte, error) {
	if n < 1 || n > randomMax {
		return nil, fmt.Errorf("pkcs11: random: %d bytes, must be 1 to %d", n, randomMax)
	}
	return run(ctx, t, func(s *session) ([]byte, error) {
		b, err := s.lib.GenerateRandom(s.handle, n)
		if err != nil {
			return nil, explain("read the generator of "+s.tok.name(), err)
		}
		return b, nil
	})
}
