package gcpkms

import (
	"context"
	"net"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// Fault is what happens to calls, in the order of the fields. All that are set happen.
type Fault struct {
	// Method is the name of the method ("AsymmetricSign"); "" for every method.
	Method string
	// Times is how many calls it strikes before it is gone; 0 for all.
	Times int
	// Began is called when it strikes.
	Began func()
	// Hold keeps the call waiting until the channel is closed or the caller gives up.
	Hold <-chan struct{}
	// Cut closes every connection of the server.
	Cut bool
	// Err is answered instead of calling.
	Err error
	// Request changes what came in.
	Request func(proto.Message)
	// Answer changes what goes out.
	Answer func(proto.Message)
	// Lost is answered after the call was done, as if the answer was lost.
	Lost error
}

// Inject sets a fault and returns what takes it back. Of several, the one that was set first strikes.
func (s *Server) Inject(f Fault) (remove func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &f
	s.faults = append(s.faults, p)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.faults = slices.DeleteFunc(s.faults, func(q *Fault) bool { return q == p })
	}
}

// next counts the call and finds its fault.
func (s *Server) next(method string) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[method]++
	for i, f := range s.faults {
		if f.Method != "" && f.Method != method {
			continue
		}
		if f.Times == 1 {
			s.faults = slices.Delete(s.faults, i, i+1)
		} else if f.Times > 1 {
			f.Times--
		}
		return *f
	}
	return Fault{}
}

func (s *Server) cut() {
	s.mu.Lock()
	conns := make([]net.Conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
	}
}

func (s *Server) intercept(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	f := s.next(info.FullMethod[strings.LastIndexByte(info.FullMethod, '/')+1:])
	if f.Began != nil {
		f.Began()
	}
	if f.Hold != nil {
		select {
		case <-f.Hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if f.Cut {
		s.cut()
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if f.Err != nil {
		return nil, f.Err
	}
	if f.Request != nil {
		f.Request(req.(proto.Message))
	}
	resp, err := handler(ctx, req)
	if err == nil && f.Lost != nil {
		return nil, f.Lost
	}
	if err == nil && f.Answer != nil {
		f.Answer(resp.(proto.Message))
	}
	return resp, err
}
