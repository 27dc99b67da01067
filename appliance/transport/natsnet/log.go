package natsnet

import (
	"fmt"
	"log/slog"
)

// serverLog passes the embedded server's log on. Its notices are detail to us; its "fatal" ends in an error from Start.
type serverLog struct{ l *slog.Logger }

func (s serverLog) Noticef(f string, v ...any) { s.l.Debug("nats: " + fmt.Sprintf(f, v...)) }
func (s serverLog) Warnf(f string, v ...any)   { s.l.Warn("nats: " + fmt.Sprintf(f, v...)) }
func (s serverLog) Errorf(f string, v ...any)  { s.l.Warn("nats: " + fmt.Sprintf(f, v...)) }
func (s serverLog) Fatalf(f string, v ...any)  { s.l.Error("nats: " + fmt.Sprintf(f, v...)) }
func (s serverLog) Debugf(f string, v ...any)  { s.l.Debug("nats: " + fmt.Sprintf(f, v...)) }
func (s serverLog) Tracef(string, ...any)      {} // would print message bodies
