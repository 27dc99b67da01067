package schemes

import (
	"errors"
	"io"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/dkls23"
)

// DKLs23 is threshold ECDSA on secp256k1 with its pair state behind the engine's interfaces.
var DKLs23 threshold.Provisioner = ecdsa{}

type ecdsa struct{ dkls23.Scheme }

// The scheme of the variable also derives; whoever needs that asks for the interface.
var _ threshold.Deriver = ecdsa{}

// pairState is dkls23's provision as threshold.Provision.
type pairState struct{ *dkls23.Provision }

func (p pairState) Digest() [32]byte  { return p.ID }
func (p pairState) PairEpoch() uint64 { return p.Epoch }

// setup gives dkls23's session a result of the engine's type.
type setup struct {
	*threshold.Session[*dkls23.Provision]
}

func (s setup) Result() (threshold.Provision, bool) {
	p, ok := s.Session.Result()
	return pairState{p}, ok
}

func (e ecdsa) NewProvision(s threshold.Setup, epoch uint64, rand io.Reader) (threshold.Ceremony[threshold.Provision], error) {
	x, err := e.Provision(s, epoch, rand)
	if err != nil {
		return nil, err
	}
	return setup{x}, nil
}

func (ecdsa) ParseProvision(b []byte) (threshold.Provision, error) {
	p, err := dkls23.ParseProvision(b)
	if err != nil {
		return nil, err
	}
	return pairState{p}, nil
}

func (ecdsa) PresignFor(p threshold.Provision, s threshold.Setup, keys []threshold.PresignKey, reqs []threshold.SignRequest, rand io.Reader) (*threshold.Session[[]*threshold.Presignature], error) {
	x := dkls23.Scheme{}
	if p != nil {
		state, ok := p.(pairState)
		if !ok {
			return nil, errors.New("schemes: provision of another scheme")
		}
		x = dkls23.New(state.Provision)
	}
	if reqs == nil {
		return x.Presign(s, keys, rand)
	}
	return x.PresignFor(s, keys, reqs, rand)
}

func (ecdsa) MaxBatch() int { return dkls23.MaxBatch }

func (ecdsa) Derive(info threshold.KeyInfo, path []uint32) (pub []byte, chain [32]byte, tweaks []threshold.Tweak, err error) {
	c, err := dkls23.Derive(info, path)
	return c.PublicKey, c.ChainCode, c.Tweaks, err
}
