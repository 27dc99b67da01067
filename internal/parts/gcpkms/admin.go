package gcpkms

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// service is the state and the methods of google.cloud.kms.v1.KeyManagementService that the driver uses.
type service struct {
	kmspb.UnimplementedKeyManagementServiceServer

	mu    sync.Mutex
	rings map[string]bool
	keys  map[string]*key
	order []string // names of keys in the order of making
}

type key struct {
	name     string
	purpose  kmspb.CryptoKey_CryptoKeyPurpose
	template *kmspb.CryptoKeyVersionTemplate
	labels   map[string]string
	created  *timestamppb.Timestamp
	versions []*version
	primary  int // number of a version, 0 for none
}

type version struct {
	name     string
	number   int
	state    kmspb.CryptoKeyVersion_CryptoKeyVersionState
	level    kmspb.ProtectionLevel
	alg      algorithm
	material any
	spki     []byte
	created  *timestamppb.Timestamp
}

func newService() *service {
	return &service{rings: map[string]bool{KeyRing: true}, keys: map[string]*key{}}
}

func (s *service) GetKeyRing(_ context.Context, r *kmspb.GetKeyRingRequest) (*kmspb.KeyRing, error) {
	if err := checkName(ringRE, "name", r.Name); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.rings[r.Name] {
		return nil, notFound("KeyRing %s not found.", r.Name)
	}
	return &kmspb.KeyRing{Name: r.Name}, nil
}

func (s *service) CreateKeyRing(_ context.Context, r *kmspb.CreateKeyRingRequest) (*kmspb.KeyRing, error) {
	if err := checkName(locationRE, "parent", r.Parent); err != nil {
		return nil, err
	}
	if err := checkName(idRE, "key_ring_id", r.KeyRingId); err != nil {
		return nil, err
	}
	name := r.Parent + "/keyRings/" + r.KeyRingId
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rings[name] {
		return nil, status.Errorf(codes.AlreadyExists, "KeyRing %s already exists.", name)
	}
	s.rings[name] = true
	return &kmspb.KeyRing{Name: name}, nil
}

func (s *service) CreateCryptoKey(_ context.Context, r *kmspb.CreateCryptoKeyRequest) (*kmspb.CryptoKey, error) {
	if err := checkName(ringRE, "parent", r.Parent); err != nil {
		return nil, err
	}
	if err := checkName(idRE, "crypto_key_id", r.CryptoKeyId); err != nil {
		return nil, err
	}
	t := r.CryptoKey.GetVersionTemplate()
	if t.GetProtectionLevel() == kmspb.ProtectionLevel_PROTECTION_LEVEL_UNSPECIFIED { // the definition's default
		t = &kmspb.CryptoKeyVersionTemplate{ProtectionLevel: kmspb.ProtectionLevel_SOFTWARE, Algorithm: t.GetAlgorithm()}
	}
	has, known := traits[t.Algorithm]
	switch {
	case !known:
		return nil, invalid("Algorithm %v is not supported.", t.Algorithm)
	case has.purpose != r.CryptoKey.Purpose:
		return nil, invalid("Algorithm %v is not valid for purpose %v.", t.Algorithm, r.CryptoKey.Purpose)
	case t.ProtectionLevel != kmspb.ProtectionLevel_HSM && t.ProtectionLevel != kmspb.ProtectionLevel_SOFTWARE:
		return nil, invalid("Protection level %v is not supported.", t.ProtectionLevel)
	case has.hsmOnly && t.ProtectionLevel != kmspb.ProtectionLevel_HSM:
		return nil, invalid("Algorithm %v is not supported for protection level %v.", t.Algorithm, t.ProtectionLevel)
	}
	for name, value := range r.CryptoKey.Labels {
		if !labelRE.MatchString(name) || !valueRE.MatchString(value) {
			return nil, invalid("Label %q is not valid.", name)
		}
	}
	name := r.Parent + "/cryptoKeys/" + r.CryptoKeyId
	k := &key{name: name, purpose: has.purpose, template: t, labels: maps.Clone(r.CryptoKey.Labels), created: timestamppb.Now()}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.rings[r.Parent]:
		return nil, notFound("KeyRing %s not found.", r.Parent)
	case s.keys[name] != nil:
		return nil, status.Errorf(codes.AlreadyExists, "CryptoKey %s already exists.", name)
	}
	if !r.SkipInitialVersionCreation {
		if _, err := k.add(); err != nil {
			return nil, err
		}
		if k.purpose == kmspb.CryptoKey_ENCRYPT_DECRYPT {
			k.primary = 1
		}
	}
	s.keys[name] = k
	s.order = append(s.order, name)
	return k.proto(), nil
}

// add makes a version. Asymmetric keys of hardware are pending first, as in the real service.
func (k *key) add() (*version, error) {
	m, err := newMaterial(k.template.Algorithm)
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	spki, err := publicKey(m)
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	v := &version{
		name: fmt.Sprintf("%s/cryptoKeyVersions/%d", k.name, len(k.versions)+1), number: len(k.versions) + 1,
		state: kmspb.CryptoKeyVersion_ENABLED, level: k.template.ProtectionLevel, alg: k.template.Algorithm,
		material: m, spki: spki, created: timestamppb.Now(),
	}
	if spki != nil && v.level == kmspb.ProtectionLevel_HSM {
		v.state = kmspb.CryptoKeyVersion_PENDING_GENERATION
	}
	k.versions = append(k.versions, v)
	return v, nil
}

// look tells of a version, all but its attestation; who looks at a pending one finds it ready the next time.
func (v *version) look() *kmspb.CryptoKeyVersion {
	p := &kmspb.CryptoKeyVersion{Name: v.name, State: v.state, ProtectionLevel: v.level, Algorithm: v.alg, CreateTime: v.created}
	if v.state == kmspb.CryptoKeyVersion_PENDING_GENERATION {
		v.state = kmspb.CryptoKeyVersion_ENABLED
		return p
	}
	p.GenerateTime = v.created
	return p
}

func (k *key) proto() *kmspb.CryptoKey {
	p := &kmspb.CryptoKey{Name: k.name, Purpose: k.purpose, VersionTemplate: k.template, Labels: k.labels, CreateTime: k.created}
	if k.primary > 0 {
		v := k.versions[k.primary-1]
		p.Primary = &kmspb.CryptoKeyVersion{Name: v.name, State: v.state, ProtectionLevel: v.level, Algorithm: v.alg, CreateTime: v.created,
			GenerateTime: v.created}
	}
	return p
}

// key finds a key. The caller holds mu.
func (s *service) key(name string) (*key, error) {
	if err := checkName(keyRE, "name", name); err != nil {
		return nil, err
	}
	k := s.keys[name]
	if k == nil {
		return nil, notFound("CryptoKey %s not found.", name)
	}
	return k, nil
}

// version finds a version. The caller holds mu.
func (s *service) version(name string) (*key, *version, error) {
	if err := checkName(versionRE, "name", name); err != nil {
		return nil, nil, err
	}
	part := versionRE.FindStringSubmatch(name)
	k, err := s.key(part[1])
	if err != nil {
		return nil, nil, err
	}
	n, err := strconv.Atoi(part[2])
	if err != nil || n > len(k.versions) {
		return nil, nil, notFound("CryptoKeyVersion %s not found.", name)
	}
	return k, k.versions[n-1], nil
}

func (s *service) GetCryptoKey(_ context.Context, r *kmspb.GetCryptoKeyRequest) (*kmspb.CryptoKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.key(r.Name)
	if err != nil {
		return nil, err
	}
	return k.proto(), nil
}

func (s *service) GetCryptoKeyVersion(_ context.Context, r *kmspb.GetCryptoKeyVersionRequest) (*kmspb.CryptoKeyVersion, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, v, err := s.version(r.Name)
	if err != nil {
		return nil, err
	}
	p := v.look()
	if v.level == kmspb.ProtectionLevel_HSM && p.GenerateTime != nil {
		if p.Attestation, err = attestation(v); err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
	}
	return p, nil
}

// pageMax is the longest page of a list, short so that clients must turn pages.
const pageMax = 16

// page cuts a list; the token is where the next page begins.
func page[T any](all []T, token string) ([]T, string, error) {
	from := 0
	if token != "" {
		var err error
		if from, err = strconv.Atoi(token); err != nil || from < 0 || from > len(all) {
			return nil, "", invalid("page_token is not valid.")
		}
	}
	to := min(from+pageMax, len(all))
	if to == len(all) {
		return all[from:], "", nil
	}
	return all[from:to], strconv.Itoa(to), nil
}

func (s *service) ListCryptoKeys(_ context.Context, r *kmspb.ListCryptoKeysRequest) (*kmspb.ListCryptoKeysResponse, error) {
	if err := checkName(ringRE, "parent", r.Parent); err != nil {
		return nil, err
	}
	if r.Filter != "" || r.OrderBy != "" {
		return nil, status.Error(codes.Unimplemented, "filters and orders are not supported here")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.rings[r.Parent] {
		return nil, notFound("KeyRing %s not found.", r.Parent)
	}
	var all []*kmspb.CryptoKey
	for _, name := range s.order {
		if strings.HasPrefix(name, r.Parent+"/") {
			all = append(all, s.keys[name].proto())
		}
	}
	keys, next, err := page(all, r.PageToken)
	return &kmspb.ListCryptoKeysResponse{CryptoKeys: keys, NextPageToken: next, TotalSize: int32(len(all))}, err
}

func (s *service) ListCryptoKeyVersions(_ context.Context,
	r *kmspb.ListCryptoKeyVersionsRequest) (*kmspb.ListCryptoKeyVersionsResponse, error) {
	if r.Filter != "" || r.OrderBy != "" {
		return nil, status.Error(codes.Unimplemented, "filters and orders are not supported here")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.key(r.Parent)
	if err != nil {
		return nil, err
	}
	versions, next, err := page(k.versions, r.PageToken)
	if err != nil {
		return nil, err
	}
	resp := &kmspb.ListCryptoKeyVersionsResponse{NextPageToken: next, TotalSize: int32(len(k.versions))}
	for _, v := range versions {
		resp.CryptoKeyVersions = append(resp.CryptoKeyVersions, v.look())
	}
	return resp, nil
}

func (s *service) CreateCryptoKeyVersion(_ context.Context, r *kmspb.CreateCryptoKeyVersionRequest) (*kmspb.CryptoKeyVersion, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.key(r.Parent)
	if err != nil {
		return nil, err
	}
	v, err := k.add()
	if err != nil {
		return nil, err
	}
	return v.look(), nil
}

func (s *service) UpdateCryptoKeyPrimaryVersion(_ context.Context,
	r *kmspb.UpdateCryptoKeyPrimaryVersionRequest) (*kmspb.CryptoKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.key(r.Name)
	if err != nil {
		return nil, err
	}
	if k.purpose != kmspb.CryptoKey_ENCRYPT_DECRYPT {
		return nil, invalid("CryptoKey %s has no primary version.", k.name)
	}
	if _, _, err := s.version(k.name + "/cryptoKeyVersions/" + r.CryptoKeyVersionId); err != nil {
		return nil, err
	}
	k.primary, _ = strconv.Atoi(r.CryptoKeyVersionId)
	return k.proto(), nil
}

// UpdateCryptoKeyVersion enables and disables.
func (s *service) UpdateCryptoKeyVersion(_ context.Context, r *kmspb.UpdateCryptoKeyVersionRequest) (*kmspb.CryptoKeyVersion, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, v, err := s.version(r.CryptoKeyVersion.GetName())
	if err != nil {
		return nil, err
	}
	to := r.CryptoKeyVersion.State
	if paths := r.UpdateMask.GetPaths(); len(paths) != 1 || paths[0] != "state" || to != kmspb.CryptoKeyVersion_ENABLED &&
		to != kmspb.CryptoKeyVersion_DISABLED {
		return nil, invalid("Only the state may change, to ENABLED or DISABLED.")
	}
	if v.state != kmspb.CryptoKeyVersion_ENABLED && v.state != kmspb.CryptoKeyVersion_DISABLED {
		return nil, precondition("%s is not enabled or disabled, current state is: %v.", v.name, v.state)
	}
	v.state = to
	return v.look(), nil
}

func (s *service) DestroyCryptoKeyVersion(_ context.Context, r *kmspb.DestroyCryptoKeyVersionRequest) (*kmspb.CryptoKeyVersion, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, v, err := s.version(r.Name)
	if err != nil {
		return nil, err
	}
	v.state = kmspb.CryptoKeyVersion_DESTROY_SCHEDULED
	return v.look(), nil
}
