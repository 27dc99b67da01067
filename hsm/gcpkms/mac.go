package gcpkms

import (
	"context"
	"fmt"

	"cloud.google.com/go/kms/apiv1/kmspb"

	"github.com/luxfi/mpcd/hsm"
)

const (
	macLen     = 32       // HMAC-SHA-256
	macDataMax = 64 << 10 // longest message, in bytes
)

// MAC authenticates a message of at most 64 KiB with a key of HMAC-SHA-256 (RFC 2104): 32 bytes. The node has no use for it; it is for
// those who keep such keys in the same place.
func (t *Token) MAC(ctx context.Context, keyID string, message []byte) ([]byte, error) {
	k, err := t.keyFor(ctx, keyID, proves)
	if err != nil {
		return nil, err
	}
	if err := checkMACData(message); err != nil {
		return nil, err
	}
	req := &kmspb.MacSignRequest{Name: k.version, Data: message, DataCrc32C: crc(message)}
	a := act{"make a MAC with", k.version, "cloudkms.cryptoKeyVersions.useToSign", hsm.ErrNoKey, hsm.ErrKeyType}
	mac, err := call(ctx, t, a, func(ctx context.Context) ([]byte, error) {
		resp, err := t.client.MacSign(ctx, req)
		if err != nil {
			return nil, err
		}
		if len(resp.Mac) != macLen {
			return nil, damaged("a MAC of %d bytes", len(resp.Mac))
		}
		return resp.Mac, firstError(
			verified("data_crc32c", resp.VerifiedDataCrc32C),
			checkCRC("mac", resp.Mac, resp.MacCrc32C),
			same("name", resp.Name, k.version),
			same("protection_level", resp.ProtectionLevel, k.level),
		)
	})
	return mac, t.explainState(ctx, k, err)
}

// VerifyMAC asks the service whether a MAC is right. One of another length than 32 bytes is not.
func (t *Token) VerifyMAC(ctx context.Context, keyID string, message, mac []byte) (bool, error) {
	k, err := t.keyFor(ctx, keyID, proves)
	if err != nil {
		return false, err
	}
	if err := checkMACData(message); err != nil || len(mac) != macLen {
		return false, err
	}
	req := &kmspb.MacVerifyRequest{Name: k.version, Data: message, DataCrc32C: crc(message), Mac: mac, MacCrc32C: crc(mac)}
	a := act{"verify a MAC with", k.version, "cloudkms.cryptoKeyVersions.useToVerify", hsm.ErrNoKey, hsm.ErrKeyType}
	good, err := call(ctx, t, a, func(ctx context.Context) (bool, error) {
		resp, err := t.client.MacVerify(ctx, req)
		if err != nil {
			return false, err
		}
		return resp.Success, firstError(
			verified("data_crc32c", resp.VerifiedDataCrc32C),
			verified("mac_crc32c", resp.VerifiedMacCrc32C),
			same("verified_success_integrity", resp.VerifiedSuccessIntegrity, resp.Success),
			same("name", resp.Name, k.version),
			same("protection_level", resp.ProtectionLevel, k.level),
		)
	})
	return good && err == nil, t.explainState(ctx, k, err)
}

func checkMACData(message []byte) error {
	if len(message) > macDataMax {
		return fmt.Errorf("gcpkms: MAC of %d bytes, at most %d", len(message), macDataMax)
	}
	return nil
}
