package gcpkms

import (
	"context"
	"fmt"

	"cloud.google.com/go/kms/apiv1/kmspb"

	"github.com/luxfi/mpcd/hsm"
)

const (
	randomMax   = 1 << 16 // most that Random reads, in bytes
	randomChunk = 1024    // most that one call reads, and
	randomLeast = 8       // least (GenerateRandomBytesRequest)
)

// Keys lists the usable keys of the URI's key ring: those with an enabled version. Where a key has several enabled versions and none
// of them is primary, each is listed, with its version in its ID. A key that is none of ours has an empty Type.
func (t *Token) Keys(ctx context.Context) ([]hsm.KeyInfo, error) {
	if err := t.ready(ctx); err != nil {
		return nil, err
	}
	if t.home.ring == "" {
		return nil, fmt.Errorf("gcpkms: %w: no key ring to list; use gcpkms:projects/P/locations/L/keyRings/R", hsm.ErrURI)
	}
	a := act{"list keys of", t.home.ring, "cloudkms.cryptoKeys.list", hsm.ErrNoToken, hsm.ErrURI}
	all, err := call(ctx, t, a, func(ctx context.Context) ([]*kmspb.CryptoKey, error) {
		return collect(t.client.ListCryptoKeys(ctx, &kmspb.ListCryptoKeysRequest{Parent: t.home.ring}).Next, keysMax)
	})
	if err != nil {
		return nil, err
	}
	var infos []hsm.KeyInfo
	for _, ck := range all {
		if ck.Purpose == kmspb.CryptoKey_ENCRYPT_DECRYPT {
			if p := ck.Primary; p.GetState() == kmspb.CryptoKeyVersion_ENABLED {
				infos = append(infos, keyInfo(t.keyID(ck.Name), p))
			}
			continue
		}
		versions, err := t.versions(ctx, ck.Name)
		if err != nil {
			return nil, err
		}
		infos = append(infos, listVersions(t.keyID(ck.Name), ck.Name, versions)...)
	}
	return infos, nil
}

func listVersions(id, name string, versions []*kmspb.CryptoKeyVersion) []hsm.KeyInfo {
	var infos []hsm.KeyInfo
	for _, v := range versions {
		if v.State == kmspb.CryptoKeyVersion_ENABLED {
			infos = append(infos, keyInfo(id+v.Name[len(name):], v))
		}
	}
	if len(infos) == 1 {
		infos[0].ID = id
	}
	return infos
}

// keyInfo is what the service says of a version. No key of Cloud KMS can be read; one that was imported was known elsewhere before, and
// one of an external key manager is not there at all.
func keyInfo(id string, v *kmspb.CryptoKeyVersion) hsm.KeyInfo {
	inside := v.ProtectionLevel == kmspb.ProtectionLevel_HSM || v.ProtectionLevel == kmspb.ProtectionLevel_SOFTWARE ||
		v.ProtectionLevel == kmspb.ProtectionLevel_HSM_SINGLE_TENANT
	local := inside && v.ImportJob == "" && v.ImportTime == nil
	return hsm.KeyInfo{
		ID: id, Type: kinds[v.Algorithm].keyType, Sensitive: true, Extractable: v.TrustedWrappingEnabled,
		Local: local, NeverExtracted: local && !v.TrustedWrappingEnabled,
	}
}

// Random reads 1 to 65,536 bytes of the generator of Cloud HSM in the URI's location, 1024 a call.
func (t *Token) Random(ctx context.Context, n int) ([]byte, error) {
	if n < 1 || n > randomMax {
		return nil, fmt.Errorf("gcpkms: random: %d bytes, must be 1 to %d", n, randomMax)
	}
	if err := t.ready(ctx); err != nil {
		return nil, err
	}
	if t.home.location == "" {
		return nil, fmt.Errorf("gcpkms: %w: no location to read random bytes of; use gcpkms:projects/P/locations/L/keyRings/R", hsm.ErrURI)
	}
	out := make([]byte, 0, n+randomLeast)
	for len(out) < n {
		b, err := t.randomChunk(ctx, min(max(n-len(out), randomLeast), randomChunk))
		if err != nil {
			return nil, err
		}
		out = append(out, b...)
	}
	return out[:n], nil
}

func (t *Token) randomChunk(ctx context.Context, n int) ([]byte, error) {
	req := &kmspb.GenerateRandomBytesRequest{Location: t.home.location, LengthBytes: int32(n), ProtectionLevel: kmspb.ProtectionLevel_HSM}
	a := act{"read random bytes of", t.home.location, "cloudkms.locations.generateRandomBytes", hsm.ErrNoToken, hsm.ErrUnsupported}
	return call(ctx, t, a, func(ctx context.Context) ([]byte, error) {
		resp, err := t.client.GenerateRandomBytes(ctx, req)
		if err != nil {
			return nil, err
		}
		if len(resp.Data) != n {
			return nil, damaged("%d random bytes, not %d", len(resp.Data), n)
		}
		return resp.Data, checkCRC("data", resp.Data, resp.DataCrc32C)
	})
}
