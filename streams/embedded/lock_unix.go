//go:build unix

package embedded

import (
	"os"
	"syscall"
)

// lockFile locks the file until it is closed. The lock is the kernel's, so a killed process leaves none behind.
func lockFile(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
