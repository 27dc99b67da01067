package host

import (
	"net"
	"os"
)

// Notify tells systemd about the state of the service, if it asked to be told (sd_notify(3)): READY=1, STOPPING=1.
func Notify(state string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	if path[0] == '@' { // abstract namespace
		path = "\x00" + path[1:]
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return // nobody listens any more; there is nobody to tell
	}
	defer conn.Close()
	_, _ = conn.Write([]byte(state))
}
