package host

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/api"
	"github.com/luxfi/mpcd/host/fault"
)

// Run serves until ctx ends, or the node or its API fails, and returns when all is still. It calls ready, once, when the node has joined
// the network and the API answers. Of an API of nil there is none; Run closes the one it is given. It is called once.
func (h *Host) Run(ctx context.Context, a *API, ready func()) error {
	var counting sync.WaitGroup
	defer counting.Wait() // after stopNode
	nodeCtx, stopNode := context.WithCancel(context.WithoutCancel(ctx))
	defer stopNode()
	if a != nil && a.tokens != nil { // before the first reload: what that revokes must not be lost
		a.tokens.First = h.record.token
		h.tokens.Store(a.tokens)
		if i := a.tokens.Issuer; i != nil {
			i.Logger = h.options.Log
			counting.Go(func() { i.Run(nodeCtx) })
		}
	}
	counting.Go(func() { keepAnchor(nodeCtx, h.record.mark, anchorEvery, h.options.Log) })
	counting.Go(func() { h.reloads(nodeCtx) })
	if h.events != nil {
		counting.Go(func() { h.events.Run(nodeCtx) })
	}
	over := make(chan error, 2)
	counting.Go(func() { h.disk.failed(nodeCtx, over) })
	counting.Go(func() { h.forked(nodeCtx, over) })
	nodeDone := make(chan error, 1)
	go func() { nodeDone <- h.Node.Run(nodeCtx) }()
	if a != nil {
		h.certs.add(a.cert, h.options)
	}
	select {
	case <-h.Node.Started():
	case err := <-nodeDone:
		if err == nil {
			err = errors.New("the node ended at once")
		}
		return errors.Join(fault.Doing("boot: join the network", err), a.Close())
	}
	counting.Go(func() { h.record.keepSigned(nodeCtx, signedEvery) }) // at once, so that the others witness that it has started
	apiCtx, stopAPI := context.WithCancel(ctx)
	defer stopAPI()
	apiDone := make(chan error, 1)
	denials := &api.Denials{Record: h.record.event}
	counting.Go(func() { denials.Run(nodeCtx) })
	go func() { apiDone <- a.serve(apiCtx, h, denials) }()
	if a != nil && a.tokens == nil {
		h.options.Log.Info("dev: who is on this machine has all roles, and no duties are kept apart")
	}
	ready()
	h.options.Log.Info("listening", "api", a.address(), "tls", a.secure(), "cluster", h.config.Cluster, "version", h.options.Release,
		"boot", time.Since(h.began).Round(time.Millisecond))
	var err error
	select { // the API goes first: what it still works on needs the node
	case err = <-apiDone:
		stopNode()
		err = errors.Join(err, <-nodeDone)
	case err = <-nodeDone:
		stopAPI()
		err = errors.Join(err, <-apiDone)
		if err == nil {
			err = errors.New("the node stopped by itself")
		}
	case err = <-over:
		stopAPI()
		stopNode()
		_, _ = <-apiDone, <-nodeDone
	}
	denials.Flush(context.WithoutCancel(ctx))
	h.record.seal(context.WithoutCancel(ctx))
	return fault.Doing("run", err)
}

// forked ends the node, at once where it can, when this machine is not any more the one that it began on.
func (h *Host) forked(ctx context.Context, why chan<- error) {
	err := h.machine.watch(ctx)
	if err == nil {
		return
	}
	if h.options.Crash != nil {
		h.options.Crash(err)
	}
	why <- err
}

// serve answers until ctx ends.
func (a *API) serve(ctx context.Context, h *Host, denials *api.Denials) error {
	if a == nil {
		<-ctx.Done()
		return nil
	}
	dev := h.config.Dev
	return api.Serve(ctx, a.listener, api.New(api.Config{
		Backend: appliance.NewFront(h.Node), Auth: a.auth, Dev: dev && a.tls == nil, OpenMetrics: dev, Registry: newRegistry(h),
		Logger: h.options.Log, Denials: denials,
		Timeout: h.Node.Longest() + 5*time.Second,
	}), a.tls)
}

// newRegistry exports the node's counters, the process and the Go runtime.
func newRegistry(h *Host) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		nodeMetrics{h.Node}, hostMetrics{h})
	return r
}
