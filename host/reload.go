package host

import (
	"cmp"
	"context"
	"errors"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/durable"
)

// Hangups are the SIGHUPs of this process, which do not end it from the call on: they ask a node to reload.
func Hangups() <-chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c
}

// reload takes up what changed on disk: certificates, roster, revoked tokens and the level of the log. All else in the configuration counts
// from the next start.
func (h *Host) reload(ctx context.Context) {
	log := h.options.Log
	log.Info("reload")
	for _, c := range h.certs.each() {
		c.look(true)
	}
	h.takeUpRoster(ctx)
	h.takeUpAuthority(ctx)
	if h.options.Again == nil {
		return
	}
	c, err := h.options.Again()
	if err != nil {
		log.Warn("the configuration is not taken up", "error", err)
		return
	}
	if later := h.config.values.differ(c.values, "log.level", "api.jwt.revoked"); len(later) > 0 {
		log.Warn("these settings changed, and count from the next start", "settings", strings.Join(later, ", "))
	}
	if t := h.tokens.Load(); t != nil && t.Revoke(c.API.Revoked) {
		log.Info("the tokens that are revoked have changed", "entries", c.API.Revoked.Len())
	}
	if h.options.Level != nil {
		h.options.Level.Set(ParseLevel(c.LogLevel))
	}
}

// takeUpRoster has the node use the roster in the file, if it is newer than the one in use.
func (h *Host) takeUpRoster(ctx context.Context) {
	s, err := pinnedRoster(h.config)
	if err == nil {
		err = h.config.fits(s)
	}
	if s != nil {
		now := h.roster.Load()
		err = cmp.Or(notInUse(s, now.Roster.Serial, now.Fingerprint()), err)
	}
	if err == nil || s != nil && errors.Is(err, attest.ErrUnknownNode) { // the node is to know that it was removed
		err = h.Node.TakeUp(ctx, s)
	}
	if err != nil {
		h.options.Log.Warn("the roster is not taken up", "file", h.config.Roster, "error", err)
	}
}

// keepRoster keeps a newer roster, that came from a peer perhaps, where the next start reads it. It must be what roster_root pins.
func (h *Host) keepRoster(ctx context.Context, s *attest.SignedRoster) error {
	if err := CheckPin(s, h.config.RosterRoot); err != nil {
		return err
	}
	if err := durable.WriteFile(h.config.Roster, s.JSON(), 0o644); err != nil {
		return err
	}
	if err := keepSerial(ctx, h.disk.Store, s); err != nil {
		return err
	}
	h.roster.Store(s)
	return nil
}

// reloads reloads when it is asked to, until ctx ends.
func (h *Host) reloads(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	roster, authority := markOf(h.config.Roster), markOf(h.config.Authority)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if m := markOf(h.config.Roster); m != roster {
				roster = m
				h.takeUpRoster(ctx)
			}
			if m := markOf(h.config.Authority); m != authority {
				authority = m
				h.takeUpAuthority(ctx)
			}
		case <-h.options.Hangups:
			h.reload(ctx)
		}
	}
}
