package natsnet

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// serverLog passes the embedded server's log on. Its notices are detail to us; its "fatal" ends in an error from Start.
type serverLog struct {
	l       *slog.Logger
	refused *rate.Sometimes // tells of routes that TLS refused: the two nodes try again every second
}

func newServerLog(l *slog.Logger) serverLog {
	return serverLog{l, &rate.Sometimes{Interval: time.Minute}}
}

func (s serverLog) Noticef(f string, v ...any) { s.l.Debug("nats: " + fmt.Sprintf(f, v...)) }
func (s serverLog) Warnf(f string, v ...any)   { s.l.Warn("nats: " + fmt.Sprintf(f, v...)) }
func (s serverLog) Fatalf(f string, v ...any)  { s.l.Error("nats: " + fmt.Sprintf(f, v...)) }
func (s serverLog) Debugf(f string, v ...any)  { s.l.Debug("nats: " + fmt.Sprintf(f, v...)) }

// Errorf tells at a node's own level, once a minute, of certificates that do not fit: nothing else says why two nodes do not reach each
// other.
func (s serverLog) Errorf(f string, v ...any) {
	said := fmt.Sprintf(f, v...)
	if strings.Contains(said, "certificate") && (strings.Contains(said, "x509:") || strings.Contains(said, "tls:")) {
		s.refused.Do(func() {
			s.l.Error("a route is refused: compare nats.tls.ca and nats.tls.cert of both nodes with the operator's", "error", said)
		})
		return
	}
	s.l.Warn("nats: " + said)
}

func (s serverLog) Tracef(string, ...any) {} // would print message bodies
