package api

import (
	"context"
	"encoding/json"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/client/wire"
)

func (s *server) nodes(context.Context, *struct{}) (*struct{ Body wire.NodeList }, error) {
	out := &struct{ Body wire.NodeList }{wire.NodeList{Nodes: []wire.Node{}}}
	for _, n := range s.Backend.Nodes() {
		out.Body.Nodes = append(out.Body.Nodes, renderNode(n))
	}
	return out, nil
}

func (s *server) receipt(ctx context.Context, in *struct {
	ID string `path:"id" maxLength:"256" doc:"receipt_id of a signature."`
}) (*struct{ Body json.RawMessage }, error) {
	r, err := s.backend(ctx).Receipt(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	b, err := renderJSON("the receipt", r)
	return &struct{ Body json.RawMessage }{b}, err
}

func (s *server) checkpoints(ctx context.Context, _ *struct{}) (*struct{ Body wire.CheckpointList }, error) {
	all, err := s.backend(ctx).Checkpoints(ctx)
	if err != nil {
		return nil, err
	}
	out := wire.CheckpointList{Checkpoints: []wire.Checkpoint{}}
	for _, c := range all {
		x := wire.Checkpoint{Node: string(c.Node), Entries: c.Entries, Checkpoint: string(c.Note), Trouble: c.Trouble,
			Before: string(c.Before), CosignedBy: []string{}, CosignedMLDSA: []string{}}
		for _, w := range c.By {
			if x.CosignedBy = append(x.CosignedBy, w.Node); w.MLDSA {
				x.CosignedMLDSA = append(x.CosignedMLDSA, w.Node)
			}
		}
		if !c.Witnessed.IsZero() {
			x.WitnessedMS = c.Witnessed.UnixMilli()
		}
		out.Checkpoints = append(out.Checkpoints, x)
	}
	return &struct{ Body wire.CheckpointList }{out}, nil
}

func (s *server) audit(ctx context.Context, in *pageIn) (*struct{ Body wire.AuditList }, error) {
	list, next, err := s.backend(ctx).Audit(ctx, in.page())
	if err != nil {
		return nil, err
	}
	out := &struct{ Body wire.AuditList }{wire.AuditList{Entries: make([]wire.AuditEntry, 0, len(list)), NextPageToken: next}}
	for _, e := range list {
		out.Body.Entries = append(out.Body.Entries, renderEntry(e))
	}
	return out, nil
}

func renderEntry(e audit.Entry) wire.AuditEntry {
	return wire.AuditEntry{Seq: e.Seq, TimeMS: e.Time, Node: e.Node, Event: e.Event, Facts: e.Facts}
}
