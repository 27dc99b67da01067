package api

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	glob "path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client/wire"
)

// Hook is a webhook that is told of entries of a node's audit log as they are made.
type Hook struct {
	URL string
	// Events are patterns, * for anything: of an event's name, or of NAME/RULE for what a rule of the policy has permitted.
	Events []string
}

const (
	maxHooks   = 8
	maxEvents  = 32 // of a hook
	eventsPage = 256
	// eventsEvery is how often a hook looks for new entries, and the first pause after a failure, which doubles with each.
	eventsEvery, eventsPause = time.Second, 5 * time.Minute
)

// ParseHooks reads hooks, each an address and after it, with blanks between, the patterns of its events.
func ParseHooks(list []string) ([]Hook, error) {
	if len(list) > maxHooks {
		return nil, fmt.Errorf("%d webhooks, at most %d", len(list), maxHooks)
	}
	var out []Hook
	for _, s := range list {
		words := strings.Fields(s)
		if len(words) < 2 || len(words) > 1+maxEvents {
			return nil, fmt.Errorf("%q: an address and 1 to %d patterns", s, maxEvents)
		}
		h := Hook{URL: words[0], Events: words[1:]}
		if err := attest.CheckWebhook(h.URL); err != nil {
			return nil, err
		}
		for _, e := range h.Events {
			if _, err := glob.Match(e, ""); err != nil || !attest.Printable(e) {
				return nil, fmt.Errorf("%q is no pattern", e)
			}
		}
		if slices.ContainsFunc(out, func(x Hook) bool { return x.URL == h.URL }) {
			return nil, fmt.Errorf("%q stands there twice", h.URL)
		}
		out = append(out, h)
	}
	return out, nil
}

// wants tells whether the hook is to be told of an entry.
func (h Hook) wants(e audit.Entry) bool {
	names := []string{e.Event}
	if r := e.Facts["rule"]; r != "" {
		for _, rule := range strings.Split(r, ", ") {
			names = append(names, e.Event+"/"+rule)
		}
	}
	return slices.ContainsFunc(h.Events, func(pattern string) bool {
		return slices.ContainsFunc(names, func(name string) bool {
			ok, _ := glob.Match(pattern, name)
			return ok
		})
	})
}

// host is what may be said of a hook's address: a path may be a secret of its receiver.
func (h Hook) host() string {
	u, err := url.Parse(h.URL)
	if err != nil {
		return ""
	}
	return u.Host
}

// Events tells hooks of entries, as Standard Webhooks 1.0.0 has it with asymmetric signatures: to each hook one after the other, in the
// log's order, each again until it is taken with 2xx; after a crash perhaps once more, under the same webhook-id.
type Events struct {
	Cluster   string
	Hooks     []Hook
	Followers []*audit.Follower // of the hooks, in their order
	Sign      func(message []byte) (signature []byte, err error)
	Logger    *slog.Logger
}

// Run returns when ctx has ended.
func (e *Events) Run(ctx context.Context) {
	var all sync.WaitGroup
	for i, h := range e.Hooks {
		all.Go(func() { e.follow(ctx, h, e.Followers[i]) })
	}
	all.Wait()
}

// Behind is how many entries a hook has not been told of, or asked about, by its host.
func (e *Events) Behind() map[string]uint64 {
	out := map[string]uint64{}
	for i, h := range e.Hooks {
		out[h.host()] += e.Followers[i].Behind()
	}
	return out
}

func (e *Events) follow(ctx context.Context, h Hook, f *audit.Follower) {
	pause := time.Duration(0)
	for {
		full, err := e.page(ctx, h, f)
		if ctx.Err() != nil {
			return
		}
		switch {
		case err != nil && pause == 0:
			e.Logger.Warn("a webhook of events does not take what it is told; it is told again until it does", "host", h.host(), "error", err)
			pause = eventsEvery
		case err != nil:
			pause = min(2*pause, eventsPause)
		case pause > 0:
			e.Logger.Info("a webhook of events takes what it is told again", "host", h.host())
			pause = 0
		}
		if full {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(pause, eventsEvery)):
		}
	}
}

// page tells a hook of what stands in the next entries, and whether there may be more.
func (e *Events) page(ctx context.Context, h Hook, f *audit.Follower) (full bool, err error) {
	entries, err := f.Next(eventsPage)
	if err != nil {
		return false, err
	}
	for i, x := range entries {
		told := h.wants(x)
		if told {
			if err := e.post(ctx, h, x); err != nil {
				return false, err
			}
		}
		f.Pass(x.Seq)
		if told || i == eventsPage-1 {
			if err := f.Keep(context.WithoutCancel(ctx)); err != nil {
				return false, err
			}
		}
	}
	return len(entries) == eventsPage, nil
}

// post tells of one entry.
func (e *Events) post(ctx context.Context, h Hook, x audit.Entry) error {
	body, err := json.Marshal(wire.Event{Type: x.Event, Timestamp: time.UnixMilli(x.Time).UTC(), Data: renderEntry(x)})
	if err != nil {
		return err
	}
	id, at := fmt.Sprintf("%s_%s_%d", e.Cluster, x.Node, x.Seq), strconv.FormatInt(time.Now().Unix(), 10)
	sig, err := e.Sign([]byte(id + "." + at + "." + string(body)))
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for k, v := range map[string]string{"Content-Type": "application/json", "Webhook-Id": id, "Webhook-Timestamp": at,
		"Webhook-Signature": "v1a," + base64.StdEncoding.EncodeToString(sig)} {
		r.Header.Set(k, v)
	}
	resp, err := webhooks.Do(r)
	if at := new(url.Error); errors.As(err, &at) { // which has the whole address
		err = at.Err
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("it answers %s", resp.Status)
	}
	return nil
}
