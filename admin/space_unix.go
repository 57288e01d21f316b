//go:build linux || darwin || freebsd

package admin

import "syscall"

// freeSpace is how many bytes this user may still write below a folder; false where the system does not tell.
func freeSpace(folder string) (int64, bool) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(folder, &fs); err != nil {
		return 0, false
	}
	return int64(fs.Bavail) * int64(fs.Bsize), true
}
