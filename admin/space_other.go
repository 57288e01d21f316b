//go:build !linux && !darwin && !freebsd

package admin

// freeSpace is not known on this system.
func freeSpace(string) (int64, bool) { return 0, false }
