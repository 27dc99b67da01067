package host

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/luxfi/mpcd/appliance/api"
	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/keyfile"
)

// eventsKey reads the key that events are signed with; nil where nobody is told.
func (c Config) eventsKey() (*keyfile.Key, error) {
	if c.Events.Key == "" {
		return nil, nil
	}
	key, err := keyfile.Read(c.Events.Key, nil)
	if err == nil {
		if _, ok := key.Public().(ed25519.PublicKey); !ok {
			key.Wipe()
			err = errors.New("it is no Ed25519 key")
		}
	}
	if err != nil {
		return nil, fault.Usage("make one with `openssl genpkey -algorithm ed25519`, which only its owner may read", "events.key: %w", err)
	}
	return key, nil
}

// loadEvents makes ready to tell webhooks of what is put on record from here on.
func (b *boot) loadEvents(ctx context.Context) error {
	key, err := b.config.eventsKey()
	if err != nil {
		return err
	}
	hooks := b.config.Events.Hooks
	names := make([]string, len(hooks))
	for i, h := range hooks {
		names[i] = fmt.Sprintf("%x", canon.Hash("mpcd/v1/events/hook", []byte(h.URL)))
	}
	followers, err := audit.Follow(ctx, b.record.Log, b.disk.Store, names...)
	if err != nil || key == nil {
		return err
	}
	b.opened = append(b.opened, key)
	b.events = &api.Events{Cluster: b.config.Cluster, Hooks: hooks, Followers: followers, Sign: key.Sign, Logger: b.options.Log}
	b.options.Log.Info("webhooks are told of events", "webhooks", len(hooks),
		"key", "whpk_"+base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey)))
	return nil
}
