package host

// Carry has the node run on another machine than the one it was opened on.
func (h *Host) Carry() { h.machine.began = "another" }
