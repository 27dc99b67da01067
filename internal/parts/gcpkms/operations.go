package gcpkms

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The limits of the definition, in bytes.
const (
	softwareMax = 64 << 10 // of a plaintext, and of additional data, of a key in software
	hsmMax      = 8 << 10  // of both together, of a key in hardware
	randomMin   = 8
	randomMax   = 1024
	macDataMax  = 64 << 10
)

// usable finds a version that is enabled and of the purpose.
func (s *service) usable(name string, purpose kmspb.CryptoKey_CryptoKeyPurpose) (*version, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, v, err := s.version(name)
	if err != nil {
		return nil, err
	}
	if k.purpose != purpose {
		return nil, invalid("The purpose of CryptoKey %s is %v, the operation needs %v.", k.name, k.purpose, purpose)
	}
	return v.enabled()
}

// enabled is a copy, so that the state may change meanwhile. The caller holds mu.
func (v *version) enabled() (*version, error) {
	if v.state != kmspb.CryptoKeyVersion_ENABLED {
		return nil, precondition("%s is not enabled, current state is: %v.", v.name, v.state)
	}
	c := *v
	return &c, nil
}

func (s *service) GetPublicKey(_ context.Context, r *kmspb.GetPublicKeyRequest) (*kmspb.PublicKey, error) {
	if r.PublicKeyFormat != kmspb.PublicKey_PUBLIC_KEY_FORMAT_UNSPECIFIED {
		return nil, status.Error(codes.Unimplemented, "only the default format is supported here")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k, v, err := s.version(r.Name)
	if err != nil {
		return nil, err
	}
	if v.spki == nil {
		return nil, invalid("The purpose of CryptoKey %s is %v, which has no public key.", k.name, k.purpose)
	}
	if _, err := v.enabled(); err != nil {
		return nil, err
	}
	text := pemOf(v.spki)
	return &kmspb.PublicKey{Pem: text, PemCrc32C: sum([]byte(text)), Algorithm: v.alg, Name: v.name, ProtectionLevel: v.level}, nil
}

func (s *service) AsymmetricSign(_ context.Context, r *kmspb.AsymmetricSignRequest) (*kmspb.AsymmetricSignResponse, error) {
	v, err := s.usable(r.Name, kmspb.CryptoKey_ASYMMETRIC_SIGN)
	if err != nil {
		return nil, err
	}
	resp := &kmspb.AsymmetricSignResponse{Name: v.name, ProtectionLevel: v.level}
	input := r.Data
	if traits[v.alg].takeData {
		if r.Digest != nil {
			return nil, invalid("Algorithm %v signs data, not a digest.", v.alg)
		}
		resp.VerifiedDataCrc32C, err = checkSum("data", r.Data, r.DataCrc32C)
	} else {
		input = r.Digest.GetSha256()
		if len(r.Data) > 0 || len(input) != sha256.Size {
			return nil, invalid("Algorithm %v signs a SHA-256 digest of 32 bytes.", v.alg)
		}
		resp.VerifiedDigestCrc32C, err = checkSum("digest", input, r.DigestCrc32C)
	}
	if err != nil {
		return nil, err
	}
	if resp.Signature, err = sign(v.material, input); err != nil {
		return nil, err
	}
	resp.SignatureCrc32C = sum(resp.Signature)
	return resp, nil
}

// A ciphertext is the number of the version (4 bytes) ‖ nonce (12) ‖ AES-256-GCM; the real one's form is not published.
const headLen = 4 + 12

func aeadOf(v *version) cipher.AEAD {
	block, err := aes.NewCipher(v.material.([]byte))
	if err != nil {
		panic(err) // 32 bytes
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return aead
}

func checkSizes(v *version, plain, aad []byte) error {
	if v.level == kmspb.ProtectionLevel_HSM && len(plain)+len(aad) > hsmMax {
		return invalid("The plaintext and additional_authenticated_data are %d bytes together, the limit is %d.", len(plain)+len(aad), hsmMax)
	}
	if len(plain) > softwareMax || len(aad) > softwareMax {
		return invalid("The plaintext or additional_authenticated_data is longer than %d bytes.", softwareMax)
	}
	return nil
}

func (s *service) Encrypt(_ context.Context, r *kmspb.EncryptRequest) (*kmspb.EncryptResponse, error) {
	name := r.Name
	if keyRE.MatchString(name) {
		s.mu.Lock()
		k, err := s.key(name)
		if err == nil && k.primary == 0 {
			err = precondition("CryptoKey %s has no primary version.", name)
			if k.purpose != kmspb.CryptoKey_ENCRYPT_DECRYPT {
				err = invalid("The purpose of CryptoKey %s is %v, the operation needs ENCRYPT_DECRYPT.", name, k.purpose)
			}
		}
		if err == nil {
			name = k.versions[k.primary-1].name
		}
		s.mu.Unlock()
		if err != nil {
			return nil, err
		}
	}
	v, err := s.usable(name, kmspb.CryptoKey_ENCRYPT_DECRYPT)
	if err != nil {
		return nil, err
	}
	if err := checkSizes(v, r.Plaintext, r.AdditionalAuthenticatedData); err != nil {
		return nil, err
	}
	resp := &kmspb.EncryptResponse{Name: v.name, ProtectionLevel: v.level}
	if resp.VerifiedPlaintextCrc32C, err = checkSum("plaintext", r.Plaintext, r.PlaintextCrc32C); err != nil {
		return nil, err
	}
	if resp.VerifiedAdditionalAuthenticatedDataCrc32C, err = checkSum("additional_authenticated_data", r.AdditionalAuthenticatedData,
		r.AdditionalAuthenticatedDataCrc32C); err != nil {
		return nil, err
	}
	head := binary.BigEndian.AppendUint32(nil, uint32(v.number))
	nonce := make([]byte, 12)
	_, _ = rand.Read(nonce)
	head = append(head, nonce...)
	resp.Ciphertext = aeadOf(v).Seal(head, nonce, r.Plaintext, r.AdditionalAuthenticatedData)
	resp.CiphertextCrc32C = sum(resp.Ciphertext)
	return resp, nil
}

func (s *service) Decrypt(_ context.Context, r *kmspb.DecryptRequest) (*kmspb.DecryptResponse, error) {
	s.mu.Lock()
	k, err := s.key(r.Name)
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if k.purpose != kmspb.CryptoKey_ENCRYPT_DECRYPT {
		return nil, invalid("The purpose of CryptoKey %s is %v, the operation needs ENCRYPT_DECRYPT.", k.name, k.purpose)
	}
	if _, err := checkSum("ciphertext", r.Ciphertext, r.CiphertextCrc32C); err != nil {
		return nil, err
	}
	if _, err := checkSum("additional_authenticated_data", r.AdditionalAuthenticatedData, r.AdditionalAuthenticatedDataCrc32C); err != nil {
		return nil, err
	}
	if len(r.Ciphertext) < headLen {
		return nil, invalid("Decryption failed: the ciphertext is invalid.")
	}
	n := binary.BigEndian.Uint32(r.Ciphertext)
	v, err := s.usable(fmt.Sprintf("%s/cryptoKeyVersions/%d", k.name, n), kmspb.CryptoKey_ENCRYPT_DECRYPT)
	if code := status.Code(err); code == codes.NotFound || code == codes.InvalidArgument {
		return nil, invalid("Decryption failed: verify that 'name' refers to the correct CryptoKey.")
	}
	if err != nil {
		return nil, err
	}
	plain, err := aeadOf(v).Open(nil, r.Ciphertext[4:headLen], r.Ciphertext[headLen:], r.AdditionalAuthenticatedData)
	if err != nil {
		return nil, invalid("Decryption failed: verify that 'name' refers to the correct CryptoKey.")
	}
	s.mu.Lock()
	primary := int(n) == k.primary
	s.mu.Unlock()
	return &kmspb.DecryptResponse{Plaintext: plain, PlaintextCrc32C: sum(plain), UsedPrimary: primary, ProtectionLevel: v.level}, nil
}

func (s *service) MacSign(_ context.Context, r *kmspb.MacSignRequest) (*kmspb.MacSignResponse, error) {
	v, err := s.usable(r.Name, kmspb.CryptoKey_MAC)
	if err != nil {
		return nil, err
	}
	if len(r.Data) > macDataMax {
		return nil, invalid("The data is longer than %d bytes.", macDataMax)
	}
	verified, err := checkSum("data", r.Data, r.DataCrc32C)
	if err != nil {
		return nil, err
	}
	mac := macOf(v, r.Data)
	return &kmspb.MacSignResponse{Name: v.name, Mac: mac, MacCrc32C: sum(mac), VerifiedDataCrc32C: verified, ProtectionLevel: v.level}, nil
}

func (s *service) MacVerify(_ context.Context, r *kmspb.MacVerifyRequest) (*kmspb.MacVerifyResponse, error) {
	v, err := s.usable(r.Name, kmspb.CryptoKey_MAC)
	if err != nil {
		return nil, err
	}
	resp := &kmspb.MacVerifyResponse{Name: v.name, ProtectionLevel: v.level}
	if resp.VerifiedDataCrc32C, err = checkSum("data", r.Data, r.DataCrc32C); err != nil {
		return nil, err
	}
	if resp.VerifiedMacCrc32C, err = checkSum("mac", r.Mac, r.MacCrc32C); err != nil {
		return nil, err
	}
	resp.Success = hmac.Equal(macOf(v, r.Data), r.Mac)
	resp.VerifiedSuccessIntegrity = resp.Success
	return resp, nil
}

func macOf(v *version, data []byte) []byte {
	h := hmac.New(sha256.New, v.material.([]byte))
	h.Write(data)
	return h.Sum(nil)
}

func (s *service) GenerateRandomBytes(_ context.Context, r *kmspb.GenerateRandomBytesRequest) (*kmspb.GenerateRandomBytesResponse, error) {
	if err := checkName(locationRE, "location", r.Location); err != nil {
		return nil, err
	}
	if r.ProtectionLevel != kmspb.ProtectionLevel_HSM {
		return nil, invalid("Protection level %v is not supported, only HSM is.", r.ProtectionLevel)
	}
	if r.LengthBytes < randomMin || r.LengthBytes > randomMax {
		return nil, invalid("length_bytes must be %d to %d.", randomMin, randomMax)
	}
	b := make([]byte, r.LengthBytes)
	_, _ = rand.Read(b)
	return &kmspb.GenerateRandomBytesResponse{Data: b, DataCrc32C: sum(b)}, nil
}
