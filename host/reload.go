package host

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Hangups are the SIGHUPs of this process, which do not end it from the call on: they ask a node to reload.
func Hangups() <-chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c
}

// reload takes up what changed on disk: certificates and the level of the log. All else in the configuration counts from the next start.
func (h *Host) reload() {
	log := h.options.Log
	log.Info("reload")
	for _, c := range h.certs.each() {
		c.look(true)
	}
	if h.options.Again == nil {
		return
	}
	c, err := h.options.Again()
	if err != nil {
		log.Warn("the configuration is not taken up", "error", err)
		return
	}
	if h.options.Level != nil {
		h.options.Level.Set(ParseLevel(c.LogLevel))
	}
}

// reloads reloads when it is asked to, until ctx ends.
func (h *Host) reloads(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.options.Hangups:
			h.reload()
		}
	}
}
